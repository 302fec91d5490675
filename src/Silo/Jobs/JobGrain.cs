using Federation.Contracts.Jobs;
using Federation.Contracts.Nodes;
using Federation.Silo.Pricing;
using Orleans.Placement;

namespace Federation.Silo.Jobs;

/// <inheritdoc cref="IJobGrain"/>
/// <remarks>
/// A job lives as long as its client listens, on the silo that serves it, so its fence is this activation's memory and the record's primary key. Placed beside the caller: a job has no other company.
/// What nobody pays for is booked by its node without it, see <see cref="Gateway.Settlements"/>.
/// </remarks>
[PreferLocalPlacement]
internal sealed class JobGrain(Payments payments) : Grain, IJobGrain
{
    private int? _settledAttempt;

    public async Task<Settlement> Settle(JobOutcome outcome)
    {
        if (_settledAttempt is null)
        {
            // What its client pays comes first, with the job's record: a node that loses a receipt to a crash in between loses less than a client who would have to be asked twice.
            if ((outcome.HoldId.Length > 0 || outcome.NodeId.Length == 0) && !await payments.SettleAsync(outcome)) return new Settlement(Settled: false, outcome.Attempt);
            if (outcome.NodeId.Length > 0) await GrainFactory.GetGrain<INodeGrain>(outcome.NodeId).Book(outcome with { Answer = null });
            _settledAttempt = outcome.Attempt;
            // Its one purpose is served; pay is unique by the job's id in the ledger, whoever may ask again.
            DeactivateOnIdle();
        }
        return new Settlement(_settledAttempt == outcome.Attempt, _settledAttempt.Value);
    }
}
