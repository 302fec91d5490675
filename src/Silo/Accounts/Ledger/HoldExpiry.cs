using Microsoft.Extensions.Options;

namespace Federation.Silo.Accounts.Ledger;

/// <summary>Frees, again and again, what overdue holds still reserve. Every silo does it; a hold expires once all the same.</summary>
internal sealed partial class HoldExpiry(ILedger ledger, IOptions<LedgerOptions> options, TimeProvider time, ILogger<HoldExpiry> logger)
    : BackgroundService
{
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using PeriodicTimer timer = new(options.Value.ExpiryPeriod, time);
        while (await NextTickAsync(timer, stoppingToken))
            await LookAsync(stoppingToken);
    }

    private async Task LookAsync(CancellationToken stoppingToken)
    {
        try
        {
            var ended = await ledger.ExpireHoldsAsync(options.Value.ExpiryMax, stoppingToken);
            if (ended > 0)
                LogExpired(ended);
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // The hub stops; the next start looks first.
        }
        catch (Exception e)
        {
            // Whatever it was, the holds are still there at the next look.
            LogFailed(e);
        }
    }

    private static async ValueTask<bool> NextTickAsync(PeriodicTimer timer, CancellationToken stoppingToken)
    {
        try
        {
            return await timer.WaitForNextTickAsync(stoppingToken);
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    [LoggerMessage(EventId = 1100, Level = LogLevel.Information, Message = "{Count} holds expired; what they reserved is free again")]
    private partial void LogExpired(int count);

    [LoggerMessage(EventId = 1101, Level = LogLevel.Warning, Message = "Overdue holds could not be ended; they are tried again at the next look")]
    private partial void LogFailed(Exception exception);
}
