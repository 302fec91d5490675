using System.Buffers.Binary;
using System.Security.Cryptography;

namespace Federation.Silo.Verification.Sampling;

/// <summary>
/// Which receipts of an epoch are audited: <c>HMAC-SHA256(beacon, id) &lt; p·2^64</c>, the code's first eight bytes read big-endian. The beacon is
/// revealed after the receipts and their rates are rooted, so neither hub nor node can steer the draw, and anybody can repeat it.
/// </summary>
internal static class AuditDraw
{
    /// <summary>Whether the receipt is audited.</summary>
    /// <param name="beacon">The epoch's beacon, 32 bytes.</param>
    /// <param name="receiptId">The receipt's id, 32 bytes.</param>
    /// <param name="rate">The rate the epoch's root commits to.</param>
    public static bool IsDrawn(ReadOnlySpan<byte> beacon, ReadOnlySpan<byte> receiptId, AuditRate rate) => Ticket(beacon, receiptId) < rate.Threshold;

    /// <summary>The receipt's number in the draw, uniform over 64 bits.</summary>
    public static ulong Ticket(ReadOnlySpan<byte> beacon, ReadOnlySpan<byte> receiptId)
    {
        Span<byte> code = stackalloc byte[HMACSHA256.HashSizeInBytes];
        HMACSHA256.HashData(beacon, receiptId, code);
        return BinaryPrimitives.ReadUInt64BigEndian(code);
    }
}
