using Federation.Contracts.Jobs;
using Federation.Contracts.Nodes;
using Orleans.Placement;

namespace Federation.Silo.Jobs;

/// <inheritdoc cref="IJobGrain"/>
/// <remarks>
/// A streamed job lives as long as its client listens, on the silo that serves it, so its fence is this activation's memory and
/// the record's primary key. Placed beside the caller: a job has no other company.
/// </remarks>
[PreferLocalPlacement]
internal sealed class JobGrain : Grain, IJobGrain
{
    private int? _settledAttempt;

    public async Task<Settlement> Settle(JobOutcome outcome)
    {
        if (_settledAttempt is null)
        {
            await GrainFactory.GetGrain<INodeGrain>(outcome.NodeId).Book(outcome);
            _settledAttempt = outcome.Attempt;
            // Its one purpose is served; pay is unique by the job's id in the ledger, whoever may ask again.
            DeactivateOnIdle();
        }
        return new Settlement(_settledAttempt == outcome.Attempt, _settledAttempt.Value);
    }
}
