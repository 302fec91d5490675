using System.Collections.Immutable;
using System.Security.Cryptography;

namespace Federation.Protocol;

/// <summary>
/// A Merkle tree hashed as in RFC 6962 §2.1: a leaf is <c>SHA-256(0 ‖ content)</c>, a node <c>SHA-256(1 ‖ left ‖ right)</c>, so that neither can pass for the other, and the tree of
/// nothing <c>SHA-256()</c>. What a leaf's content is says whoever uses it; here leaves are digests, one behind the other.
/// </summary>
/// <remarks>A node without a sibling goes up as it is, which for a tree built from the left is the same as RFC 6962's split at a power of two.</remarks>
internal static class MerkleTree
{
    /// <summary>Of a leaf, a node, the root.</summary>
    public const int DigestBytes = SHA256.HashSizeInBytes;

    /// <summary>What stands before a leaf's content when it is hashed.</summary>
    public const byte LeafPrefix = 0;

    private const byte NodePrefix = 1;

    /// <summary>The place of one digest.</summary>
    public static Span<byte> At(Span<byte> digests, int index) => digests.Slice(index * DigestBytes, DigestBytes);

    /// <summary>The root over the digests of all leaves, which are lost on the way.</summary>
    public static byte[] Root(Span<byte> leaves)
    {
        if (leaves.IsEmpty) return SHA256.HashData([]);
        for (var width = leaves.Length / DigestBytes; width > 1; width = Above(width)) Raise(leaves, width);
        return At(leaves, 0).ToArray();
    }

    /// <summary>Digests in the path of a leaf.</summary>
    /// <param name="count">Leaves in the whole tree.</param>
    /// <param name="index">The leaf's place.</param>
    public static int PathLength(int count, int index)
    {
        var length = 0;
        for (var (width, position) = (count, index); width > 1; (width, position) = (Above(width), position / 2))
        {
            if (HasSibling(width, position)) length++;
        }
        return length;
    }

    /// <summary>The siblings on the way from a leaf to the root, the lowest first. The leaves' digests are lost on the way.</summary>
    public static byte[] Path(Span<byte> leaves, int index) => Paths(leaves, [index])[0];

    /// <summary>The same for several leaves, whose tree is built once.</summary>
    public static ImmutableArray<byte[]> Paths(Span<byte> leaves, ReadOnlySpan<int> indexes)
    {
        var count = leaves.Length / DigestBytes;
        var paths = new byte[indexes.Length][];
        for (var i = 0; i < paths.Length; i++)
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)indexes[i], (uint)count, nameof(indexes));
            paths[i] = new byte[PathLength(count, indexes[i]) * DigestBytes];
        }
        int[] positions = [.. indexes];
        var filled = new int[paths.Length];
        for (var width = count; width > 1; width = Above(width))
        {
            for (var i = 0; i < paths.Length; i++)
            {
                if (HasSibling(width, positions[i])) At(leaves, positions[i] ^ 1).CopyTo(At(paths[i], filled[i]++));
                positions[i] /= 2;
            }
            Raise(leaves, width);
        }
        return [.. paths];
    }

    /// <summary>Turns a leaf's digest into the root that its path leads to; <see langword="false"/> when no leaf of such a tree has a path of that length.</summary>
    /// <param name="count">Leaves in the whole tree.</param>
    /// <param name="index">The leaf's place.</param>
    /// <param name="path">The siblings, the lowest first.</param>
    /// <param name="digest">The leaf's; afterwards the root's.</param>
    public static bool TryClimb(int count, int index, ReadOnlySpan<byte> path, Span<byte> digest)
    {
        if ((uint)index >= (uint)count || path.Length != PathLength(count, index) * DigestBytes) return false;
        for (var (width, position) = (count, index); width > 1; (width, position) = (Above(width), position / 2))
        {
            if (!HasSibling(width, position)) continue;
            var sibling = path[..DigestBytes];
            if (position % 2 == 0) HashNode(digest, sibling, digest);
            else HashNode(sibling, digest, digest);
            path = path[DigestBytes..];
        }
        return true;
    }

    /// <summary>As above, for a path that came as a list.</summary>
    public static bool TryClimb(int count, int index, IReadOnlyList<byte[]> path, Span<byte> digest)
        => path.All(sibling => sibling.Length == DigestBytes) && TryClimb(count, index, [.. path.SelectMany(sibling => sibling)], digest);

    /// <summary>A path as a list.</summary>
    public static ImmutableArray<byte[]> Split(byte[] path) => [.. path.Chunk(DigestBytes)];

    private static int Above(int width) => (width + 1) / 2;

    private static bool HasSibling(int width, int position) => (position ^ 1) < width;

    private static void Raise(Span<byte> level, int width)
    {
        for (var i = 0; i + 1 < width; i += 2) HashNode(At(level, i), At(level, i + 1), At(level, i / 2));
        if (width % 2 != 0) At(level, width - 1).CopyTo(At(level, width / 2));
    }

    private static void HashNode(ReadOnlySpan<byte> left, ReadOnlySpan<byte> right, Span<byte> digest)
    {
        Span<byte> bytes = stackalloc byte[1 + (2 * DigestBytes)];
        bytes[0] = NodePrefix;
        left.CopyTo(bytes[1..]);
        right.CopyTo(bytes[(1 + DigestBytes)..]);
        SHA256.HashData(bytes, digest);
    }
}
