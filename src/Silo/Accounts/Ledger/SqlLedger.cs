using System.Collections.Immutable;
using System.Data.Common;
using Federation.Silo.Storage;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Accounts.Ledger;

/// <summary>The ledger on the hub's database.</summary>
/// <remarks>
/// One commit, for all units that wait:
/// <code>
///   open accounts ─▶ lock accounts, those of the holds too, in the order of ids; read ids and holds: one round trip
///                                                                                     │
///   callers hear ◀─ transfers, holds, accounts, rows, COMMIT: one round trip ◀─ apply in memory
/// </code>
/// The accounts' locks are what keeps several silos right: whoever wants to change an account waits for the other's commit, and
/// everything read after the lock is as that commit left it.
/// </remarks>
public sealed class SqlLedger : ILedger, IAsyncDisposable
{
    private readonly HubDatabase _database;
    private readonly LedgerTables _tables;
    private readonly TimeProvider _time;
    private readonly LedgerInstruments _instruments;
    private readonly GroupCommitter<LedgerUnit, LedgerUnitResult> _committer;
    private readonly int _expiriesAtOnceMax;

    /// <summary>Creates the ledger on a database whose schema is up to date, and starts its committer.</summary>
    public SqlLedger(
        HubDatabase database, IOptions<LedgerOptions> options, TimeProvider time, LedgerInstruments instruments, ILogger<SqlLedger> logger)
    {
        ArgumentNullException.ThrowIfNull(database);
        ArgumentNullException.ThrowIfNull(options);
        _database = database;
        _time = time;
        _instruments = instruments;
        _tables = new LedgerTables(database.Dialect);
        _expiriesAtOnceMax = Math.Min(options.Value.BatchMax, options.Value.QueueMax);
        _committer = new GroupCommitter<LedgerUnit, LedgerUnitResult>(
            CommitAsync, new GroupCommitLimits(options.Value.BatchMax, options.Value.QueueMax), logger);
    }

    /// <inheritdoc/>
    public Task OpenAsync(LedgerAccountId account, CancellationToken cancellationToken = default) =>
        SubmitAsync(new LedgerUnit { Open = [account] }, cancellationToken);

    /// <inheritdoc/>
    public async Task<TransferResult> SubmitAsync(Transfer transfer, CancellationToken cancellationToken = default) =>
        (await SubmitAsync(LedgerUnit.Of(transfer), cancellationToken)).Transfers[0];

    /// <inheritdoc/>
    public Task<LedgerUnitResult> SubmitAsync(LedgerUnit unit, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(unit);
        return _committer.CommitAsync(unit.Validated(), cancellationToken);
    }

    /// <inheritdoc/>
    public async Task<LedgerAccount?> GetAccountAsync(LedgerAccountId account, CancellationToken cancellationToken = default) =>
        (await GetAccountsAsync([account], cancellationToken)).SingleOrDefault();

    /// <inheritdoc/>
    public Task<ImmutableArray<LedgerAccount>> GetAccountsAsync(IReadOnlyCollection<LedgerAccountId> accounts, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(accounts);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(accounts.Count, 1000);
        return _database.ReadAsync(
            connection => _tables.ReadAccountsAsync(connection, accounts, cancellationToken), cancellationToken);
    }

    /// <inheritdoc/>
    public async Task<RecordedTransfer?> GetTransferAsync(TransferId id, CancellationToken cancellationToken = default) =>
        (await _database.ReadAsync(connection => _tables.ReadTransfersAsync(connection, [id], cancellationToken), cancellationToken)).SingleOrDefault();

    /// <inheritdoc/>
    public async Task<LedgerHold?> GetHoldAsync(TransferId id, CancellationToken cancellationToken = default) =>
        (await _database.ReadAsync(connection => _tables.ReadHoldsAsync(connection, [id], cancellationToken), cancellationToken)).SingleOrDefault();

