using System.Collections.Immutable;

namespace Federation.Silo.Accounts.Ledger;

/// <summary>
/// Does everything that was ever recorded once more, by the same rules, and says where the books disagree. Keeps accounts and
/// unended holds only, so its memory does not grow with the ledger's age.
/// </summary>
internal sealed class LedgerReplay
{
    private const int FindingsMax = 100;

    private readonly ImmutableArray<LedgerAccount> _stored;
    private readonly ImmutableArray<string>.Builder _findings = ImmutableArray.CreateBuilder<string>();
    private LedgerState _state;
    private long _transfers;

    /// <summary>Begins before the first transfer.</summary>
    /// <param name="stored">The accounts as the books have them now.</param>
    public LedgerReplay(ImmutableArray<LedgerAccount> stored)
    {
        _stored = stored;
        _state = stored.Aggregate(LedgerState.Empty, static (opened, account) => opened.Open(account.Id));
    }

    /// <summary>Does the next transfer again.</summary>
    public void Add(RecordedTransfer recorded)
    {
        _transfers++;
        var (next, result) = _state.Apply(recorded.Transfer, recorded.Timestamp);
        if (result.Status is not TransferStatus.Created)
        {
            Find($"Transfer {recorded.Transfer.Id} is on record, but done again it is {result.Status}.");
            return;
        }

        var again = next.Transfers[recorded.Transfer.Id];
        if (again != recorded)
            Find($"Transfer {recorded.Transfer.Id} is recorded as {recorded}, but done again it is {again}.");

        // That an id is unique is the table's to ensure; nothing later looks at this one.
        _state = next with { Transfers = _state.Transfers };
        if (recorded.Transfer.HoldId is { } ended)
            _state = _state with { Holds = _state.Holds.Remove(ended) };
    }

    /// <summary>Compares where the replay has arrived with the books.</summary>
    /// <param name="pendingHolds">The holds that the books have as not ended.</param>
    public LedgerAudit CompareWith(ImmutableArray<LedgerHold> pendingHolds)
    {
        foreach (var account in _stored)
        {
            if (_state.Accounts[account.Id] != account)
                Find($"The books have {account}, but its transfers add up to {_state.Accounts[account.Id]}.");
        }

        foreach (var hold in pendingHolds)
        {
            if (_state.Holds.GetValueOrDefault(hold.Id) != hold)
                Find($"The books have {hold}, but its transfers say {_state.Holds.GetValueOrDefault(hold.Id)?.ToString() ?? "that it is none or ended"}.");
        }

        if (_state.Holds.Count != pendingHolds.Length)
            Find($"The books have {pendingHolds.Length} pending holds, the transfers {_state.Holds.Count}.");

        // Said of the books themselves, without trusting the rules that were replayed. Sums need more than 64 bits.
        FindDifference("paid", "received", Sum(static account => account.DebitsPosted), Sum(static account => account.CreditsPosted));
        FindDifference("held to be paid", "held to be received", Sum(static account => account.DebitsPending), Sum(static account => account.CreditsPending));
        FindDifference("held to be paid", "in pending holds", Sum(static account => account.DebitsPending), Sum(pendingHolds, static hold => hold.Amount));
        foreach (var account in _stored)
        {
            if (!account.Id.MayOverdraw && account.Available < Microcredits.Zero)
                Find($"{account.Id} is below zero: {account.Available}.");
        }

        return new LedgerAudit(_stored.Length, _transfers, pendingHolds.Length, _findings.ToImmutable());
    }

    private Int128 Sum(Func<LedgerAccount, Microcredits> counter) => Sum(_stored, counter);

    private static Int128 Sum<T>(ImmutableArray<T> items, Func<T, Microcredits> amount) =>
        items.Aggregate(Int128.Zero, (sum, item) => sum + amount(item).Value);

    private void FindDifference(string oneName, string otherName, Int128 one, Int128 other)
    {
        if (one != other)
            Find($"{one} µcr are {oneName}, but {other} µcr {otherName}.");
    }

    private void Find(string finding)
    {
        if (_findings.Count < FindingsMax)
            _findings.Add(finding);
    }
}
