using System.Collections.Immutable;
using System.Data.Common;
using System.Runtime.CompilerServices;
using Dapper;
using Federation.Silo.Storage;

namespace Federation.Silo.Accounts.Ledger;

/// <summary>How the ledger's values are rows: every SQL text of the ledger, and nothing but that.</summary>
internal sealed class LedgerTables(SqlDialect dialect)
{
    private const string AccountColumns = "id, debits_pending, debits_posted, credits_pending, credits_posted";
    private const string HoldColumns = "id, debit_account, credit_account, amount, expires_at, state";
    private const string TransferColumns =
        """
        seq, id, kind, reason, debit_account, credit_account, amount, released, hold_id, timeout_ms, reference,
        debit_available_after, credit_available_after, created_at
        """;

    private readonly string _selectAccounts = $"SELECT {AccountColumns} FROM ledger_accounts WHERE {dialect.In("id", "Ids")} ORDER BY id";
    // Whose accounts the holds are the server finds itself: they never change, so it may look before it locks. In the order of ids, which is also the order of locks, so two silos that change the
    // same accounts wait, and never in a circle. What is read behind the locks is as the commit left it that they waited for.
    private readonly string _selectToChange =
        $"""
        SELECT {AccountColumns} FROM ledger_accounts
        WHERE id IN (
          {dialect.Rows("Ids")}
          UNION SELECT debit_account FROM ledger_holds WHERE {dialect.In("id", "Holds")}
          UNION SELECT credit_account FROM ledger_holds WHERE {dialect.In("id", "Holds")})
        ORDER BY id {dialect.ForUpdate};
        SELECT {TransferColumns} FROM ledger_transfers WHERE {dialect.In("id", "Transfers")};
        SELECT {HoldColumns} FROM ledger_holds WHERE {dialect.In("id", "Holds")}
        """;

    private readonly string _selectHolds = $"SELECT {HoldColumns} FROM ledger_holds WHERE {dialect.In("id", "Ids")}";
    private readonly string _selectTransfers = $"SELECT {TransferColumns} FROM ledger_transfers WHERE {dialect.In("id", "Ids")}";

    // ------------------------------------------------------------------------------------------------------------- reading

    public Task<ImmutableArray<LedgerAccount>> ReadAccountsAsync(DbConnection connection, IEnumerable<LedgerAccountId> ids, CancellationToken cancellationToken) =>
        ReadAsync(connection, null, _selectAccounts, SetOf(ids.Select(static id => id.Value)), Account, cancellationToken);

    public Task<ImmutableArray<LedgerHold>> ReadHoldsAsync(DbConnection connection, IEnumerable<TransferId> ids, CancellationToken cancellationToken) =>
        ReadAsync(connection, null, _selectHolds, SetOf(ids.Select(static id => id.Value)), Hold, cancellationToken);

    public Task<ImmutableArray<RecordedTransfer>> ReadTransfersAsync(DbConnection connection, IEnumerable<TransferId> ids, CancellationToken cancellationToken) =>
        ReadAsync(connection, null, _selectTransfers, SetOf(ids.Select(static id => id.Value)), Transfer, cancellationToken);

    /// <summary>Locks accounts, those of the holds too, and then reads everything by these ids: one round trip.</summary>
    public async Task<LedgerState> LockAsync(
        DbConnection connection, DbTransaction transaction, IEnumerable<LedgerAccountId> accounts, IEnumerable<TransferId> transfers, IEnumerable<TransferId> holds,
        CancellationToken cancellationToken)
    {
        var parameters = Parameters(
            ("Ids", dialect.Set(accounts.Select(static id => id.Value))),
            ("Transfers", dialect.Set(transfers.Select(static id => id.Value))),
            ("Holds", dialect.Set(holds.Select(static id => id.Value))));
        await using var rows = await connection.ExecuteReaderAsync(new CommandDefinition(_selectToChange, parameters, transaction, cancellationToken: cancellationToken));
        var locked = await ReadAsync(rows, Account, cancellationToken);
        await rows.NextResultAsync(cancellationToken);
        var recorded = await ReadAsync(rows, Transfer, cancellationToken);
        await rows.NextResultAsync(cancellationToken);
        var held = await ReadAsync(rows, Hold, cancellationToken);
        var byId = locked.ToImmutableDictionary(static account => account.Id);
        return new LedgerState
        {
            Accounts = byId,
            Transfers = recorded.ToImmutableDictionary(static transfer => transfer.Transfer.Id),
            // One that was made since the locks were taken comes too late to be ended here.
            Holds = held.Where(hold => byId.ContainsKey(hold.DebitAccount) && byId.ContainsKey(hold.CreditAccount)).ToImmutableDictionary(static hold => hold.Id),
        };
    }

