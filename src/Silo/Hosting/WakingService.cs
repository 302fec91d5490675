using System.Threading.Channels;
using Federation.Silo.Storage;

namespace Federation.Silo.Hosting;

/// <summary>Looks for work again and again, and at once when it is woken. A look that fails is told and made up for by the next.</summary>
/// <param name="period">From the end of one look to the next, unless it is woken.</param>
/// <param name="time">The clock.</param>
/// <param name="logger">Told of looks that failed.</param>
internal abstract partial class WakingService(TimeSpan period, TimeProvider time, ILogger logger) : BackgroundService
{
    // One call is enough to remember that somebody called.
    private readonly Channel<bool> _calls = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite, SingleReader = true });

    /// <summary>The clock.</summary>
    protected TimeProvider Time { get; } = time;

    /// <summary>There is work now. Safe from any thread, and free where it is awake already.</summary>
    public void Wake() => _calls.Writer.TryWrite(true);

    /// <summary>One look.</summary>
    public abstract Task LookAsync(CancellationToken cancellationToken);

    /// <summary>What is under way when the hub stops is handed back here.</summary>
    protected virtual Task StopWorkAsync() => Task.CompletedTask;

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        try
        {
            while (true)
            {
                await TryLookAsync(stoppingToken);
                await WaitAsync(stoppingToken);
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            await StopWorkAsync();
        }
    }

    private async Task WaitAsync(CancellationToken stoppingToken)
    {
        using var wait = CancellationTokenSource.CreateLinkedTokenSource(stoppingToken);
        await Task.WhenAny(_calls.Reader.WaitToReadAsync(wait.Token).AsTask(), Task.Delay(period, Time, wait.Token));
        await wait.CancelAsync();
        _calls.Reader.TryRead(out _);
        stoppingToken.ThrowIfCancellationRequested();
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

    [LoggerMessage(3272, LogLevel.Warning, "{Service}: the database is away; tried again at the next look")]
    private partial void LogAway(string service, Exception exception);

    [LoggerMessage(3273, LogLevel.Error, "{Service}: a look failed; tried again at the next")]
    private partial void LogFailed(string service, Exception exception);
}
