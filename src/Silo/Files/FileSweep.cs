using Federation.Silo.Hosting;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Files;

/// <summary>Deletes files whose time is up.</summary>
internal sealed class FileSweep(FileStore files, IOptions<ClientFileOptions> options, TimeProvider time, ILogger<FileSweep> logger) : PeriodicService(options.Value.SweepPeriod, time, logger)
{
    /// <inheritdoc/>
    public override Task LookAsync(CancellationToken cancellationToken) => files.SweepAsync(cancellationToken);
}
