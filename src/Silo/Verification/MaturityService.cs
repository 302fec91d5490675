using Federation.Contracts.Nodes;
using Federation.Silo.Hosting;
using Federation.Silo.Verification.Accrual;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification;

/// <summary>
/// Has the grains of nodes with due earnings settle them, connected or not. Every silo looks; a node's grain is one, so each earning moves once.
/// </summary>
internal sealed class MaturityService(EarningStore earnings, IGrainFactory grains, IOptions<AccrualOptions> options, TimeProvider time, ILogger<MaturityService> logger)
    : PeriodicService(options.Value.LookPeriod, time, logger)
{
    /// <inheritdoc/>
    public override async Task LookAsync(CancellationToken cancellationToken)
    {
        foreach (var node in await earnings.ListNodesToSettleAsync(Time.GetUtcNow(), options.Value.NodesPerLook, cancellationToken))
        {
            cancellationToken.ThrowIfCancellationRequested();
            await grains.GetGrain<INodeGrain>(node).SettleEarnings();
        }
    }
}
