using System.Buffers.Binary;
using System.Collections.Immutable;
using Federation.Protocol.Identity;

namespace Federation.Protocol.Receipts;

/// <summary>
/// A signature as a receipt keeps it: 64 bytes, the receipt's place in its <see cref="ReceiptBatch"/> and the batch's number of receipts (2 bytes each, big-endian), and the hashes beside the way from
/// the receipt to the root, the lowest first (32 bytes each). Receipts that were signed alone, before there were batches, keep the 64 bytes.
/// </summary>
/// <param name="Signature">By the key, 64 bytes.</param>
/// <param name="Index">The receipt's place in the batch, 0 for the first.</param>
/// <param name="Count">Receipts in the batch; 0 where the receipt was signed alone.</param>
/// <param name="Path">The siblings, one behind the other.</param>
public sealed record ReceiptSignature(ImmutableArray<byte> Signature, int Index, int Count, ImmutableArray<byte> Path)
{
    /// <summary>The longest, bytes: one of a batch of <see cref="ReceiptBatch.CountMax"/>.</summary>
    public const int BytesMax = PathAt + (7 * MerkleTree.DigestBytes);

    private const int CountAt = SigningKey.SignatureBytes + sizeof(ushort);
    private const int PathAt = CountAt + sizeof(ushort);

    /// <summary>Reads what <see cref="ToBytes"/> wrote.</summary>
    /// <exception cref="FormatException">It is no such thing; the message says why.</exception>
    public static ReceiptSignature Read(ReadOnlySpan<byte> kept)
    {
        if (kept.Length == SigningKey.SignatureBytes) return new ReceiptSignature([.. kept], 0, 0, []);
        if (kept.Length is < PathAt or > BytesMax)
            throw new FormatException($"it has {kept.Length} bytes; one over the receipt alone has {SigningKey.SignatureBytes}, one over a batch {PathAt} to {BytesMax}");
        var (index, count) = (BinaryPrimitives.ReadUInt16BigEndian(kept[SigningKey.SignatureBytes..]), BinaryPrimitives.ReadUInt16BigEndian(kept[CountAt..]));
        if (count is 0 or > ReceiptBatch.CountMax) throw new FormatException($"it is over a batch of {count}; a batch has 1 to {ReceiptBatch.CountMax} receipts");
        if (index >= count) throw new FormatException($"it names place {index + 1} in a batch of {count}");
        var path = kept[PathAt..];
        var length = MerkleTree.PathLength(count, index) * MerkleTree.DigestBytes;
        if (path.Length != length) throw new FormatException($"its path has {path.Length} bytes; that of place {index + 1} in a batch of {count} has {length}");
        return new ReceiptSignature([.. kept[..SigningKey.SignatureBytes]], index, count, [.. path]);
    }

    /// <summary>The bytes that a receipt keeps.</summary>
    public byte[] ToBytes()
    {
        if (Count == 0) return [.. Signature];
        var kept = new byte[PathAt + Path.Length];
        Signature.CopyTo(kept);
        BinaryPrimitives.WriteUInt16BigEndian(kept.AsSpan(SigningKey.SignatureBytes), checked((ushort)Index));
        BinaryPrimitives.WriteUInt16BigEndian(kept.AsSpan(CountAt), checked((ushort)Count));
        Path.CopyTo(kept, PathAt);
        return kept;
    }

    /// <summary>Whether it is that node key's over this receipt.</summary>
    /// <param name="publicKey">The node's, DER SubjectPublicKeyInfo.</param>
    /// <param name="payload">The receipt's canonical bytes.</param>
    public bool IsByNode(ReadOnlySpan<byte> publicKey, ReadOnlySpan<byte> payload)
    {
        if (Count == 0) return PublicKeys.Verify(publicKey, ReceiptCodec.NodeSigningBytes(payload), Signature.AsSpan());
        Span<byte> digest = stackalloc byte[MerkleTree.DigestBytes];
        ReceiptBatch.HashNodeLeaf(ReceiptCodec.IdOf(payload).AsSpan(), digest);
        return IsOverBatch(SigningDomain.ReceiptBatch, publicKey, digest);
    }

    /// <summary>Whether it is that hub key's over this receipt and its node's signature.</summary>
    /// <param name="publicKey">The hub's, DER SubjectPublicKeyInfo.</param>
    /// <param name="payload">The receipt's canonical bytes.</param>
    /// <param name="nodeSignature">What the receipt keeps of its node's signature.</param>
    public bool IsByHub(ReadOnlySpan<byte> publicKey, ReadOnlySpan<byte> payload, ReadOnlySpan<byte> nodeSignature)
    {
        if (Count == 0) return PublicKeys.Verify(publicKey, ReceiptCodec.HubSigningBytes(payload, nodeSignature), Signature.AsSpan());
        if (nodeSignature.Length > BytesMax) return false;
        Span<byte> digest = stackalloc byte[MerkleTree.DigestBytes];
        ReceiptBatch.HashHubLeaf(ReceiptCodec.IdOf(payload).AsSpan(), nodeSignature, digest);
        return IsOverBatch(SigningDomain.IssuedReceiptBatch, publicKey, digest);
    }

    private bool IsOverBatch(SigningDomain domain, ReadOnlySpan<byte> publicKey, Span<byte> digest)
        => MerkleTree.TryClimb(Count, Index, Path.AsSpan(), digest) && PublicKeys.Verify(publicKey, ReceiptBatch.SigningBytesOf(domain, Count, digest), Signature.AsSpan());
}
