namespace Federation.NodeAgent.Link;

/// <summary>
/// What a lease may still send before the hub grants more. Waiting here is how a slow client slows the engine down, and nothing
/// but its own lease. One sender; grants may come from another thread.
/// </summary>
internal sealed class LeaseWindow(long initialBytes)
{
    /// <summary>What a chunk costs beyond its data. Both ends count so.</summary>
    public const int ChunkOverheadBytes = 64;

    private readonly Lock _gate = new();
    private long _left = initialBytes;
    private TaskCompletionSource? _granted;

    /// <summary>Takes the room of a chunk of <paramref name="dataBytes"/>, if it is there.</summary>
    public bool TryTake(int dataBytes)
    {
        lock (_gate)
        {
            var cost = dataBytes + ChunkOverheadBytes;
            if (_left < cost) return false;
            _left -= cost;
            return true;
        }
    }

    /// <summary>Waits until a chunk of <paramref name="dataBytes"/> fits, and takes its room.</summary>
    public async ValueTask TakeAsync(int dataBytes, CancellationToken cancellationToken)
    {
        while (true)
        {
            Task granted;
            lock (_gate)
            {
                if (TryTake(dataBytes)) return;
                _granted ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                granted = _granted.Task;
            }
            await granted.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    public void Grant(long bytes)
    {
        TaskCompletionSource? waiting;
        lock (_gate)
        {
            _left += bytes;
            (waiting, _granted) = (_granted, null);
        }
        waiting?.TrySetResult();
    }
}
