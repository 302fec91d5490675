using Federation.Silo.Hosting;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification.Epochs;

/// <summary>Closes epochs while the hub runs.</summary>
internal sealed class EpochService(EpochClosing closing, IOptions<EpochOptions> options, TimeProvider time, ILogger<EpochService> logger)
    : PeriodicService(options.Value.LookPeriod, time, logger)
{
    /// <inheritdoc/>
    public override Task LookAsync(CancellationToken cancellationToken) => closing.LookAsync(cancellationToken);
}
