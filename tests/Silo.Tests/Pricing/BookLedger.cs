using System.Collections.Immutable;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Storage;

namespace Federation.Silo.Tests.Pricing;

/// <summary>The ledger's own rules on a value in memory, one unit at a time: its commits cost nothing.</summary>
internal sealed class BookLedger(TimeProvider time) : ILedger
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, (long Price, string Status)> _jobs = new(StringComparer.Ordinal);
    private LedgerState _state = LedgerAccountId.System.Aggregate(LedgerState.Empty, (state, account) => state.Open(account));

    /// <summary>All of it.</summary>
    public LedgerState State
    {
        get
        {
            lock (_gate) return _state;
        }
    }

    /// <summary>The records of jobs: what each paid, and how it ended. Of several of one job the table keeps the first, and takes the price of the one that is paid.</summary>
    public IReadOnlyDictionary<string, (long Price, string Status)> Jobs => _jobs;

    public Task OpenAsync(LedgerAccountId account, CancellationToken cancellationToken = default) => SubmitAsync(new LedgerUnit { Open = [account] }, cancellationToken);

    public async Task<TransferResult> SubmitAsync(Transfer transfer, CancellationToken cancellationToken = default) => (await SubmitAsync(LedgerUnit.Of(transfer), cancellationToken)).Transfers[0];

    public Task<LedgerUnitResult> SubmitAsync(LedgerUnit unit, CancellationToken cancellationToken = default)
    {
        lock (_gate)
        {
            foreach (var account in unit.Open) _state = _state.Open(account);
            (_state, var results) = _state.Apply(unit.Transfers, time.GetUtcNow());
            LedgerUnitResult result = new(results);
            if (result.IsRecorded)
            {
                foreach (var row in unit.Rows) Keep(row);
            }
            return Task.FromResult(result);
        }
    }

    public Task<LedgerAccount?> GetAccountAsync(LedgerAccountId account, CancellationToken cancellationToken = default) => Task.FromResult(State.Accounts.GetValueOrDefault(account));

    public Task<LedgerHold?> GetHoldAsync(TransferId id, CancellationToken cancellationToken = default) => Task.FromResult(State.Holds.GetValueOrDefault(id));

    public Task<int> ExpireHoldsAsync(int holdsMax, CancellationToken cancellationToken = default)
    {
        lock (_gate)
        {
            var due = _state.Holds.Values.Where(hold => hold.State is HoldState.Pending && hold.ExpiresAt <= time.GetUtcNow()).Take(holdsMax).ToArray();
            foreach (var hold in due) (_state, _) = _state.Apply(Transfer.ExpireHold(hold.Id, TransferReason.Usage, ""), time.GetUtcNow());
            return Task.FromResult(due.Length);
        }
    }

    public Task<ImmutableArray<LedgerAccount>> GetAccountsAsync(IReadOnlyCollection<LedgerAccountId> accounts, CancellationToken cancellationToken = default) => throw new NotSupportedException();

    public Task<RecordedTransfer?> GetTransferAsync(TransferId id, CancellationToken cancellationToken = default) => throw new NotSupportedException();

    public Task<StatementPage> GetStatementAsync(StatementQuery query, CancellationToken cancellationToken = default) => throw new NotSupportedException();

    public Task<LedgerAudit> AuditAsync(CancellationToken cancellationToken = default) => throw new NotSupportedException();

    private void Keep(SqlStatement row)
    {
        if (!row.Text.Contains("INTO jobs", StringComparison.Ordinal)) return;
        var values = row.Parameters.ToDictionary(parameter => parameter.Name, parameter => parameter.Value);
        var (id, record) = ((string)values["Id"], ((long)values["Price"], (string)values["Status"]));
        if (!_jobs.TryAdd(id, record) && row.Text.Contains("SET price = excluded.price", StringComparison.Ordinal)) _jobs[id] = record;
    }
}
