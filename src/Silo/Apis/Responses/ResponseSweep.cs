using Federation.Silo.Hosting;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Apis.Responses;

/// <summary>Deletes answers whose time is over. Every silo looks; deleting twice changes nothing.</summary>
internal sealed class ResponseSweep(ResponseStore store, IOptions<ResponsesOptions> options, TimeProvider time, ILogger<ResponseSweep> logger) : PeriodicService(options.Value.SweepPeriod, time, logger)
{
    /// <inheritdoc/>
    public override Task LookAsync(CancellationToken cancellationToken) => store.SweepAsync(cancellationToken);
}
