using System.Runtime.InteropServices;

namespace Federation.Silo.Verification.Accrual;

/// <summary>
/// When a device worked, as far as it is credited: at no moment on more than its slots at once. Remembers what a later interval
/// could still overlap and forgets the rest. Not safe for use by several threads.
/// </summary>
/// <param name="options">Tolerance and memory.</param>
internal sealed class WorkIntervals(AccrualOptions options)
{
    // Most jobs come in the order of their ends, so what is looked at is the tail.
    private readonly List<(long From, long To)> _byEnd = [];
    private readonly List<(long At, int Step)> _edges = [];

    /// <summary>Intervals that are remembered.</summary>
    public int Count => _byEnd.Count;

    /// <summary>Takes the interval in, unless more than <paramref name="slots"/> would then have run at once.</summary>
    /// <param name="dispatchMs">Beginning, ms of the hub's clock.</param>
    /// <param name="lastMs">End; one before the beginning counts as an empty interval, which overlaps nothing.</param>
    /// <param name="slots">Jobs the device may run at once, 1 or more.</param>
    /// <returns>Whether it may be credited.</returns>
    public bool TryAdd(long dispatchMs, long lastMs, int slots)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(slots, 1);
        var from = Math.Min(dispatchMs + (long)options.OverlapTolerance.TotalMilliseconds, lastMs);
        if (from >= lastMs) return true;
        if (Deepest(from, lastMs) >= slots) return false;
        var at = _byEnd.Count;
        while (at > 0 && _byEnd[at - 1].To > lastMs) at--;
        _byEnd.Insert(at, (from, lastMs));
        Forget(_byEnd[^1].To - (long)options.IntervalMemory.TotalMilliseconds);
        return true;
    }

    /// <summary>The most intervals that run at one moment within [from, to).</summary>
    private int Deepest(long from, long to)
    {
        _edges.Clear();
        for (var i = _byEnd.Count - 1; i >= 0 && _byEnd[i].To > from; i--)
        {
            if (_byEnd[i].From >= to) continue;
            _edges.Add((Math.Max(from, _byEnd[i].From), 1));
            _edges.Add((_byEnd[i].To, -1));
        }
        // An end comes before a beginning at the same moment: intervals that touch do not overlap.
        CollectionsMarshal.AsSpan(_edges).Sort();
        var (depth, deepest) = (0, 0);
        foreach (var (_, step) in _edges)
        {
            depth += step;
            deepest = Math.Max(deepest, depth);
        }
        return deepest;
    }

    private void Forget(long before)
    {
        var old = 0;
        while (old < _byEnd.Count && _byEnd[old].To <= before) old++;
        // Moving the list for each of them would cost more than keeping a few too long.
        if (old > _byEnd.Count / 2) _byEnd.RemoveRange(0, old);
    }
}
