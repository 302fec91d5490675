using System.Buffers.Binary;
using System.Security.Cryptography;

namespace Federation.Silo.Verification.Sampling;

/// <summary>
/// What an epoch's beacon is made from: 32 random bytes, whose hash is published before the epoch begins and which are revealed
/// after its root is.
/// </summary>
internal static class EpochSecret
{
    /// <summary>Length of a secret, of its commitment, and of a beacon, bytes.</summary>
    public const int Bytes = SHA256.HashSizeInBytes;

    /// <summary>What is published beforehand: <c>SHA-256("cf1/epoch-secret" ‖ 0 ‖ epoch ‖ secret)</c>, the epoch as 8 bytes big-endian.</summary>
    public static byte[] Commitment(long epoch, ReadOnlySpan<byte> secret) => Hash("cf1/epoch-secret\0"u8, epoch, secret);

    /// <summary>
    /// The epoch's beacon: <c>SHA-256("cf1/beacon" ‖ 0 ‖ epoch ‖ secrets)</c>. With several hubs their secrets follow each other in the
    /// order of the hubs' ids; one of them that is random makes the beacon so.
    /// </summary>
    public static byte[] Beacon(long epoch, ReadOnlySpan<byte> secrets) => Hash("cf1/beacon\0"u8, epoch, secrets);

    private static byte[] Hash(ReadOnlySpan<byte> domain, long epoch, ReadOnlySpan<byte> secrets)
    {
        Span<byte> number = stackalloc byte[sizeof(long)];
        BinaryPrimitives.WriteInt64BigEndian(number, epoch);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(domain);
        hash.AppendData(number);
        hash.AppendData(secrets);
        return hash.GetHashAndReset();
    }
}
