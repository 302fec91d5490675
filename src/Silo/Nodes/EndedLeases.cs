namespace Federation.Silo.Nodes;

/// <summary>
/// The leases of a session that ended lately. What the node had already sent of them is still on its way, and is expected; more
/// than was left of a lease's window is not. Bounded; safe for use by several threads.
/// </summary>
internal sealed class EndedLeases(int capacity)
{
    // Enough for a head and an end that crossed the cancellation on an exhausted window.
    private const int CourtesyBytes = 4 * Lease.ChunkOverheadBytes;

    private readonly Dictionary<string, long> _left = new(StringComparer.Ordinal);
    private readonly Queue<string> _order = [];
    private readonly Lock _gate = new();

    /// <summary>A lease ended, with this much of its window unused.</summary>
    public void Add(string leaseId, long windowLeft)
    {
        lock (_gate)
        {
            if (!_left.TryAdd(leaseId, Math.Max(0, windowLeft) + CourtesyBytes)) return;
            _order.Enqueue(leaseId);
            if (_order.Count > capacity) _left.Remove(_order.Dequeue());
        }
    }

    /// <summary>A message of this size came for the lease.</summary>
    public LateMessage Take(string leaseId, int bytes)
    {
        lock (_gate)
        {
            if (!_left.TryGetValue(leaseId, out var left)) return LateMessage.Unknown;
            _left[leaseId] = left - bytes;
            return left >= bytes ? LateMessage.Expected : LateMessage.TooMuch;
        }
    }
}

/// <summary>What to think of a message for a lease that does not run.</summary>
internal enum LateMessage
{
    /// <summary>It crossed the lease's end.</summary>
    Expected,

    /// <summary>The node goes on although the lease has ended.</summary>
    TooMuch,

    /// <summary>There was no such lease.</summary>
    Unknown,
}
