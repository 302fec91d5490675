using System.Threading.Channels;

namespace Federation.Silo.Hosting;

/// <summary>Looks for work again and again, and at once when it is woken.</summary>
/// <param name="period">From the end of one look to the next, unless it is woken.</param>
/// <param name="time">The clock.</param>
/// <param name="logger">Told of looks that failed.</param>
internal abstract class WakingService(TimeSpan period, TimeProvider time, ILogger logger) : LookingService(time, logger)
{
    private static readonly TimeSpan ForgetPeriod = TimeSpan.FromMinutes(1);

    // One call is enough to remember that somebody called.
    private readonly Channel<bool> _calls = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite, SingleReader = true });

    private long? _forgotAt;

    /// <summary>There is work now. Safe from any thread, and free where it is awake already.</summary>
    public void Wake() => _calls.Writer.TryWrite(true);

    /// <summary>What is under way when the hub stops is handed back here.</summary>
    protected virtual Task StopWorkAsync() => Task.CompletedTask;

    /// <summary>Has what is too old forgotten: once a minute, and where there was something at every look until there is nothing left.</summary>
    /// <param name="forget">Forgets a round of it at most, and says how much that was.</param>
    /// <param name="cancellationToken">The hub stops.</param>
    protected async Task ForgetAsync(Func<CancellationToken, Task<int>> forget, CancellationToken cancellationToken)
    {
        if (_forgotAt is { } at && Time.GetElapsedTime(at) < ForgetPeriod) return;
        if (await forget(cancellationToken) == 0) _forgotAt = Time.GetTimestamp();
    }

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
}
