using Federation.Silo.Verification.Inference;

namespace Federation.Silo.Verification.Audits;

/// <summary>Has arbiters speak one after the other, within a time.</summary>
internal static class Hearing
{
    /// <summary>Hears arbiters until it is decided, nobody is left, or the time is up.</summary>
    /// <param name="escalation">What it is about.</param>
    /// <param name="arbiters">Who may be asked, in this order.</param>
    /// <param name="nodeOf">An arbiter's node id.</param>
    /// <param name="ask">Asks one; may give what there is, or throw, when its token is cancelled: then its share of the time is up.</param>
    /// <param name="limit">For all of them together. One has no more than its share, or one slow arbiter would leave nobody to confirm what he found.</param>
    /// <param name="time">For that.</param>
    /// <param name="cancellationToken">Stops it.</param>
    public static async Task<Escalation> HearAsync<TArbiter>(
        Escalation escalation, IEnumerable<TArbiter> arbiters, Func<TArbiter, string> nodeOf, Func<TArbiter, CancellationToken, Task<(InferenceOutcome Outcome, AlarmReview? Review)>> ask,
        TimeSpan limit, TimeProvider time, CancellationToken cancellationToken)
    {
        var begun = time.GetTimestamp();
        foreach (var arbiter in arbiters)
        {
            if (escalation.Status is not EscalationStatus.Open) break;
            if (!escalation.MayArbitrate(nodeOf(arbiter))) continue;
            var left = limit - time.GetElapsedTime(begun);
            if (left <= TimeSpan.Zero) break;
            var share = limit / Escalation.ArbitersNeeded;
            using var over = new CancellationTokenSource(left < share ? left : share, time);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, over.Token);
            (InferenceOutcome Outcome, AlarmReview? Review) said;
            try
            {
                said = await ask(arbiter, either.Token);
            }
            catch (OperationCanceledException) when (over.IsCancellationRequested)
            {
                said = (InferenceOutcome.Inconclusive, null);
            }
            cancellationToken.ThrowIfCancellationRequested();
            escalation = escalation.Hear(nodeOf(arbiter), said.Outcome, said.Review);
        }
        return escalation;
    }
}
