using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Security.Cryptography;

namespace Federation.Protocol.Challenges;

/// <summary>
/// The draw of the cells to open: an HMAC of the challenge and its commitment under the hub's secret of the epoch. The node cannot foresee it, and once the secret is revealed
/// anybody can check that the hub could not choose either.
/// </summary>
public static class ChallengeDraw
{
    /// <summary>Draws <paramref name="count"/> cells, each uniform and independent of the others.</summary>
    public static ImmutableArray<ChallengeCell> Cells(ReadOnlySpan<byte> secret, ChallengeId id, ReadOnlySpan<byte> final, ChallengeParameters parameters, int count)
    {
        ArgumentNullException.ThrowIfNull(parameters);
        byte[] input = [.. id.ToArray(), .. final, 0, 0, 0, 0];
        Span<byte> random = stackalloc byte[HMACSHA256.HashSizeInBytes];
        var cells = ImmutableArray.CreateBuilder<ChallengeCell>(count);
        for (var i = 0; i < count; i++)
        {
            BinaryPrimitives.WriteInt32LittleEndian(input.AsSpan(^sizeof(int)), i);
            HMACSHA256.HashData(secret, input, random);
            cells.Add(new ChallengeCell(Scale(random, parameters.Rounds), Scale(random[sizeof(ulong)..], parameters.LeavesPerRound)));
        }
        return cells.MoveToImmutable();
    }

    /// <summary>64 random bits to a number below <paramref name="limit"/>; the bias is below limit ÷ 2^64.</summary>
    private static int Scale(ReadOnlySpan<byte> random, int limit)
        => (int)Math.BigMul(BinaryPrimitives.ReadUInt64LittleEndian(random), (ulong)limit, out _);
}
