using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Federation.Contracts.Nodes;
using Federation.Silo.Nodes;

namespace Federation.Silo.Gateway;

/// <summary>What a node says about one lease, wherever the node's connection is. The last event is Done, Failed or Refused.</summary>
internal abstract class LeaseStream : IAsyncDisposable
{
    private int _ungranted;
    private ReadPatience? _patience;

    protected abstract ChannelReader<LeaseEvent> Events { get; }

    /// <summary>The next event.</summary>
    /// <exception cref="TimeoutException">None came in time; nothing more can be waited for.</exception>
    public ValueTask<LeaseEvent> ReadAsync(TimeSpan timeout, TimeProvider time, CancellationToken cancellationToken)
        => TryRead(out var ready) ? ValueTask.FromResult(ready) : WaitAsync(timeout, time, cancellationToken);

    /// <summary>The next event, if it is here already.</summary>
    public bool TryRead([System.Diagnostics.CodeAnalysis.MaybeNullWhen(false)] out LeaseEvent item) => Events.TryRead(out item);

    /// <summary>Lets the node send as much more as <paramref name="chunk"/> took. Grants are gathered, since each costs a message.</summary>
    public void Taken(LeaseEvent.Chunk chunk, int grantAt)
    {
        _ungranted += chunk.Data.Length + Lease.ChunkOverheadBytes;
        if (_ungranted < grantAt) return;
        Grant(_ungranted);
        _ungranted = 0;
    }

    /// <summary>Stops the node's work.</summary>
    public abstract void Cancel(string reason);

    public ValueTask DisposeAsync()
    {
        _patience?.Dispose();
        return LetGoAsync();
    }

    /// <summary>Nobody reads any more.</summary>
    protected abstract ValueTask LetGoAsync();

    protected abstract void Grant(int bytes);

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<LeaseEvent> WaitAsync(TimeSpan timeout, TimeProvider time, CancellationToken cancellationToken)
    {
        if (_patience?.Given != cancellationToken)
        {
            _patience?.Dispose();
            _patience = new ReadPatience(time, cancellationToken);
        }
        _patience.Begin(timeout);
        try
        {
            return await Events.ReadAsync(_patience.Token);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new TimeoutException($"The lease was silent for {timeout.TotalSeconds:0.#} s.");
        }
        catch (OperationCanceledException)
        {
            throw new OperationCanceledException(cancellationToken);
        }
        finally
        {
            _patience.End();
        }
    }
}

/// <summary>
/// How long each of many waits may take, on one timer: one of its own for each token of each stream would cost more than the token. Used by one reader, beside whom the timer ticks.
/// </summary>
/// <param name="time">The clock.</param>
/// <param name="given">Ends every wait.</param>
internal sealed class ReadPatience(TimeProvider time, CancellationToken given) : IDisposable
{
    private static readonly TimeSpan Least = TimeSpan.FromMilliseconds(1);

    private readonly CancellationTokenSource _over = CancellationTokenSource.CreateLinkedTokenSource(given);
    private readonly Lock _gate = new();
    private ITimer? _timer;
    private long _since;
    private TimeSpan _timeout;
    private bool _isArmed;
    private bool _isWaiting;
    private bool _isDisposed;

    /// <summary>What ends every wait from outside.</summary>
    public CancellationToken Given => given;

    /// <summary>Cancelled when <see cref="Given"/> is, or a wait has taken too long.</summary>
    public CancellationToken Token => _over.Token;

    /// <summary>A wait begins.</summary>
    public void Begin(TimeSpan timeout)
    {
        lock (_gate)
        {
            // An armed timer looks at what the wait has taken when it ticks; only one of another length needs it set anew.
            if (!_isArmed || timeout != _timeout) Arm(timeout);
            (_since, _timeout, _isWaiting) = (time.GetTimestamp(), timeout, true);
        }
    }

    /// <summary>The wait is over.</summary>
    public void End()
    {
        lock (_gate) _isWaiting = false;
    }

    public void Dispose()
    {
        lock (_gate)
        {
            _isDisposed = true;
            _timer?.Dispose();
        }
        _over.Dispose();
    }

    private void Arm(TimeSpan due)
    {
        _isArmed = true;
        if (_timer is null) _timer = time.CreateTimer(static state => ((ReadPatience)state!).Tick(), this, due, Timeout.InfiniteTimeSpan);
        else _timer.Change(due, Timeout.InfiniteTimeSpan);
    }

