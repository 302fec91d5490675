using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Security.Cryptography;
using Federation.Protocol.Identity;

namespace Federation.Protocol.Receipts;

/// <summary>
/// Receipts that share a signature: it is over their number and the root of the Merkle tree (RFC 6962 §2.1) whose leaves they are, in their order. For the node a leaf's content is the receipt's
/// id; for the hub it is the id and then the node's signature as the receipt keeps it (<see cref="ReceiptSignature"/>), so that the hub signs what the node agreed to.
/// </summary>
/// <remarks>With the number signed, too, a place in the tree means one thing only, and no bit of what a receipt keeps can change.</remarks>
public sealed class ReceiptBatch
{
    /// <summary>Most receipts in one.</summary>
    public const int CountMax = 128;

    private readonly byte[] _leaves;

    private ReceiptBatch(SigningDomain domain, byte[] leaves)
    {
        _leaves = leaves;
        SigningBytes = SigningBytesOf(domain, leaves.Length / MerkleTree.DigestBytes, MerkleTree.Root([.. leaves]));
    }

    /// <summary>What is signed.</summary>
    public byte[] SigningBytes { get; }

    /// <summary>What the node signs.</summary>
    /// <param name="ids">1 to <see cref="CountMax"/> receipts' ids, 32 bytes each.</param>
    /// <exception cref="ArgumentException">There are none, too many, or one is of another length.</exception>
    public static ReceiptBatch OfNode(IReadOnlyList<ImmutableArray<byte>> ids)
    {
        var leaves = Leaves(ids.Count);
        for (var i = 0; i < ids.Count; i++) HashNodeLeaf(ids[i].AsSpan(), MerkleTree.At(leaves, i));
        return new ReceiptBatch(SigningDomain.ReceiptBatch, leaves);
    }

    /// <summary>What the hub signs.</summary>
    /// <param name="receipts">1 to <see cref="CountMax"/> receipts' ids and what each keeps of its node's signature.</param>
    /// <exception cref="ArgumentException">There are none, too many, or an id is of another length.</exception>
    public static ReceiptBatch OfHub(IReadOnlyList<(ImmutableArray<byte> Id, byte[] NodeSignature)> receipts)
    {
        var leaves = Leaves(receipts.Count);
        for (var i = 0; i < receipts.Count; i++) HashHubLeaf(receipts[i].Id.AsSpan(), receipts[i].NodeSignature, MerkleTree.At(leaves, i));
        return new ReceiptBatch(SigningDomain.IssuedReceiptBatch, leaves);
    }

    /// <summary>What each receipt, in their order, keeps of the signature over them all.</summary>
    /// <param name="signature">64 bytes.</param>
    public ImmutableArray<byte[]> Kept(ReadOnlySpan<byte> signature)
    {
        var count = _leaves.Length / MerkleTree.DigestBytes;
        var paths = MerkleTree.Paths([.. _leaves], [.. Enumerable.Range(0, count)]);
        var kept = ImmutableArray.CreateBuilder<byte[]>(count);
        for (var i = 0; i < count; i++) kept.Add(new ReceiptSignature([.. signature], i, count, [.. paths[i]]).ToBytes());
        return kept.MoveToImmutable();
    }

    internal static byte[] SigningBytesOf(SigningDomain domain, int count, ReadOnlySpan<byte> root)
    {
        Span<byte> signed = stackalloc byte[sizeof(int) + MerkleTree.DigestBytes];
        BinaryPrimitives.WriteInt32BigEndian(signed, count);
        root.CopyTo(signed[sizeof(int)..]);
        return domain.Prefix(signed);
    }

    internal static void HashNodeLeaf(ReadOnlySpan<byte> id, Span<byte> digest) => HashHubLeaf(id, [], digest);

    internal static void HashHubLeaf(ReadOnlySpan<byte> id, ReadOnlySpan<byte> nodeSignature, Span<byte> digest)
    {
        if (id.Length != MerkleTree.DigestBytes) throw new ArgumentException($"A receipt's id is {MerkleTree.DigestBytes} bytes, not {id.Length}.", nameof(id));
        if (nodeSignature.Length > ReceiptSignature.BytesMax) throw new ArgumentException($"A receipt's signature is at most {ReceiptSignature.BytesMax} bytes, not {nodeSignature.Length}.", nameof(nodeSignature));
        Span<byte> content = stackalloc byte[1 + MerkleTree.DigestBytes + ReceiptSignature.BytesMax];
        content[0] = MerkleTree.LeafPrefix;
        id.CopyTo(content[1..]);
        nodeSignature.CopyTo(content[(1 + MerkleTree.DigestBytes)..]);
        SHA256.HashData(content[..(1 + MerkleTree.DigestBytes + nodeSignature.Length)], digest);
    }

    private static byte[] Leaves(int count)
        => count is >= 1 and <= CountMax ? new byte[count * MerkleTree.DigestBytes] : throw new ArgumentException($"A batch has 1 to {CountMax} receipts, not {count}.", nameof(count));
}
