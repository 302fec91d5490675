using System.Diagnostics.CodeAnalysis;

namespace Federation.Silo.Models;

/// <summary>
/// A weighted-fair queue: each account is served in proportion to its weight, whatever the number of its jobs, and within an
/// account first come is first served.
/// </summary>
/// <remarks>
/// Start-time fair queueing (Goyal, Vin, Cheng 1996) with unit cost. An item's tag is the later of the virtual time and the
/// account's last finish; serving the smallest tag moves the virtual time there. An account that was idle starts at the
/// present, so it cannot save up turns; one whose items leave unserved has not used theirs. Not safe for use by several
/// threads: it lives in a grain.
/// </remarks>
/// <typeparam name="T">What waits.</typeparam>
/// <param name="ageAfter">An account that waits and had no turn for so long has the next one, whatever its weight; zero: weights alone decide.</param>
internal sealed class FairQueue<T>(TimeSpan ageAfter = default)
    where T : notnull
{
    private const int AccountsBeforePruning = 64;

    private readonly SortedSet<Entry> _entries = new(EntryOrder.Instance);
    private readonly Dictionary<T, LinkedListNode<Entry>> _byItem = [];
    private readonly Dictionary<string, Account> _accounts = new(StringComparer.Ordinal);
    private int _pruneAt = AccountsBeforePruning;
    private double _virtualTime;
    private long _arrivals;

    /// <summary>How many wait.</summary>
    public int Count => _entries.Count;

    /// <summary>Accounts whose last turns still matter, those that wait among them.</summary>
    public int RememberedAccounts => _accounts.Count;

    /// <summary>Adds an item behind the account's others.</summary>
    /// <param name="item">What waits.</param>
    /// <param name="accountId">Whose it is.</param>
    /// <param name="weight">The account's, above 0.</param>
    /// <param name="now">By any clock that only goes forward, the same for all calls.</param>
    public void Enqueue(T item, string accountId, double weight, TimeSpan now = default)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(weight);
        var account = AccountOf(accountId);
        // Who was idle waits from now on.
        if (account.Waiting.Count == 0) account.WaitsSince = now;
        var start = Math.Max(_virtualTime, account.Finish);
        account.Finish = start + (1 / weight);
        var entry = new Entry(item, accountId, _virtualTime, _arrivals++) { Start = start, Cost = 1 / weight };
        _byItem.Add(item, account.Waiting.AddLast(entry));
        _entries.Add(entry);
    }

    /// <summary>Takes the first item, in fair order, that <paramref name="canServe"/> accepts; before it, one of the account that had no turn for the longest, if that is too long.</summary>
    public bool TryDequeue(Func<T, bool> canServe, [MaybeNullWhen(false)] out T item, TimeSpan now = default)
    {
        if (ageAfter > TimeSpan.Zero && Aged(canServe, now) is { } aged)
        {
            item = Serve(aged, now);
            return true;
        }
        foreach (var entry in _entries)
        {
            if (!canServe(entry.Item)) continue;
            _virtualTime = Math.Max(_virtualTime, entry.Start);
            item = Serve(entry, now);
            return true;
        }
        item = default;
        return false;
    }

    /// <summary>The first in the line of the account that waits for the longest, longer than it should; a turn out of order does not move the virtual time.</summary>
    private Entry? Aged(Func<T, bool> canServe, TimeSpan now)
    {
        (Entry? Entry, TimeSpan Since) oldest = (null, now - ageAfter);
        foreach (var account in _accounts.Values)
        {
            if (account.Waiting.First is not { } first || account.WaitsSince > oldest.Since || (oldest.Entry is not null && account.WaitsSince == oldest.Since)) continue;
            if (canServe(first.Value.Item)) oldest = (first.Value, account.WaitsSince);
        }
        return oldest.Entry;
    }

    private T Serve(Entry entry, TimeSpan now)
    {
        _accounts[entry.AccountId].WaitsSince = now;
        Forget(_byItem[entry.Item]);
        return entry.Item;
    }

    /// <summary>Takes an item out of turn: its client left, or its patience ended. The account's later items move up.</summary>
    public bool Remove(T item)
    {
        if (!_byItem.TryGetValue(item, out var place)) return false;
        var gap = place.Value.Cost;
        for (var next = place.Next; next is not null && gap > 0; next = next.Next) gap = MoveUp(next.Value, gap);
        _accounts[place.Value.AccountId].Finish -= gap;
        Forget(place);
        return true;
    }

    /// <summary>All that wait, in the order they would be served.</summary>
    public IEnumerable<T> InOrder() => _entries.Select(entry => entry.Item);

    /// <summary>Moves an item up by as much as it may; it never starts before the moment it came.</summary>
    private double MoveUp(Entry entry, double gap)
    {
        var before = entry.Start;
        _entries.Remove(entry);
        entry.Start = Math.Max(entry.Earliest, before - gap);
        _entries.Add(entry);
        return before - entry.Start;
    }

    private void Forget(LinkedListNode<Entry> place)
    {
        var entry = place.Value;
        _entries.Remove(entry);
        _byItem.Remove(entry.Item);
        _accounts[entry.AccountId].Waiting.Remove(place);
        if (_entries.Count > 0) return;
        _accounts.Clear();
        _virtualTime = 0;
    }

    private Account AccountOf(string id)
    {
        if (_accounts.TryGetValue(id, out var known)) return known;
        if (_accounts.Count >= _pruneAt) Prune();
        return _accounts[id] = new Account();
    }

    /// <summary>An idle account's finish is kept only while it lies ahead of the virtual time.</summary>
    private void Prune()
    {
        foreach (var (id, account) in _accounts)
        {
            if (account.Waiting.Count == 0 && account.Finish <= _virtualTime) _accounts.Remove(id);
        }
        // So that the work stays small beside the enqueuing that led to it.
        _pruneAt = Math.Max(AccountsBeforePruning, 2 * _accounts.Count);
    }

    private sealed class Account
    {
        public double Finish { get; set; }

        /// <summary>When it began to wait, or had its last turn.</summary>
        public TimeSpan WaitsSince { get; set; }

        public LinkedList<Entry> Waiting { get; } = [];
    }

    private sealed class Entry(T item, string accountId, double earliest, long arrival)
    {
        public T Item => item;

        public string AccountId => accountId;

        /// <summary>The virtual time when it came.</summary>
        public double Earliest => earliest;

        public long Arrival => arrival;

        public required double Cost { get; init; }

        /// <summary>Its place in the order; changed only while it is out of it.</summary>
        public required double Start { get; set; }
    }

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
