using System.Buffers.Binary;
using System.Numerics;
using System.Security.Cryptography;

namespace Federation.Protocol.Challenges;

/// <summary>
/// The Merkle tree over the 64-bit hashes of one round. A leaf of the tree is a block of <see cref="BlockLeaves"/> neighbouring hashes, little-endian;
/// it is hashed as in RFC 6962 §2.1.
/// </summary>
/// <remarks>
/// A leaf for every hash would cost 16 times the SHA-256: at n = 8192 more than a fast GPU's whole round, and the next round waits for the root. An opening is no longer for
/// it, since the block replaces the lowest four levels of the path.
/// </remarks>
public static class LeafTree
{
    /// <summary>Hashes in one block; the last block of a tree may have fewer.</summary>
    public const int BlockLeaves = 16;

    private const int DigestBytes = MerkleTree.DigestBytes;

    /// <summary>Blocks of a tree over so many hashes.</summary>
    public static int BlockCount(int leaves) => (leaves + BlockLeaves - 1) / BlockLeaves;

    /// <summary>Hashes in one block of a tree over so many.</summary>
    public static int BlockLength(int leaves, int block) => Math.Min(BlockLeaves, leaves - (block * BlockLeaves));

    /// <summary>Digests in the path of one block, bottom up.</summary>
    public static int PathLength(int leaves, int block) => MerkleTree.PathLength(BlockCount(leaves), block);

    /// <summary>The root.</summary>
    public static byte[] Root(ReadOnlySpan<ulong> leaves) => Reduce(Digests(leaves));

    /// <summary>Hashes blocks <paramref name="from"/> to <paramref name="to"/>, exclusive, into their places: the part of the work that several threads can share.</summary>
    public static void HashBlocks(ReadOnlySpan<ulong> leaves, int from, int to, Span<byte> digests)
    {
        for (var block = from; block < to; block++)
        {
            HashBlock(leaves.Slice(block * BlockLeaves, BlockLength(leaves.Length, block)), MerkleTree.At(digests, block));
        }
    }

    /// <summary>The root over the digests of all blocks, which are lost on the way.</summary>
    public static byte[] Reduce(Span<byte> digests) => MerkleTree.Root(digests);

    /// <summary>The path of one block, bottom up.</summary>
    public static byte[] Path(ReadOnlySpan<ulong> leaves, int block) => MerkleTree.Path(Digests(leaves), block);

    /// <summary>Whether a block, with its path, belongs to the tree of this root.</summary>
    /// <param name="root">The root.</param>
    /// <param name="leaves">Hashes in the whole tree.</param>
    /// <param name="block">The block's place.</param>
    /// <param name="content">The block's hashes.</param>
    /// <param name="path">Its path, bottom up.</param>
    public static bool Contains(ReadOnlySpan<byte> root, int leaves, int block, ReadOnlySpan<ulong> content, ReadOnlySpan<byte> path)
    {
        if ((uint)block >= (uint)BlockCount(leaves) || content.Length != BlockLength(leaves, block)) return false;
        Span<byte> digest = stackalloc byte[DigestBytes];
        HashBlock(content, digest);
        return MerkleTree.TryClimb(BlockCount(leaves), block, path, digest) && digest.SequenceEqual(root);
    }

    /// <summary>Longest path in a tree over so many hashes, digests.</summary>
    internal static int MaxPathLength(int leaves) => BlockCount(leaves) <= 1 ? 0 : BitOperations.Log2((uint)(BlockCount(leaves) - 1)) + 1;

    private static byte[] Digests(ReadOnlySpan<ulong> leaves)
    {
        var digests = new byte[BlockCount(leaves.Length) * DigestBytes];
        HashBlocks(leaves, 0, BlockCount(leaves.Length), digests);
        return digests;
    }

    private static void HashBlock(ReadOnlySpan<ulong> block, Span<byte> digest)
    {
        Span<byte> bytes = stackalloc byte[1 + (BlockLeaves * sizeof(ulong))];
        bytes[0] = MerkleTree.LeafPrefix;
        for (var i = 0; i < block.Length; i++) BinaryPrimitives.WriteUInt64LittleEndian(bytes[(1 + (i * sizeof(ulong)))..], block[i]);
        SHA256.HashData(bytes[..(1 + (block.Length * sizeof(ulong)))], digest);
    }
}