    /// <summary>Holds that are due, with what their expiry is recorded under; the longest overdue first.</summary>
    public static Task<ImmutableArray<Transfer>> ReadDueExpiriesAsync(
        DbConnection connection, DateTimeOffset now, int holdsMax, CancellationToken cancellationToken) =>
        ReadAsync(
            connection,
            null,
            """
            SELECT hold.id, made.reason, made.reference
            FROM ledger_holds hold JOIN ledger_transfers made ON made.id = hold.id
            WHERE hold.state = 1 AND hold.expires_at <= @Now
            ORDER BY hold.expires_at LIMIT @HoldsMax
            """,
            Parameters(("Now", now.ToUnixTimeMilliseconds()), ("HoldsMax", (long)holdsMax)),
            static row => Ledger.Transfer.ExpireHold(
                TransferId.FromStorage(row.GetString(0)), (TransferReason)row.GetInt64(1), row.GetString(2)),
            cancellationToken);

    /// <summary>Entries of one account, one more than asked for if there is one more.</summary>
    public static Task<ImmutableArray<StatementEntry>> ReadStatementAsync(
        DbConnection connection, StatementQuery query, CancellationToken cancellationToken)
    {
        var (beyond, order) = query.OldestFirst ? (">", "ASC") : ("<", "DESC");

        // Each side by its own index and cut short, instead of one OR that would read the account's whole life.
        string Side(string column) =>
            $"""
            SELECT * FROM (
              SELECT {TransferColumns} FROM ledger_transfers
              WHERE {column} = @Account AND seq {beyond} @Cursor AND created_at >= @From AND created_at < @Until
              ORDER BY seq {order} LIMIT @Limit
            ) AS side_{column}
            """;

        var sql = $"{Side("debit_account")} UNION ALL {Side("credit_account")} ORDER BY seq {order} LIMIT @Limit";
        var parameters = Parameters(
            ("Account", query.Account.Value),
            ("Cursor", query.Cursor ?? (query.OldestFirst ? 0 : long.MaxValue)),
            ("From", query.From?.ToUnixTimeMilliseconds() ?? long.MinValue),
            ("Until", query.Until?.ToUnixTimeMilliseconds() ?? long.MaxValue),
            ("Limit", query.Limit + 1L));
        return ReadAsync(
            connection,
            null,
            sql,
            parameters,
            row =>
            {
                var transfer = Transfer(row);
                return new StatementEntry(row.GetInt64(0), transfer, IsDebit: transfer.DebitAccount == query.Account);
            },
            cancellationToken);
    }

    public static Task<ImmutableArray<LedgerAccount>> ReadAllAccountsAsync(
        DbConnection connection, DbTransaction transaction, CancellationToken cancellationToken) =>
        ReadAsync(connection, transaction, $"SELECT {AccountColumns} FROM ledger_accounts ORDER BY id", Parameters(), Account, cancellationToken);

    public static Task<ImmutableArray<LedgerHold>> ReadPendingHoldsAsync(
        DbConnection connection, DbTransaction transaction, CancellationToken cancellationToken) =>
        ReadAsync(
            connection, transaction, $"SELECT {HoldColumns} FROM ledger_holds WHERE state = 1 ORDER BY id", Parameters(), Hold, cancellationToken);

    /// <summary>Every transfer in the order they were recorded, without holding more than one.</summary>
    public static async IAsyncEnumerable<RecordedTransfer> ReadAllTransfersAsync(
        DbConnection connection, DbTransaction transaction, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await using var rows = await connection.ExecuteReaderAsync(new CommandDefinition(
            $"SELECT {TransferColumns} FROM ledger_transfers ORDER BY seq", transaction: transaction, cancellationToken: cancellationToken));
        while (await rows.ReadAsync(cancellationToken))
            yield return Transfer(rows);
    }

    // ------------------------------------------------------------------------------------------------------------- writing

    public static SqlStatement Open(LedgerAccountId account, DateTimeOffset now) => new(
        "INSERT INTO ledger_accounts (id, overdraft, opened_at) VALUES (@Id, @Overdraft, @OpenedAt) ON CONFLICT (id) DO NOTHING",
        new { Id = account.Value, Overdraft = account.MayOverdraw ? 1 : 0, OpenedAt = now.ToUnixTimeMilliseconds() });

    public static SqlStatement Update(LedgerAccount account) => new(
        """
        UPDATE ledger_accounts
        SET debits_pending = @DebitsPending, debits_posted = @DebitsPosted, credits_pending = @CreditsPending, credits_posted = @CreditsPosted
        WHERE id = @Id
        """,
        new
        {
            Id = account.Id.Value,
            DebitsPending = account.DebitsPending.Value,
            DebitsPosted = account.DebitsPosted.Value,
            CreditsPending = account.CreditsPending.Value,
            CreditsPosted = account.CreditsPosted.Value,
        });

