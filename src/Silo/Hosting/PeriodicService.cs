namespace Federation.Silo.Hosting;

/// <summary>Looks again and again, from the beginning of one look to that of the next a period.</summary>
internal abstract class PeriodicService(TimeSpan period, TimeProvider time, ILogger logger) : LookingService(time, logger)
{
    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using PeriodicTimer timer = new(period, Time);
        try
        {
            do
            {
                await TryLookAsync(stoppingToken);
            }
            while (await timer.WaitForNextTickAsync(stoppingToken));
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // The hub stops; the next start goes on.
        }
    }
}
