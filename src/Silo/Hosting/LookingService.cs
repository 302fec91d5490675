using Federation.Silo.Storage;

namespace Federation.Silo.Hosting;

/// <summary>Looks for something to do again and again, the first time at once. A look that fails is told and made up for by the next.</summary>
/// <param name="time">The clock.</param>
/// <param name="logger">Told of looks that failed.</param>
internal abstract partial class LookingService(TimeProvider time, ILogger logger) : BackgroundService
{
    /// <summary>The clock.</summary>
    protected TimeProvider Time { get; } = time;

    /// <summary>One look.</summary>
    public abstract Task LookAsync(CancellationToken cancellationToken);

    /// <summary>One look, which fails for nothing but the hub's stop.</summary>
    protected async Task TryLookAsync(CancellationToken stoppingToken)
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
