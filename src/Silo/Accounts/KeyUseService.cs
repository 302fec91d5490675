using Federation.Silo.Hosting;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Accounts;

/// <summary>Writes down which keys were used, away from the requests that use them.</summary>
internal sealed class KeyUseService(ApiKeys keys, IOptions<ApiKeyOptions> options, TimeProvider time, ILogger<KeyUseService> logger)
    : PeriodicService(options.Value.UsePeriod, time, logger)
{
    /// <inheritdoc/>
    public override Task LookAsync(CancellationToken cancellationToken) => keys.WriteUsesAsync(cancellationToken);
}
