using System.Diagnostics.CodeAnalysis;

namespace Federation.Silo.Models;

/// <summary>
/// A weighted-fair queue: each account is served in proportion to its weight, whatever the number of its jobs, and within an
/// account first come is first served.
/// </summary>
/// <remarks>
/// Start-time fair queueing (Goyal, Vin, Cheng 1996) with unit cost. An item's tag is the later of the virtual time and the
/// account's last finish; serving the smallest tag moves the virtual time there. An account that was idle starts at the
/// present, so it cannot save up turns. Not safe for use by several threads: it lives in a grain.
/// </remarks>
/// <typeparam name="T">What waits.</typeparam>
internal sealed class FairQueue<T>
    where T : notnull
{
    private readonly SortedSet<Entry> _entries = new(EntryOrder.Instance);
    private readonly Dictionary<T, Entry> _byItem = [];
    private readonly Dictionary<string, Account> _accounts = new(StringComparer.Ordinal);
    private double _virtualTime;
    private long _arrivals;

    /// <summary>How many wait.</summary>
    public int Count => _entries.Count;

    /// <summary>Adds an item behind the account's others.</summary>
    public void Enqueue(T item, string account, double weight)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(weight);
        var state = _accounts.TryGetValue(account, out var known) ? known : _accounts[account] = new Account();
        var start = Math.Max(_virtualTime, state.Finish);
        state.Finish = start + (1 / weight);
        state.Waiting++;
        var entry = new Entry(item, account, start, _arrivals++);
        _entries.Add(entry);
        _byItem.Add(item, entry);
    }

    /// <summary>Takes the first item, in fair order, that <paramref name="canServe"/> accepts.</summary>
    public bool TryDequeue(Func<T, bool> canServe, [MaybeNullWhen(false)] out T item)
    {
        foreach (var entry in _entries)
        {
            if (!canServe(entry.Item)) continue;
            _virtualTime = Math.Max(_virtualTime, entry.Start);
            Forget(entry);
            item = entry.Item;
            return true;
        }
        item = default;
        return false;
    }

    /// <summary>Takes an item out of turn: its client left, or its patience ended.</summary>
    public bool Remove(T item)
    {
        if (!_byItem.TryGetValue(item, out var entry)) return false;
        Forget(entry);
        return true;
    }

    /// <summary>All that wait, in the order they would be served.</summary>
    public IEnumerable<T> InOrder() => _entries.Select(entry => entry.Item);

    private void Forget(Entry entry)
    {
        _entries.Remove(entry);
        _byItem.Remove(entry.Item);
        var account = _accounts[entry.Account];
        account.Waiting--;
        // An account's finish may lie ahead of the virtual time; it is kept only while that still matters.
        if (account.Waiting == 0 && account.Finish <= _virtualTime) _accounts.Remove(entry.Account);
        if (_entries.Count == 0)
        {
            _accounts.Clear();
            _virtualTime = 0;
        }
    }

    private sealed class Account
    {
        public double Finish { get; set; }

        public int Waiting { get; set; }
    }

    private sealed record Entry(T Item, string Account, double Start, long Arrival);

    private sealed class EntryOrder : IComparer<Entry>
    {
        public static readonly EntryOrder Instance = new();

        public int Compare(Entry? x, Entry? y)
        {
            var byStart = x!.Start.CompareTo(y!.Start);
            return byStart != 0 ? byStart : x.Arrival.CompareTo(y.Arrival);
        }
    }
}
