using Federation.Protocol.Challenges;

namespace Federation.NodeAgent.Compute;

/// <summary>The passes of a MEM challenge over main memory, on all cores.</summary>
internal sealed class CpuMemoryProver : IChallengeProver
{
    /// <summary>Segments that one thread takes at a time: enough to be worth the taking, few enough that all threads end together.</summary>
    private const int SegmentsAtOnce = 64;

    private readonly ComputeTeam _team;
    private readonly int _segments;
    private readonly int _depth;
    private readonly NativeBuffer _words;

    /// <exception cref="ChallengeException">The memory is not to be had.</exception>
    public CpuMemoryProver(ChallengeParameters parameters, ComputeTeam team)
    {
        (_team, _segments, _depth) = (team, parameters.LeavesPerRound, parameters.FillDepth);
        _words = new NativeBuffer(parameters.Size);
    }

    public void Prepare(ulong key, CancellationToken cancellationToken)
    {
        const int AtOnce = ChallengeMemory.SegmentsAtOnce;
        _team.ForEach((_segments + AtOnce - 1) / AtOnce, group =>
        {
            Span<int> segments = stackalloc int[AtOnce];
            var from = group * AtOnce;
            var count = Math.Min(AtOnce, _segments - from);
            for (var i = 0; i < count; i++) segments[i] = from + i;
            ChallengeMemory.Fill(key, segments[..count], _depth, Segments(from, count));
        }, cancellationToken);
    }

    public void Round(ulong key, ulong[] leaves, CancellationToken cancellationToken) =>
        _team.ForEach((_segments + SegmentsAtOnce - 1) / SegmentsAtOnce, group =>
        {
            var from = group * SegmentsAtOnce;
            for (var segment = from; segment < Math.Min(from + SegmentsAtOnce, _segments); segment++) leaves[segment] = ChallengeMemory.Hash(Segments(segment, 1), key);
        }, cancellationToken);

    public void Dispose() => _words.Dispose();

    private Span<ulong> Segments(int from, int count) => _words.Slice<ulong>((long)from * ChallengeMemory.SegmentWords, count * ChallengeMemory.SegmentWords);
}
