namespace Federation.NodeAgent.Engines.Builtin;

/// <summary>Lets a number of requests run and a number wait, first come first served.</summary>
internal sealed class SlotQueue(int slots, int waitingMax) : IDisposable
{
    private readonly SemaphoreSlim _free = new(slots, slots);
    private int _present;

    /// <summary>Waits for a slot; null when too many wait already. Dispose what it gives to leave.</summary>
    public async Task<IDisposable?> EnterAsync(CancellationToken cancellationToken)
    {
        if (Interlocked.Increment(ref _present) > slots + waitingMax)
        {
            Interlocked.Decrement(ref _present);
            return null;
        }

        try
        {
            await _free.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch
        {
            Interlocked.Decrement(ref _present);
            throw;
        }

        return new Slot(this);
    }

    /// <summary>Waits until all have left. Whoever waits for a slot must have been cancelled before, or gets in first.</summary>
    public async Task DrainAsync()
    {
        for (var i = 0; i < slots; i++)
        {
            await _free.WaitAsync(CancellationToken.None).ConfigureAwait(false);
        }
    }

    public void Dispose() => _free.Dispose();

    private sealed class Slot(SlotQueue queue) : IDisposable
    {
        private int _left;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _left, 1) == 0)
            {
                Interlocked.Decrement(ref queue._present);
                queue._free.Release();
            }
        }
    }
}
