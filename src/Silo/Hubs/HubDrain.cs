using Federation.Silo.Nodes;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Hubs;

/// <summary>
/// A graceful stop: first no new work, then the running answers finish, then the nodes are told to dial another silo. Only
/// after that does the server go.
/// </summary>
internal sealed partial class HubDrain(IOptions<HubOptions> options, NodeSessions sessions, TimeProvider time, ILogger<HubDrain> logger)
    : IHostedLifecycleService
{
    // What is cut off must be on record before the grains that write it go.
    private static readonly TimeSpan LastWords = TimeSpan.FromSeconds(5);

    private readonly TaskCompletionSource _idle = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _running;
    private volatile bool _draining;

    /// <summary>No new work is taken.</summary>
    public bool IsDraining => _draining;

    /// <summary>Counts an answer until it is disposed; <see langword="null"/> when no new ones are taken.</summary>
    public IDisposable? TryEnter()
    {
        Interlocked.Increment(ref _running);
        if (!_draining) return new Answer(this);
        Leave();
        return null;
    }

    public async Task StoppingAsync(CancellationToken cancellationToken)
    {
        _draining = true;
        var running = Volatile.Read(ref _running);
        if (running > 0)
        {
            LogDraining(running, options.Value.DrainTimeout);
            await Task.WhenAny(_idle.Task, Task.Delay(options.Value.DrainTimeout, time, cancellationToken));
            if (Volatile.Read(ref _running) is > 0 and var left) LogCutOff(left);
        }
        sessions.CloseAll();
        if (Volatile.Read(ref _running) > 0) await Task.WhenAny(_idle.Task, Task.Delay(LastWords, time, cancellationToken));
    }

    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    private void Leave()
    {
        if (Interlocked.Decrement(ref _running) == 0 && _draining) _idle.TrySetResult();
    }

    [LoggerMessage(1100, LogLevel.Information, "The hub is stopping: {Running} answers may finish within {Timeout}")]
    private partial void LogDraining(int running, TimeSpan timeout);

    [LoggerMessage(1101, LogLevel.Warning, "{Running} answers were cut off by the stop")]
    private partial void LogCutOff(int running);

    private sealed class Answer(HubDrain drain) : IDisposable
    {
        private HubDrain? _drain = drain;

        public void Dispose() => Interlocked.Exchange(ref _drain, null)?.Leave();
    }
}
