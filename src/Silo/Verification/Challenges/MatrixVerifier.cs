using System.Collections.Immutable;
using Federation.Protocol.Challenges;

namespace Federation.Silo.Verification.Challenges;

/// <summary>Computes opened rows of an MM challenge again, O(n²) each. Rows of one round share the making of their B.</summary>
internal static class MatrixVerifier
{
    /// <summary>The hashes that the cells should have.</summary>
    /// <param name="firstKey">Key of A.</param>
    /// <param name="roundKeys">Keys of B, by round.</param>
    /// <param name="parameters">Of the challenge.</param>
    /// <param name="cells">Rows of rounds.</param>
    /// <param name="cancellationToken">Stops it within milliseconds.</param>
    public static ulong[] Hashes(ulong firstKey, ulong[] roundKeys, ChallengeParameters parameters, ImmutableArray<ChallengeCell> cells, CancellationToken cancellationToken)
    {
        var hashes = new ulong[cells.Length];
        foreach (var round in Enumerable.Range(0, cells.Length).GroupBy(i => cells[i].Round))
        {
            int[] opened = [.. round];
            var found = new ulong[opened.Length];
            MatrixRows.Hash(firstKey, roundKeys[round.Key], parameters.LeavesPerRound, [.. opened.Select(i => cells[i].Index)], found, cancellationToken);
            for (var i = 0; i < opened.Length; i++) hashes[opened[i]] = found[i];
        }
        return hashes;
    }
}
