using Federation.Silo.Storage;

namespace Federation.Silo.Hosting;

/// <summary>Does one thing again and again, the first time at once. A round that fails is told and made up for by the next.</summary>
internal abstract partial class PeriodicService(TimeSpan period, TimeProvider time, ILogger logger) : BackgroundService
{
    /// <summary>The clock.</summary>
    protected TimeProvider Time { get; } = time;

    /// <summary>One round.</summary>
    protected abstract Task LookAsync(CancellationToken cancellationToken);

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

    private async Task TryLookAsync(CancellationToken stoppingToken)
    {
        try
        {
            await LookAsync(stoppingToken);
        }
        catch (StorageException exception) when (exception.IsTransient)
        {
            LogAway(GetType().Name, exception);
        }
        catch (Exception exception) when (exception is not OperationCanceledException)
        {
            LogFailed(GetType().Name, exception);
        }
    }

    [LoggerMessage(3270, LogLevel.Warning, "{Service}: the database is away; tried again at the next look")]
    private partial void LogAway(string service, Exception exception);

    [LoggerMessage(3271, LogLevel.Error, "{Service}: a look failed; tried again at the next")]
    private partial void LogFailed(string service, Exception exception);
}
