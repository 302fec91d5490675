using System.Threading.Channels;
using Federation.Contracts.Nodes;
using Federation.Silo.Nodes;

namespace Federation.Silo.Gateway;

/// <summary>What a node says about one lease, wherever the node's connection is. The last event is Done, Failed or Refused.</summary>
internal abstract class LeaseStream : IAsyncDisposable
{
    private int _ungranted;

    protected abstract ChannelReader<LeaseEvent> Events { get; }

    /// <summary>The next event.</summary>
    /// <exception cref="TimeoutException">None came in time.</exception>
    public async ValueTask<LeaseEvent> ReadAsync(TimeSpan timeout, TimeProvider time, CancellationToken cancellationToken)
    {
        if (TryRead(out var ready)) return ready;
        return await Events.ReadAsync(cancellationToken).AsTask().WaitAsync(timeout, time, cancellationToken);
    }

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

    public abstract ValueTask DisposeAsync();

    protected abstract void Grant(int bytes);
}

/// <summary>A lease whose node is connected to this silo: no grain, no copy in between.</summary>
internal sealed class LocalLeaseStream(NodeSession session, Lease lease) : LeaseStream
{
    protected override ChannelReader<LeaseEvent> Events => lease.Events;

    public override void Cancel(string reason) => session.Cancel(lease.LeaseId, reason);

    public override ValueTask DisposeAsync()
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

    public override async ValueTask DisposeAsync()
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
