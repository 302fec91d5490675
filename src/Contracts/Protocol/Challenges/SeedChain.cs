using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using Federation.Protocol.Identity;

namespace Federation.Protocol.Challenges;

/// <summary>
/// The seeds of a challenge. The first follows from what nobody could know before the challenge; each later one from the one before and the root of the round between. So no
/// round can be computed ahead of time, nor before the rounds that precede it, nor on another machine at the same time.
/// </summary>
/// <remarks>The seed of a round makes its second factor (MM) or is the key of its pass (MEM). One more seed, <see cref="Fixed"/>, makes what all rounds share: A, or the buffer.</remarks>
public static class SeedChain
{
    /// <summary>Length of seeds, roots and the final hash, bytes.</summary>
    public const int HashBytes = SHA256.HashSizeInBytes;

    /// <summary>The seed of the first round.</summary>
    /// <param name="start">The challenge.</param>
    /// <param name="nodePublicKey">The node's SubjectPublicKeyInfo.</param>
    public static byte[] First(ChallengeStart start, ReadOnlySpan<byte> nodePublicKey)
    {
        ArgumentNullException.ThrowIfNull(start);
        Span<byte> slot = stackalloc byte[sizeof(long)];
        BinaryPrimitives.WriteInt64LittleEndian(slot, start.Slot);
        // Every part but the hub's id has one length, and that is followed by parts of one length: no two inputs run together to the same bytes.
        return SHA256.HashData(SigningDomain.ChallengeSeed.Prefix(
            [(byte)start.Parameters.Kind, .. start.Beacon, .. nodePublicKey, .. Encoding.ASCII.GetBytes(start.Hub.ToString()), .. slot, .. start.Nonce]));
    }

    /// <summary>The seed of what all rounds share.</summary>
    public static byte[] Fixed(ReadOnlySpan<byte> first) => SHA256.HashData(SigningDomain.ChallengeFixedSeed.Prefix(first));

    /// <summary>The seed of the round after one that had this seed and gave this root.</summary>
    public static byte[] Next(ReadOnlySpan<byte> seed, ReadOnlySpan<byte> root) => SHA256.HashData([.. seed, .. root]);

    /// <summary>What a node commits to: the hash of all roots, in the order of the rounds.</summary>
    public static byte[] Final(ReadOnlySpan<byte> roots) => SHA256.HashData(roots);

    /// <summary>The 64 bits of a seed that matrices, buffers and passes are made from; all of its bits count.</summary>
    public static ulong StreamKey(ReadOnlySpan<byte> seed)
    {
        var key = 0UL;
        for (var i = 0; i < HashBytes; i += sizeof(ulong)) key = SplitMix64.Mix(key ^ BinaryPrimitives.ReadUInt64LittleEndian(seed[i..]));
        return key;
    }
}