    public static SqlStatement Insert(RecordedTransfer recorded) => new(
        """
        INSERT INTO ledger_transfers (
          id, kind, reason, debit_account, credit_account, amount, released, hold_id, timeout_ms, reference,
          debit_available_after, credit_available_after, created_at)
        VALUES (
          @Id, @Kind, @Reason, @DebitAccount, @CreditAccount, @Amount, @Released, @HoldId, @TimeoutMs, @Reference,
          @DebitAvailableAfter, @CreditAvailableAfter, @CreatedAt)
        """,
        new
        {
            Id = recorded.Transfer.Id.Value,
            Kind = (int)recorded.Transfer.Kind,
            Reason = (int)recorded.Transfer.Reason,
            DebitAccount = recorded.DebitAccount.Value,
            CreditAccount = recorded.CreditAccount.Value,
            Amount = recorded.Transfer.Amount.Value,
            Released = recorded.Released.Value,
            HoldId = recorded.Transfer.HoldId?.Value,
            TimeoutMs = (long?)recorded.Transfer.Timeout?.TotalMilliseconds,
            recorded.Transfer.Reference,
            DebitAvailableAfter = recorded.DebitAvailableAfter.Value,
            CreditAvailableAfter = recorded.CreditAvailableAfter.Value,
            CreatedAt = recorded.Timestamp.ToUnixTimeMilliseconds(),
        });

    public static SqlStatement Upsert(LedgerHold hold) => new(
        $"""
        INSERT INTO ledger_holds ({HoldColumns}) VALUES (@Id, @DebitAccount, @CreditAccount, @Amount, @ExpiresAt, @State)
        ON CONFLICT (id) DO UPDATE SET state = excluded.state
        """,
        new
        {
            Id = hold.Id.Value,
            DebitAccount = hold.DebitAccount.Value,
            CreditAccount = hold.CreditAccount.Value,
            Amount = hold.Amount.Value,
            ExpiresAt = hold.ExpiresAt.ToUnixTimeMilliseconds(),
            State = (int)hold.State,
        });

    // ---------------------------------------------------------------------------------------------------------------- rows

    private static LedgerAccount Account(DbDataReader row) => new(
        LedgerAccountId.Parse(row.GetString(0)), Amount(row, 1), Amount(row, 2), Amount(row, 3), Amount(row, 4));

    private static LedgerHold Hold(DbDataReader row) => new(
        TransferId.FromStorage(row.GetString(0)),
        LedgerAccountId.Parse(row.GetString(1)),
        LedgerAccountId.Parse(row.GetString(2)),
        Amount(row, 3),
        DateTimeOffset.FromUnixTimeMilliseconds(row.GetInt64(4)),
        (HoldState)row.GetInt64(5));

    private static RecordedTransfer Transfer(DbDataReader row)
    {
        var debit = LedgerAccountId.Parse(row.GetString(4));
        var credit = LedgerAccountId.Parse(row.GetString(5));
        var transfer = Ledger.Transfer.FromStorage(
            TransferId.FromStorage(row.GetString(1)),
            (TransferKind)row.GetInt64(2),
            debit,
            credit,
            Amount(row, 6),
            (TransferReason)row.GetInt64(3),
            row.IsDBNull(8) ? null : TransferId.FromStorage(row.GetString(8)),
            row.IsDBNull(9) ? null : TimeSpan.FromMilliseconds(row.GetInt64(9)),
            row.GetString(10));
        return new RecordedTransfer(
            transfer, debit, credit, Amount(row, 7), Amount(row, 11), Amount(row, 12), DateTimeOffset.FromUnixTimeMilliseconds(row.GetInt64(13)));
    }

    private static Microcredits Amount(DbDataReader row, int column) => new(row.GetInt64(column));

    private DynamicParameters SetOf(IEnumerable<string> ids) => Parameters(("Ids", dialect.Set(ids)));

    private static DynamicParameters Parameters(params ReadOnlySpan<(string Name, object Value)> values)
    {
        DynamicParameters parameters = new();
        foreach (var (name, value) in values)
            parameters.Add(name, value);
        return parameters;
    }

    private static async Task<ImmutableArray<T>> ReadAsync<T>(
        DbConnection connection, DbTransaction? transaction, string sql, DynamicParameters parameters, Func<DbDataReader, T> read,
        CancellationToken cancellationToken)
    {
        await using var rows = await connection.ExecuteReaderAsync(
            new CommandDefinition(sql, parameters, transaction, cancellationToken: cancellationToken));
        return await ReadAsync(rows, read, cancellationToken);
    }

    private static async Task<ImmutableArray<T>> ReadAsync<T>(DbDataReader rows, Func<DbDataReader, T> read, CancellationToken cancellationToken)
    {
        var result = ImmutableArray.CreateBuilder<T>();
        while (await rows.ReadAsync(cancellationToken))
            result.Add(read(rows));
        return result.DrainToImmutable();
    }
}
