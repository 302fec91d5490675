using System.Collections.Immutable;
using Federation.Protocol.Challenges;

namespace Federation.Silo.Verification.Challenges;

/// <summary>Makes opened segments of a MEM challenge again. They are made together, since one takes as long as sixteen.</summary>
internal static class MemoryVerifier
{
    /// <summary>The sums that the cells should have.</summary>
    /// <param name="bufferKey">Key of the buffer.</param>
    /// <param name="passKeys">Keys of the passes, by round.</param>
    /// <param name="parameters">Of the challenge.</param>
    /// <param name="cells">Segments of passes.</param>
    /// <param name="cancellationToken">Looked at between groups of sixteen segments.</param>
    public static ulong[] Hashes(ulong bufferKey, ulong[] passKeys, ChallengeParameters parameters, ImmutableArray<ChallengeCell> cells, CancellationToken cancellationToken)
    {
        var hashes = new ulong[cells.Length];
        var words = new ulong[Math.Min(cells.Length, ChallengeMemory.SegmentsAtOnce) * ChallengeMemory.SegmentWords];
        for (var start = 0; start < cells.Length; start += ChallengeMemory.SegmentsAtOnce)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var count = Math.Min(ChallengeMemory.SegmentsAtOnce, cells.Length - start);
            int[] segments = [.. cells.AsSpan(start, count).ToArray().Select(cell => cell.Index)];
            var made = words.AsSpan(0, count * ChallengeMemory.SegmentWords);
            ChallengeMemory.Fill(bufferKey, segments, parameters.FillDepth, made);
            for (var i = 0; i < count; i++)
            {
                hashes[start + i] = ChallengeMemory.Hash(made.Slice(i * ChallengeMemory.SegmentWords, ChallengeMemory.SegmentWords), passKeys[cells[start + i].Round]);
            }
        }
        return hashes;
    }
}
