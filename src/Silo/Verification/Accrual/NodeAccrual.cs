namespace Federation.Silo.Verification.Accrual;

/// <summary>What of a receipt's work is paid.</summary>
/// <param name="Microseconds">The part that is, µs of reference work.</param>
/// <param name="Unpaid">Why not all of it, in words; null when it is.</param>
internal readonly record struct PaidWork(long Microseconds, string? Unpaid);

/// <summary>
/// How much work of one node was credited in which hour and when it ran: what the next receipt's pay is capped by. A copy in memory of what is on
/// record; forget it after a commit that failed. Not safe for use by several threads.
/// </summary>
internal sealed class NodeAccrual(string nodeId, EarningStore store, AccrualOptions options)
{
    // Receipts of long ago come in only after a database was away for long.
    private const int HoursMax = 64;

    private readonly Dictionary<long, long> _credited = [];
    private WorkIntervals? _intervals;

    /// <summary>Reads what the next <see cref="Take"/>s need.</summary>
    /// <param name="hours">The hours of the receipts that will be taken in.</param>
    /// <param name="firstMs">The earliest beginning of their work, hub's clock.</param>
    public async Task PrepareAsync(IReadOnlyCollection<long> hours, long firstMs)
    {
        if (_credited.Count + hours.Count > HoursMax) _credited.Clear();
        foreach (var hour in hours)
        {
            if (!_credited.ContainsKey(hour)) _credited[hour] = await store.CreditedInHourAsync(nodeId, hour, CancellationToken.None);
        }
        if (_intervals is not null) return;
        var intervals = new WorkIntervals(options);
        // What is on record was taken in by these rules, or by more slots than there are now: it stays.
        foreach (var (from, to) in await store.ListIntervalsAsync(nodeId, firstMs - (long)options.IntervalMemory.TotalMilliseconds, CancellationToken.None)) intervals.TryAdd(from, to, int.MaxValue);
        _intervals = intervals;
    }

    /// <summary>Takes in one receipt's work.</summary>
    /// <param name="hour">Its hour, prepared before.</param>
    /// <param name="referenceMicroseconds">What it claims.</param>
    /// <param name="dispatchMs">When it began, hub's clock.</param>
    /// <param name="lastMs">When it ended.</param>
    /// <param name="slots">How many leases the node runs at once; 0 when nobody knows any more: then nothing is refused for it.</param>
    public PaidWork Take(long hour, long referenceMicroseconds, long dispatchMs, long lastMs, int slots)
    {
        if (!_intervals!.TryAdd(dispatchMs, lastMs, slots > 0 ? slots : int.MaxValue)) return new PaidWork(0, "it ran while all the node's slots were credited to other work");
        var payable = AccrualRules.Payable(_credited[hour], referenceMicroseconds, options);
        _credited[hour] += payable;
        return new PaidWork(payable, payable < referenceMicroseconds ? FormattableString.Invariant($"beyond {options.SpeedMax} hours of reference work in one hour") : null);
    }

    /// <summary>Forgets everything; the next preparation reads again.</summary>
    public void Forget()
    {
        _credited.Clear();
        _intervals = null;
    }
}
