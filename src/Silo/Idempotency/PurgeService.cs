using Federation.Silo.Hosting;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Idempotency;

/// <summary>Throws answers away that nobody may ask for again.</summary>
internal sealed class PurgeService(GivenAnswers answers, IOptions<IdempotencyOptions> options, TimeProvider time, ILogger<PurgeService> logger)
    : PeriodicService(options.Value.PurgePeriod, time, logger)
{
    /// <inheritdoc/>
    public override Task LookAsync(CancellationToken cancellationToken) => answers.PurgeAsync(cancellationToken);
}
