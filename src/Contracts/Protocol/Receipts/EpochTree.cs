using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Security.Cryptography;
using Federation.Protocol.Identity;

namespace Federation.Protocol.Receipts;

/// <summary>One receipt in an epoch's root: its id, and the rate its audit is drawn by.</summary>
/// <param name="Id">The receipt's id, 32 bytes.</param>
/// <param name="RateMillionths">0 to 1 000 000; committed to before the beacon is known.</param>
public readonly record struct EpochLeaf(ImmutableArray<byte> Id, int RateMillionths);

/// <summary>
/// The Merkle tree over the receipts of an epoch, in the order of their ids, hashed as in RFC 6962 §2.1: a leaf is
/// <c>SHA-256(0 ‖ id ‖ rate as 4 bytes big-endian)</c>, a node <c>SHA-256(1 ‖ left ‖ right)</c>, the tree of nothing <c>SHA-256()</c>.
/// </summary>
/// <remarks>A node without a sibling goes up as it is, which for a tree built from the left is the same as RFC 6962's split at a power of two.</remarks>
public static class EpochTree
{
    private const int DigestBytes = SHA256.HashSizeInBytes;

    /// <summary>The root.</summary>
    /// <exception cref="ArgumentException">The ids are not 32 bytes each, ascending, and all different.</exception>
    public static byte[] Root(IReadOnlyList<EpochLeaf> leaves)
    {
        if (leaves.Count == 0) return SHA256.HashData([]);
        var level = Leaves(leaves);
        for (var width = leaves.Count; width > 1; width = (width + 1) / 2) Raise(level, width);
        return level[..DigestBytes];
    }

    /// <summary>The siblings on the way from a leaf to the root, the lowest first.</summary>
    /// <param name="leaves">All of them.</param>
    /// <param name="index">Which one.</param>
    /// <inheritdoc cref="Root" path="/exception"/>
    public static ImmutableArray<byte[]> Path(IReadOnlyList<EpochLeaf> leaves, int index)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)index, (uint)leaves.Count, nameof(index));
        var level = Leaves(leaves);
        var path = ImmutableArray.CreateBuilder<byte[]>();
        for (var width = leaves.Count; width > 1; width = (width + 1) / 2, index /= 2)
        {
            if ((index ^ 1) < width) path.Add(At(level, index ^ 1).ToArray());
            Raise(level, width);
        }
        return path.ToImmutable();
    }

    /// <summary>Whether a leaf stands at that place of the tree with this root.</summary>
    /// <param name="root">The root.</param>
    /// <param name="count">Leaves in the whole tree.</param>
    /// <param name="index">The leaf's place.</param>
    /// <param name="leaf">The leaf.</param>
    /// <param name="path">Its path, the lowest first.</param>
    public static bool Contains(ReadOnlySpan<byte> root, int count, int index, EpochLeaf leaf, IReadOnlyList<byte[]> path)
    {
        if ((uint)index >= (uint)count || leaf.Id.IsDefault || leaf.Id.Length != DigestBytes || leaf.RateMillionths is < 0 or > 1_000_000) return false;
        Span<byte> digest = stackalloc byte[DigestBytes];
        HashLeaf(leaf, digest);
        var used = 0;
        for (var width = count; width > 1; width = (width + 1) / 2, index /= 2)
        {
            if ((index ^ 1) >= width) continue;
            if (used == path.Count || path[used].Length != DigestBytes) return false;
            if ((index & 1) == 0) HashNode(digest, path[used], digest);
            else HashNode(path[used], digest, digest);
            used++;
        }
        return used == path.Count && digest.SequenceEqual(root);
    }

    /// <summary>What a hub signs when it closes an epoch: epoch and number of receipts as 8 bytes big-endian, then the commitment to the secret, then the root.</summary>
    public static byte[] SigningBytes(long epoch, long count, ReadOnlySpan<byte> commitment, ReadOnlySpan<byte> root)
    {
        Span<byte> numbers = stackalloc byte[2 * sizeof(long)];
        BinaryPrimitives.WriteInt64BigEndian(numbers, epoch);
        BinaryPrimitives.WriteInt64BigEndian(numbers[sizeof(long)..], count);
        return SigningDomain.Epoch.Prefix([.. numbers, .. commitment, .. root]);
    }

    private static byte[] Leaves(IReadOnlyList<EpochLeaf> leaves)
    {
        var level = new byte[checked(leaves.Count * DigestBytes)];
        for (var i = 0; i < leaves.Count; i++)
        {
            if (leaves[i].Id.Length != DigestBytes) throw new ArgumentException("An id is 32 bytes.", nameof(leaves));
            if (i > 0 && leaves[i - 1].Id.AsSpan().SequenceCompareTo(leaves[i].Id.AsSpan()) >= 0) throw new ArgumentException("The ids must ascend, and no two be the same.", nameof(leaves));
            HashLeaf(leaves[i], At(level, i));
        }
        return level;
    }

    private static void Raise(byte[] level, int width)
    {
        for (var i = 0; i + 1 < width; i += 2) HashNode(At(level, i), At(level, i + 1), At(level, i / 2));
        if (width % 2 != 0) At(level, width - 1).CopyTo(At(level, width / 2));
    }

    private static Span<byte> At(byte[] level, int index) => level.AsSpan(index * DigestBytes, DigestBytes);

    private static void HashLeaf(EpochLeaf leaf, Span<byte> digest)
    {
        Span<byte> bytes = stackalloc byte[1 + DigestBytes + sizeof(int)];
        bytes[0] = 0;
        leaf.Id.AsSpan().CopyTo(bytes[1..]);
        BinaryPrimitives.WriteInt32BigEndian(bytes[(1 + DigestBytes)..], leaf.RateMillionths);
        SHA256.HashData(bytes, digest);
    }

    private static void HashNode(ReadOnlySpan<byte> left, ReadOnlySpan<byte> right, Span<byte> digest)
    {
        Span<byte> bytes = stackalloc byte[1 + (2 * DigestBytes)];
        bytes[0] = 1;
        left.CopyTo(bytes[1..]);
        right.CopyTo(bytes[(1 + DigestBytes)..]);
        SHA256.HashData(bytes, digest);
    }
}
