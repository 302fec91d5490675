using Federation.Silo.Hosting;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Accounts.Ledger;

/// <summary>Frees, again and again, what overdue holds still reserve. Every silo does it; a hold expires once all the same.</summary>
internal sealed partial class HoldExpiry(ILedger ledger, IOptions<LedgerOptions> options, TimeProvider time, ILogger<HoldExpiry> logger)
    : PeriodicService(options.Value.ExpiryPeriod, time, logger)
{
    /// <inheritdoc/>
    public override async Task LookAsync(CancellationToken cancellationToken)
    {
        if (await ledger.ExpireHoldsAsync(options.Value.ExpiryMax, cancellationToken) is > 0 and var ended) LogExpired(ended);
    }

    [LoggerMessage(1020, LogLevel.Information, "{Count} holds expired; what they reserved is free again")]
    private partial void LogExpired(int count);
}
