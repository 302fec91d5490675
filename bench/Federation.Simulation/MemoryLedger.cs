using System.Collections.Immutable;
using Federation.Silo.Accounts.Ledger;

namespace Federation.Simulation;

/// <summary>
/// A ledger in memory under the hub's own rules: as the one on a database does, it gives <see cref="LedgerState"/> the accounts a transfer
/// touches and keeps what comes back. What it does not keep are the transfers, of which there are tens of millions; ids are made once each.
/// </summary>
internal sealed class MemoryLedger
{
    private readonly Dictionary<LedgerAccountId, LedgerAccount> _accounts = LedgerAccountId.System.ToDictionary(id => id, LedgerAccount.Open);

    /// <summary>Transfers recorded.</summary>
    public long Transfers { get; private set; }

    /// <summary>Opens an account.</summary>
    public void Open(LedgerAccountId id) => _accounts.Add(id, LedgerAccount.Open(id));

    /// <summary>What the account owns.</summary>
    public Microcredits Balance(LedgerAccountId id) => _accounts[id].Balance;

    /// <summary>Moves credits; nothing to move is no transfer.</summary>
    /// <exception cref="InvalidOperationException">The ledger refuses: the simulation, or the rules under it, are wrong.</exception>
    public void Post(LedgerAccountId debit, LedgerAccountId credit, Microcredits amount, TransferReason reason, DateTimeOffset now)
    {
        if (amount.IsZero) return;
        var transfer = Transfer.Post(TransferId.Of($"sim:{Transfers}"), debit, credit, amount, reason);
        var touched = LedgerState.Empty with
        {
            Accounts = ImmutableDictionary<LedgerAccountId, LedgerAccount>.Empty.Add(debit, _accounts[debit]).Add(credit, _accounts[credit]),
        };
        var (after, result) = touched.Apply(transfer, now);
        if (!result.IsRecorded) throw new InvalidOperationException($"The ledger refused {transfer}: {result.Status}.");
        _accounts[debit] = after.Accounts[debit];
        _accounts[credit] = after.Accounts[credit];
        Transfers++;
    }

    /// <summary>The sum over all accounts; zero, or money came from nowhere.</summary>
    public Microcredits Sum() => _accounts.Values.Aggregate(Microcredits.Zero, (sum, account) => sum + account.Balance);
}
