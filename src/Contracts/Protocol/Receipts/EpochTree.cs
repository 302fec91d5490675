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
/// The Merkle tree over the receipts of an epoch, in the order of their ids, hashed as in RFC 6962 §2.1: a leaf's content is the id, then the rate as 4 bytes
/// big-endian.
/// </summary>
public static class EpochTree
{
    private const int DigestBytes = MerkleTree.DigestBytes;

    /// <summary>The root.</summary>
    /// <exception cref="ArgumentException">The ids are not 32 bytes each, ascending, and all different.</exception>
    public static byte[] Root(IReadOnlyList<EpochLeaf> leaves) => MerkleTree.Root(Digests(leaves));

    /// <summary>The siblings on the way from a leaf to the root, the lowest first.</summary>
    /// <param name="leaves">All of them.</param>
    /// <param name="index">Which one.</param>
    /// <inheritdoc cref="Root" path="/exception"/>
    public static ImmutableArray<byte[]> Path(IReadOnlyList<EpochLeaf> leaves, int index) => MerkleTree.Split(MerkleTree.Path(Digests(leaves), index));

    /// <summary>Whether a leaf stands at that place of the tree with this root.</summary>
    /// <param name="root">The root.</param>
    /// <param name="count">Leaves in the whole tree.</param>
    /// <param name="index">The leaf's place.</param>
    /// <param name="leaf">The leaf.</param>
    /// <param name="path">Its path, the lowest first.</param>
    public static bool Contains(ReadOnlySpan<byte> root, int count, int index, EpochLeaf leaf, IReadOnlyList<byte[]> path)
    {
        if (leaf.Id.IsDefault || leaf.Id.Length != DigestBytes || leaf.RateMillionths is < 0 or > 1_000_000) return false;
        Span<byte> digest = stackalloc byte[DigestBytes];
        HashLeaf(leaf, digest);
        return MerkleTree.TryClimb(count, index, path, digest) && digest.SequenceEqual(root);
    }

    /// <summary>What a hub signs when it closes an epoch: epoch and number of receipts as 8 bytes big-endian, then the commitment to the secret, then the root.</summary>
    public static byte[] SigningBytes(long epoch, long count, ReadOnlySpan<byte> commitment, ReadOnlySpan<byte> root)
    {
        Span<byte> numbers = stackalloc byte[2 * sizeof(long)];
        BinaryPrimitives.WriteInt64BigEndian(numbers, epoch);
        BinaryPrimitives.WriteInt64BigEndian(numbers[sizeof(long)..], count);
        return SigningDomain.Epoch.Prefix([.. numbers, .. commitment, .. root]);
    }

    private static byte[] Digests(IReadOnlyList<EpochLeaf> leaves)
    {
        var digests = new byte[checked(leaves.Count * DigestBytes)];
        for (var i = 0; i < leaves.Count; i++)
        {
            if (leaves[i].Id.Length != DigestBytes) throw new ArgumentException("An id is 32 bytes.", nameof(leaves));
            if (i > 0 && leaves[i - 1].Id.AsSpan().SequenceCompareTo(leaves[i].Id.AsSpan()) >= 0) throw new ArgumentException("The ids must ascend, and no two be the same.", nameof(leaves));
            HashLeaf(leaves[i], MerkleTree.At(digests, i));
        }
        return digests;
    }

    private static void HashLeaf(EpochLeaf leaf, Span<byte> digest)
    {
        Span<byte> bytes = stackalloc byte[1 + DigestBytes + sizeof(int)];
        bytes[0] = MerkleTree.LeafPrefix;
        leaf.Id.AsSpan().CopyTo(bytes[1..]);
        BinaryPrimitives.WriteInt32BigEndian(bytes[(1 + DigestBytes)..], leaf.RateMillionths);
        SHA256.HashData(bytes, digest);
    }
}
