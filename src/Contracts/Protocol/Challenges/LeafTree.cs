using System.Buffers.Binary;
using System.Numerics;
using System.Security.Cryptography;

namespace Federation.Protocol.Challenges;

/// <summary>
/// The Merkle tree over the 64-bit hashes of one round. A leaf of the tree is a block of <see cref="BlockLeaves"/> neighbouring hashes; leaves and nodes are hashed in domains
/// of their own, and a node without a sibling goes up as it is, as in RFC 6962.
/// </summary>
/// <remarks>
/// A leaf for every hash would cost 16 times the SHA-256: at n = 8192 more than a fast GPU's whole round, and the next round waits for the root. An opening is no longer for
/// it, since the block replaces the lowest four levels of the path.
/// </remarks>
public static class LeafTree
{
    /// <summary>Hashes in one block; the last block of a tree may have fewer.</summary>
    public const int BlockLeaves = 16;

    private const byte LeafDomain = 0;
    private const byte NodeDomain = 1;
    private const int DigestBytes = SHA256.HashSizeInBytes;

    /// <summary>Blocks of a tree over so many hashes.</summary>
    public static int BlockCount(int leaves) => (leaves + BlockLeaves - 1) / BlockLeaves;

    /// <summary>Hashes in one block of a tree over so many.</summary>
    public static int BlockLength(int leaves, int block) => Math.Min(BlockLeaves, leaves - (block * BlockLeaves));

    /// <summary>Digests in the path of one block, bottom up.</summary>
    public static int PathLength(int leaves, int block)
    {
        var length = 0;
        for (var (width, position) = (BlockCount(leaves), block); width > 1; (width, position) = ((width + 1) / 2, position / 2))
        {
            if (HasSibling(width, position)) length++;
        }
        return length;
    }

    /// <summary>The root.</summary>
    public static byte[] Root(ReadOnlySpan<ulong> leaves)
    {
        var digests = new byte[BlockCount(leaves.Length) * DigestBytes];
        HashBlocks(leaves, 0, BlockCount(leaves.Length), digests);
        return Reduce(digests);
    }

    /// <summary>Hashes blocks <paramref name="from"/> to <paramref name="to"/>, exclusive, into their places: the part of the work that several threads can share.</summary>
    public static void HashBlocks(ReadOnlySpan<ulong> leaves, int from, int to, Span<byte> digests)
    {
        for (var block = from; block < to; block++)
        {
            HashBlock(leaves.Slice(block * BlockLeaves, BlockLength(leaves.Length, block)), digests.Slice(block * DigestBytes, DigestBytes));
        }
    }

    /// <summary>The root over the digests of all blocks, which are lost on the way.</summary>
    public static byte[] Reduce(Span<byte> digests)
    {
        for (var width = digests.Length / DigestBytes; width > 1; width = (width + 1) / 2)
        {
            for (var i = 0; i + 1 < width; i += 2) HashNode(At(digests, i), At(digests, i + 1), At(digests, i / 2));
            if (width % 2 != 0) At(digests, width - 1).CopyTo(At(digests, width / 2));
        }
        return At(digests, 0).ToArray();
    }

    /// <summary>The path of one block, bottom up.</summary>
    public static byte[] Path(ReadOnlySpan<ulong> leaves, int block)
    {
        var width = BlockCount(leaves.Length);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)block, (uint)width, nameof(block));
        var digests = new byte[width * DigestBytes];
        HashBlocks(leaves, 0, width, digests);
        var path = new byte[PathLength(leaves.Length, block) * DigestBytes];
        var rest = path.AsSpan();
        for (var position = block; width > 1; width = (width + 1) / 2, position /= 2)
        {
            if (HasSibling(width, position))
            {
                At(digests, position ^ 1).CopyTo(rest);
                rest = rest[DigestBytes..];
            }
            for (var i = 0; i + 1 < width; i += 2) HashNode(At(digests, i), At(digests, i + 1), At(digests, i / 2));
            if (width % 2 != 0) At(digests, width - 1).CopyTo(At(digests, width / 2));
        }
        return path;
    }

    /// <summary>Whether a block, with its path, belongs to the tree of this root.</summary>
    /// <param name="root">The root.</param>
    /// <param name="leaves">Hashes in the whole tree.</param>
    /// <param name="block">The block's place.</param>
    /// <param name="content">The block's hashes.</param>
    /// <param name="path">Its path, bottom up.</param>
    public static bool Contains(ReadOnlySpan<byte> root, int leaves, int block, ReadOnlySpan<ulong> content, ReadOnlySpan<byte> path)
    {
        var width = BlockCount(leaves);
        if ((uint)block >= (uint)width || content.Length != BlockLength(leaves, block) || path.Length != PathLength(leaves, block) * DigestBytes) return false;
        Span<byte> digest = stackalloc byte[DigestBytes];
        HashBlock(content, digest);
        for (var position = block; width > 1; width = (width + 1) / 2, position /= 2)
        {
            if (!HasSibling(width, position)) continue;
            var sibling = path[..DigestBytes];
            if ((position & 1) == 0) HashNode(digest, sibling, digest);
            else HashNode(sibling, digest, digest);
            path = path[DigestBytes..];
        }
        return digest.SequenceEqual(root);
    }

    /// <summary>Longest path in a tree over so many hashes, digests.</summary>
    internal static int MaxPathLength(int leaves) => BlockCount(leaves) <= 1 ? 0 : BitOperations.Log2((uint)(BlockCount(leaves) - 1)) + 1;

    private static bool HasSibling(int width, int position) => (position ^ 1) < width;

    private static Span<byte> At(Span<byte> digests, int index) => digests.Slice(index * DigestBytes, DigestBytes);

    private static void HashBlock(ReadOnlySpan<ulong> block, Span<byte> digest)
    {
        Span<byte> bytes = stackalloc byte[1 + (BlockLeaves * sizeof(ulong))];
        bytes[0] = LeafDomain;
        for (var i = 0; i < block.Length; i++) BinaryPrimitives.WriteUInt64LittleEndian(bytes[(1 + (i * sizeof(ulong)))..], block[i]);
        SHA256.HashData(bytes[..(1 + (block.Length * sizeof(ulong)))], digest);
    }

    private static void HashNode(ReadOnlySpan<byte> left, ReadOnlySpan<byte> right, Span<byte> digest)
    {
        Span<byte> bytes = stackalloc byte[1 + (2 * DigestBytes)];
        bytes[0] = NodeDomain;
        left.CopyTo(bytes[1..]);
        right.CopyTo(bytes[(1 + DigestBytes)..]);
        SHA256.HashData(bytes, digest);
    }
}