    /// <inheritdoc/>
    public async Task<StatementPage> GetStatementAsync(StatementQuery query, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(query);
        ArgumentOutOfRangeException.ThrowIfLessThan(query.Limit, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(query.Limit, StatementQuery.LimitMax);
        var entries = await _database.ReadAsync(
            connection => LedgerTables.ReadStatementAsync(connection, query, cancellationToken), cancellationToken);
        if (entries.Length <= query.Limit)
            return new StatementPage(entries, null);

        entries = entries[..query.Limit];
        return new StatementPage(entries, entries[^1].Sequence);
    }

    /// <inheritdoc/>
    public async Task<int> ExpireHoldsAsync(int holdsMax, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(holdsMax, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(holdsMax, 10_000);
        var due = await _database.ReadAsync(
            connection => LedgerTables.ReadDueExpiriesAsync(connection, _time.GetUtcNow(), holdsMax, cancellationToken), cancellationToken);

        // Each for itself: another silo, or a settlement in the last moment, may have ended some of them meanwhile.
        var ended = 0;
        foreach (var chunk in due.Chunk(_expiriesAtOnceMax))
        {
            var results = await Task.WhenAll(chunk.Select(expiry => SubmitAsync(expiry, cancellationToken)));
            ended += results.Count(static result => result.Status is TransferStatus.Created);
        }

        return ended;
    }

    /// <inheritdoc/>
    public Task<LedgerAudit> AuditAsync(CancellationToken cancellationToken = default) => _database.ReadSnapshotAsync(
        async (connection, transaction) =>
        {
            LedgerReplay replay = new(await LedgerTables.ReadAllAccountsAsync(connection, transaction, cancellationToken));
            await foreach (var recorded in LedgerTables.ReadAllTransfersAsync(connection, transaction, cancellationToken))
                replay.Add(recorded);
            return replay.CompareWith(await LedgerTables.ReadPendingHoldsAsync(connection, transaction, cancellationToken));
        },
        cancellationToken);

    /// <summary>Writes what was accepted and takes no more.</summary>
    public ValueTask DisposeAsync() => _committer.DisposeAsync();

    private async Task<ImmutableArray<LedgerUnitResult>> CommitAsync(ReadOnlyMemory<LedgerUnit> units, CancellationToken cancellationToken)
    {
        var started = _time.GetTimestamp();
        var results = await _database.WriteLastAsync(
            (connection, transaction) => ApplyAsync(connection, transaction, units, cancellationToken), cancellationToken);
        _instruments.OnCommitted(results, _time.GetElapsedTime(started));
        return results;
    }

    private async Task<(ImmutableArray<LedgerUnitResult> Results, IReadOnlyList<SqlStatement> Changes)> ApplyAsync(
        DbConnection connection, DbTransaction transaction, ReadOnlyMemory<LedgerUnit> units, CancellationToken cancellationToken)
    {
        var before = await LoadAsync(connection, transaction, units, cancellationToken);
        var now = _time.GetUtcNow();
        var state = before;
        var results = ImmutableArray.CreateBuilder<LedgerUnitResult>(units.Length);
        List<RecordedTransfer> created = [];
        List<SqlStatement> rows = [];
        for (var i = 0; i < units.Length; i++)
        {
            var unit = units.Span[i];
            (state, var transfers) = state.Apply(unit.Transfers, now);
            LedgerUnitResult result = new(transfers);
            results.Add(result);
            if (!result.IsRecorded)
                continue;

            foreach (var (transfer, outcome) in unit.Transfers.Zip(transfers))
            {
                if (outcome.Status is TransferStatus.Created)
                    created.Add(state.Transfers[transfer.Id]);
            }

            rows.AddRange(unit.Rows);
        }

        return (results.MoveToImmutable(), [.. Changes(before, state, created), .. rows]);
    }

    // As much of the ledger as the units touch, its accounts locked.
    private async Task<LedgerState> LoadAsync(
        DbConnection connection, DbTransaction transaction, ReadOnlyMemory<LedgerUnit> units, CancellationToken cancellationToken)
    {
        HashSet<LedgerAccountId> accounts = [];
        SortedDictionary<string, LedgerAccountId> opened = new(StringComparer.Ordinal);
        HashSet<TransferId> transfers = [];
        HashSet<TransferId> holds = [];
        foreach (var unit in units.Span)
        {
            foreach (var account in unit.Open)
                opened[account.Value] = account;
            foreach (var transfer in unit.Transfers)
            {
                transfers.Add(transfer.Id);
                if (transfer.DebitAccount is { } debit)
                    accounts.Add(debit);
                if (transfer.CreditAccount is { } credit)
                    accounts.Add(credit);
                if (transfer.HoldId is { } hold)
                    holds.Add(hold);
            }
        }

        if (opened.Count > 0)
        {
            var now = _time.GetUtcNow();
            await _database.Dialect.ExecuteAsync(
                connection, transaction, [.. opened.Values.Select(account => LedgerTables.Open(account, now))], cancellationToken);
        }

        return transfers.Count == 0 ? LedgerState.Empty : await _tables.LockAsync(connection, transaction, accounts, transfers, holds, cancellationToken);
    }

    private static IEnumerable<SqlStatement> Changes(LedgerState before, LedgerState after, List<RecordedTransfer> created)
    {
        foreach (var recorded in created)
            yield return LedgerTables.Insert(recorded);
        foreach (var (id, hold) in after.Holds)
        {
            if (before.Holds.GetValueOrDefault(id) != hold)
                yield return LedgerTables.Upsert(hold);
        }

        foreach (var (id, account) in after.Accounts)
        {
            if (before.Accounts[id] != account)
                yield return LedgerTables.Update(account);
        }
    }
}
