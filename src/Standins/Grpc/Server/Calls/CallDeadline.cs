namespace Grpc.AspNetCore.Server;

/// <summary>Watches the time a client gave a call.</summary>
internal sealed class CallDeadline : IAsyncDisposable
{
    private static readonly TimeSpan _longestTimer = TimeSpan.FromDays(30);

    private readonly TimeProvider _time;
    private readonly Func<Action, Task> _expire;
    private readonly CancellationTokenSource _cancellation;
    private readonly TaskCompletionSource _expired = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly ITimer _timer;

    /// <param name="time">The clock.</param>
    /// <param name="timeout">How long the call may take from now.</param>
    /// <param name="expire">Ends the call; given what cancels its handler.</param>
    /// <param name="aborted">Cancelled when the client is gone.</param>
    public CallDeadline(TimeProvider time, TimeSpan timeout, Func<Action, Task> expire, CancellationToken aborted)
    {
        _time = time;
        _expire = expire;
        _cancellation = CancellationTokenSource.CreateLinkedTokenSource(aborted);
        CancellationToken = _cancellation.Token;
        Time = time.GetUtcNow().UtcDateTime + timeout;
        _timer = time.CreateTimer(
            static deadline => ((CallDeadline)deadline!).OnTimer(),
            this,
            Timeout.InfiniteTimeSpan,
            Timeout.InfiniteTimeSpan);
        Wait(timeout);
    }

    /// <summary>When the call ends at the latest, UTC.</summary>
    public DateTime Time { get; }

    /// <summary>Cancelled when the client is gone or the time is up.</summary>
    public CancellationToken CancellationToken { get; }

    /// <summary>Completes when the end of the time has been dealt with.</summary>
    public Task Expired => _expired.Task;

    public async ValueTask DisposeAsync()
    {
        await _timer.DisposeAsync();
        _cancellation.Dispose();
    }

    private void Wait(TimeSpan left) =>
        _timer.Change(left < _longestTimer ? left + TimeSpan.FromMilliseconds(1) : _longestTimer, Timeout.InfiniteTimeSpan);

    private void OnTimer()
    {
        // Timers are coarse and may fire early; a far deadline takes several.
        if (Time - _time.GetUtcNow().UtcDateTime is var left && left > TimeSpan.Zero)
            Wait(left);
        else
            _ = ExpireAsync();
    }

    private async Task ExpireAsync()
    {
        try
        {
            await _expire(_cancellation.Cancel);
        }
        finally
        {
            _expired.TrySetResult();
        }
    }
}
