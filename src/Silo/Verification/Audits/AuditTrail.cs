using System.Collections.Immutable;
using Federation.Protocol.Verification;
using Federation.Silo.Verification.Inference;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification.Audits;

/// <summary>An answer that was audited, as it may have to be audited again.</summary>
/// <param name="Kept">Request and answer.</param>
/// <param name="Seed">Of its audit: an arbiter looks at the same places.</param>
/// <param name="Worker">What the worker had committed to about its tokens, as far as it was shown.</param>
internal sealed record AuditedWork(KeptAnswer Kept, AuditSeed Seed, ImmutableArray<CommittedToken> Worker)
{
    private const int TokenBytes = 256;

    /// <summary>Positions that an audit by probes scores; <see langword="null"/>: as many as usual.</summary>
    public int? Positions { get; init; }

    /// <summary>Memory it holds, about, bytes.</summary>
    public long Bytes => Kept.Bytes + ((long)Worker.Length * TokenBytes);
}

/// <summary>One sum of one node with certain weights.</summary>
internal readonly record struct SumKey(string NodeId, string Weights, AuditSum Sum);

/// <summary>
/// The answers that the sums over many audits rest on, so that arbiters can score all of them when one alarms. In this process's memory alone, bounded in number,
/// bytes and time; what is gone lowers the number of answers an alarm is reviewed by.
/// </summary>
/// <remarks>Most of the time a sum is at or near 0 and rests on few answers or none. Safe for use by several threads.</remarks>
internal sealed class AuditTrail(IOptions<AuditOptions> options, TimeProvider time)
{
    private readonly Lock _gate = new();
    private readonly LinkedList<(SumKey Key, AuditedWork Work, long KeptAt)> _byAge = [];
    private readonly Dictionary<SumKey, Queue<LinkedListNode<(SumKey Key, AuditedWork Work, long KeptAt)>>> _bySum = [];

    /// <summary>Memory in use, bytes.</summary>
    public long Bytes { get; private set; }

    /// <summary>Keeps an answer behind those the sum rested on before.</summary>
    /// <param name="key">The sum.</param>
    /// <param name="work">The answer.</param>
    /// <param name="audits">How many answers the sum rests on now, this one included (<see cref="Cusum.Audits"/>); with 0 all are forgotten.</param>
    public void Keep(SumKey key, AuditedWork work, int audits)
    {
        lock (_gate)
        {
            if (!_bySum.TryGetValue(key, out var series)) _bySum[key] = series = new();
            series.Enqueue(_byAge.AddLast((key, work, time.GetTimestamp())));
            Bytes += work.Bytes;
            while (series.Count > Math.Min(audits, options.Value.AlarmAnswers)) Remove(series.Peek());
            while (_byAge.First is { } oldest && (Bytes > options.Value.AlarmBufferBytes || time.GetElapsedTime(oldest.Value.KeptAt) > options.Value.AlarmKeepFor)) Remove(oldest);
        }
    }

    /// <summary>What there still is, oldest first.</summary>
    public ImmutableArray<AuditedWork> Find(SumKey key)
    {
        lock (_gate)
        {
            return _bySum.TryGetValue(key, out var series)
                ? [.. series.Where(node => time.GetElapsedTime(node.Value.KeptAt) <= options.Value.AlarmKeepFor).Select(node => node.Value.Work)]
                : [];
        }
    }

    /// <summary>What a sum rests on with one more answer, as it would be kept.</summary>
    /// <param name="key">The sum.</param>
    /// <param name="latest">The answer, which is not kept yet.</param>
    /// <param name="audits">How many answers the sum rests on, this one included.</param>
    public ImmutableArray<AuditedWork> Behind(SumKey key, AuditedWork latest, int audits) => [.. Find(key).Add(latest).TakeLast(Math.Min(audits, options.Value.AlarmAnswers))];

    // What goes is always its sum's oldest, whether the sum's number or everybody's age decides.
    private void Remove(LinkedListNode<(SumKey Key, AuditedWork Work, long KeptAt)> node)
    {
        var series = _bySum[node.Value.Key];
        series.Dequeue();
        if (series.Count == 0) _bySum.Remove(node.Value.Key);
        _byAge.Remove(node);
        Bytes -= node.Value.Work.Bytes;
    }
}