    private void Tick()
    {
        lock (_gate)
        {
            _isArmed = false;
            if (!_isWaiting || _isDisposed) return;
            if (_timeout - time.GetElapsedTime(_since) is var left && left > TimeSpan.Zero)
            {
                // Timers may be early by less than their unit.
                Arm(left < Least ? Least : left);
                return;
            }
            // Whoever waits goes on elsewhere, and not within the lock.
            _over.Cancel();
        }
    }
}

/// <summary>A lease whose node is connected to this silo: no grain, no copy in between.</summary>
internal sealed class LocalLeaseStream(NodeSession session, Lease lease) : LeaseStream
{
    protected override ChannelReader<LeaseEvent> Events => lease.Events;

    public override void Cancel(string reason) => session.Cancel(lease.LeaseId, reason);

    protected override ValueTask LetGoAsync()
    {
        // Harmless when the lease has ended.
        session.Cancel(lease.LeaseId, "abandoned");
        return ValueTask.CompletedTask;
    }

    protected override void Grant(int bytes) => session.Grant(lease.LeaseId, bytes);
}

/// <summary>A lease whose node is connected to another silo: batches of events come straight from there.</summary>
internal sealed partial class RemoteLeaseStream : LeaseStream, ILeaseSink
{
    // A silo that died says nothing; asking it is how this silo hears of it.
    private static readonly TimeSpan PulsePeriod = TimeSpan.FromSeconds(2);

    // How long the last words of a lease may take once it was cancelled.
    private static readonly TimeSpan LastWords = TimeSpan.FromSeconds(5);

    private readonly Channel<LeaseEvent> _events = Channel.CreateUnbounded<LeaseEvent>(new UnboundedChannelOptions { SingleReader = true });
    private readonly CancellationTokenSource _disposed = new();
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly INodeSession _session;
    private readonly string _leaseId;
    private readonly IGrainFactory _grains;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly Task _pulse;
    private ILeaseSink? _reference;

    public RemoteLeaseStream(INodeSession session, string leaseId, IGrainFactory grains, TimeProvider time, ILogger logger)
    {
        _session = session;
        _leaseId = leaseId;
        _grains = grains;
        _time = time;
        _logger = logger;
        _pulse = PulseAsync(time);
    }

    protected override ChannelReader<LeaseEvent> Events => _events.Reader;

    public async Task<AssignStatus> AssignAsync(LeaseAssignment assignment)
    {
        _reference = _grains.CreateObjectReference<ILeaseSink>(this);
        var status = await _session.Assign(assignment, _reference);
        if (status is not AssignStatus.Sent) _ended.TrySetResult();
        return status;
    }

    public Task Take(LeaseEvents events)
    {
        foreach (var item in events.Items)
        {
            _events.Writer.TryWrite(item);
            if (item is LeaseEvent.Done or LeaseEvent.Failed or LeaseEvent.Refused) _ended.TrySetResult();
        }
        return Task.CompletedTask;
    }

    public override void Cancel(string reason) => _ = QuietlyAsync(_session.Cancel(_leaseId, reason));

    protected override async ValueTask LetGoAsync()
    {
        await _disposed.CancelAsync();
        await _pulse.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        // A lease that is over may be the last of its session: nobody is there any more to be told.
        if (!_ended.Task.IsCompleted) Cancel("abandoned");
        _ = ForgetAsync();
        _disposed.Dispose();
    }

    protected override void Grant(int bytes) => _ = QuietlyAsync(_session.Grant(_leaseId, bytes));

    /// <summary>Stays reachable until the lease has said its last words: they are under way even when nobody listens any more.</summary>
    private async Task ForgetAsync()
    {
        if (_reference is null) return;
        await _ended.Task.WaitAsync(LastWords, _time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _grains.DeleteObjectReference<ILeaseSink>(_reference);
    }

    private async Task PulseAsync(TimeProvider time)
    {
        using var period = new PeriodicTimer(PulsePeriod, time);
        while (await period.WaitForNextTickAsync(_disposed.Token))
        {
            if (!await QuietlyAsync(_session.Grant(_leaseId, 0))) return;
        }
    }

    private async Task<bool> QuietlyAsync(Task call)
    {
        try
        {
            await call;
            return true;
        }
        catch (Exception exception) when (exception is OrleansException or TimeoutException)
        {
            LogSiloLost(_leaseId, exception);
            _events.Writer.TryWrite(new LeaseEvent.Failed(LeaseFailure.HubLost, "the silo that held the node's connection is gone"));
            _ended.TrySetResult();
            return false;
        }
    }

    [LoggerMessage(4100, LogLevel.Warning, "Lease {LeaseId}: the silo that holds the node's connection does not answer")]
    private partial void LogSiloLost(string leaseId, Exception exception);
}
