using System.Collections.Immutable;
using Federation.Contracts.Nodes;
using Federation.Protocol.Verification;
using Federation.Silo.Verification.Inference;

namespace Federation.Silo.Verification.Audits;

/// <summary>An answer judged with what is remembered of its node.</summary>
/// <param name="NodeId">Who gave it.</param>
/// <param name="Weights">With which weights.</param>
/// <param name="Work">The answer.</param>
/// <param name="Scored">As the verifier scored it.</param>
/// <param name="Verdict">The judge's.</param>
/// <param name="Alarms">Sums that alarm with it, and the answers behind each.</param>
internal sealed record JudgedAnswer(
    string NodeId, string Weights, AuditedWork Work, AuditedAnswer Scored, InferenceVerdict Verdict, ImmutableArray<(SumAlarm Alarm, ImmutableArray<AuditedWork> Works)> Alarms);

/// <summary>
/// What audits leave behind for later ones: the sums and draws of each node and weights, and the answers they rest on. It is read when an answer is judged and changes with the verdict's record:
/// a verdict that is lost on the way uses up no alarm, one that is not lost leaves its score, and an audit that is repeated counts once.
/// </summary>
internal sealed class AuditMemory(InferenceHistories histories, AuditTrail trail, InferenceJudge judge) : IDisposable
{
    private readonly SemaphoreSlim _turn = new(1);

    /// <summary>Judges; nothing is remembered yet.</summary>
    public async Task<JudgedAnswer> JudgeAsync(string nodeId, AuditedWork work, AuditedAnswer scored, CancellationToken cancellationToken)
    {
        var weights = DeterminismClass.WeightsOf(work.Kept.Outcome.DeterminismClass);
        var (verdict, _) = judge.Judge(scored, await histories.GetAsync(nodeId, weights, cancellationToken), work.Seed.ToRandom());
        return new JudgedAnswer(nodeId, weights, work, scored, verdict, [.. verdict.Alarms.Select(alarm => (alarm, trail.Behind(new SumKey(nodeId, weights, alarm.Sum), work, alarm.Audits)))]);
    }

    /// <summary>Remembers the answer with its verdict, in one step.</summary>
    /// <param name="judged">The answer.</param>
    /// <param name="record">Writes the verdict and what is remembered from now on; a verdict that is on record already changes neither.</param>
    /// <param name="cancellationToken">Stops the wait for others.</param>
    public async Task<Ruling> RecordAsync(JudgedAnswer judged, Func<AuditHistory, Task<Ruling>> record, CancellationToken cancellationToken)
    {
        await _turn.WaitAsync(cancellationToken);
        try
        {
            // Other audits of the node may have ended since it was judged, as arbiters take their time: it counts with what is remembered by now.
            var before = await histories.GetAsync(judged.NodeId, judged.Weights, cancellationToken);
            var (verdict, after) = judge.Judge(judged.Scored, before, judged.Work.Seed.ToRandom());
            var unreviewed = verdict.Alarms.Select(alarm => alarm.Sum).Except(judged.Alarms.Select(reviewed => reviewed.Alarm.Sum)).ToArray();
            // An alarm that no arbiter has seen is left to the next audit.
            if (unreviewed.Contains(AuditSum.Margin)) after = after with { Margin = before.Margin };
            if (unreviewed.Contains(AuditSum.Delta)) after = after with { Delta = before.Delta };
            var ruling = await record(InferenceHistories.Of(judged.Weights, after));
            foreach (var (sum, score, audits) in new[] { (AuditSum.Margin, verdict.Figures.MarginScore, after.Margin.Audits), (AuditSum.Delta, verdict.Figures.DeltaScore, after.Delta.Audits) })
            {
                if (score is null || unreviewed.Contains(sum)) continue;
                // The sum of an alarm is 0 again, and rests on nothing.
                trail.Keep(new SumKey(judged.NodeId, judged.Weights, sum), judged.Work, audits);
            }
            return ruling;
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _turn.Dispose();
}
