using System.Collections.Immutable;
using System.Diagnostics.Metrics;
using Dapper;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Storage;
using Federation.Silo.Tests.Fakes;
using Federation.Silo.Tests.Storage;
using FsCheck;
using FsCheck.Fluent;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Tests.Ledger;

/// <summary>The ledger on a real database: what both must do alike. Tests share the database, each with accounts of its own.</summary>
public abstract class SqlLedgerTests(TestDatabase home) : IAsyncLifetime
{
    private static int _eras;

    private readonly TestClock _time = new();
    private readonly string _world = Guid.NewGuid().ToString("N")[..8];
    private readonly List<SqlLedger> _silos = [];
    private SqlLedger _ledger = null!;

    private LedgerAccountId Ann => LedgerAccountId.Available($"ann-{_world}");

    private LedgerAccountId Bob => LedgerAccountId.Available($"bob-{_world}");

    public async Task InitializeAsync()
    {
        // An era of its own, in which the holds of the tests before are over.
        _time.Advance(LedgerState.HoldTimeoutMax * 2 * Interlocked.Increment(ref _eras));
        _ledger = Silo(home.Database);
        while (await _ledger.ExpireHoldsAsync(10_000) > 0)
            continue;
        await _ledger.SubmitAsync(new LedgerUnit { Open = [Ann, Bob] });
    }

    /// <summary>After every test, whatever it did, the books must add up.</summary>
    public async Task DisposeAsync()
    {
        var audit = await _ledger.AuditAsync();
        foreach (var silo in _silos)
            await silo.DisposeAsync();
        Assert.Empty(audit.Findings);
    }

    [Fact]
    public async Task Recorded_transfer_is_read_back_as_it_was_made()
    {
        await GrantAsync(Ann, 100);
        var hold = Hold("h", 80);
        await SubmitAsync(hold);
        var end = Transfer.PostHold(Id("p"), Id("h"), new(30), TransferReason.Usage, "job-1");
        await SubmitAsync(end);

        var recorded = await _ledger.GetTransferAsync(Id("p"));

        Assert.Equal(hold, (await _ledger.GetTransferAsync(Id("h")))!.Transfer);
        Assert.Equal(new RecordedTransfer(end, Ann, Bob, new(80), new(70), new(30), _time.GetUtcNow()), recorded);
        Assert.Equal(
            new LedgerHold(Id("h"), Ann, Bob, new(80), _time.GetUtcNow() + TimeSpan.FromMinutes(1), HoldState.Posted), await _ledger.GetHoldAsync(Id("h")));
        Assert.Equal(new LedgerAccount(Ann, default, new(30), default, new(100)), await _ledger.GetAccountAsync(Ann));
    }

    [Fact]
    public async Task Unknown_account_transfer_and_hold_are_null()
    {
        Assert.Null(await _ledger.GetAccountAsync(LedgerAccountId.Available("nobody")));
        Assert.Null(await _ledger.GetTransferAsync(Id("nothing")));
        Assert.Null(await _ledger.GetHoldAsync(Id("nothing")));
    }

    [Fact]
    public async Task Opening_an_open_account_keeps_what_it_has()
    {
        await GrantAsync(Ann, 100);

        await _ledger.OpenAsync(Ann);

        Assert.Equal(100, await AvailableAsync(Ann));
    }

    [Fact]
    public async Task Same_transfer_from_many_callers_at_once_is_recorded_once()
    {
        await GrantAsync(Ann, 100);
        var other = Silo(home.Open());
        var post = Post("once", 60);

        var results = await Task.WhenAll(Enumerable.Range(0, 50).Select(number => (number % 2 == 0 ? _ledger : other).SubmitAsync(post)));

        Assert.Single(results, result => result.Status is TransferStatus.Created);
        Assert.Equal(49, results.Count(result => result.Status is TransferStatus.Exists));
        Assert.Equal(40, await AvailableAsync(Ann));
    }

    [Fact]
    public async Task Two_silos_never_spend_the_same_credits()
    {
        await GrantAsync(Ann, 100);
        SqlLedger[] both = [_ledger, Silo(home.Open())];

        var results = await Task.WhenAll(Enumerable.Range(0, 200).Select(number =>
            both[number % 2].SubmitAsync(number % 3 == 0 ? Hold($"s{number}", 1) : Post($"s{number}", 1))));

        Assert.Equal(100, results.Count(result => result.Status is TransferStatus.Created));
        Assert.Equal(100, results.Count(result => result.Status is TransferStatus.InsufficientCredits));
        Assert.Equal(0, await AvailableAsync(Ann));
    }

    [Fact]
    public async Task Two_silos_that_take_one_id_for_different_transfers_get_one_recorded_and_one_told()
    {
        await GrantAsync(Ann, 100);
        var other = Silo(home.Open());
        var cat = LedgerAccountId.Available($"cat-{_world}");
        var dan = LedgerAccountId.Available($"dan-{_world}");
        await _ledger.SubmitAsync(new LedgerUnit { Open = [cat, dan] });
        await GrantAsync(cat, 100);

        // No account in common, so no lock makes one wait for the other: only the id does.
        for (var round = 0; round < 20; round++)
        {
            var one = _ledger.SubmitAsync(Transfer.Post(Id($"same{round}"), Ann, Bob, new(1), TransferReason.Usage));
            var two = other.SubmitAsync(Transfer.Post(Id($"same{round}"), cat, dan, new(1), TransferReason.Usage));
            var statuses = (await Task.WhenAll(one, two)).Select(result => result.Status).Order();

            Assert.Equal([TransferStatus.Created, TransferStatus.ExistsWithDifferentDebitAccount], statuses);
        }
    }

    [Fact]
    public async Task Unit_that_fails_leaves_no_trace_of_transfers_or_rows()
    {
        await GrantAsync(Ann, 100);

        var result = await _ledger.SubmitAsync(new LedgerUnit
        {
            Transfers = [Post("a", 60), Post("b", 60)],
            Rows = [JobRow("refused")],
        });

        Assert.False(result.IsRecorded);
        Assert.Equal(TransferStatus.InsufficientCredits, result.Status);
        Assert.Null(await _ledger.GetTransferAsync(Id("a")));
        Assert.False(await JobExistsAsync("refused"));
        Assert.Equal(100, await AvailableAsync(Ann));
    }

    [Fact]
    public async Task Settlement_and_usage_record_are_written_together_and_may_be_submitted_again()
    {
        await GrantAsync(Ann, 100);
        await SubmitAsync(Hold("h", 50));
        LedgerUnit settlement = new()
        {
            Open = [LedgerAccountId.Pending($"owner-{_world}")],
            Transfers =
            [
                Transfer.PostHold(Id("pay"), Id("h"), new(20), TransferReason.Usage),
                Transfer.Post(Id("earn"), Bob, LedgerAccountId.Pending($"owner-{_world}"), new(15), TransferReason.Earning),
            ],
            Rows = [JobRow("settled")],
        };

        var first = await _ledger.SubmitAsync(settlement);
        var again = await _ledger.SubmitAsync(settlement);

        Assert.Equal([TransferStatus.Created, TransferStatus.Created], first.Transfers.Select(transfer => transfer.Status));
        Assert.Equal([TransferStatus.Exists, TransferStatus.Exists], again.Transfers.Select(transfer => transfer.Status));
        Assert.True(again.IsRecorded);
        Assert.True(await JobExistsAsync("settled"));
        Assert.Equal((80, 5, 15), (await AvailableAsync(Ann), await AvailableAsync(Bob), await AvailableAsync(LedgerAccountId.Pending($"owner-{_world}"))));
    }

    [Fact]
    public async Task Unit_of_rows_alone_is_written()
    {
        var result = await _ledger.SubmitAsync(new LedgerUnit { Rows = [JobRow("free")] });

        Assert.True(result.IsRecorded);
        Assert.True(await JobExistsAsync("free"));
    }

    [Fact]
    public async Task Unit_whose_row_the_database_refuses_fails_alone()
    {
        await GrantAsync(Ann, 100);
        SqlStatement refused = new("INSERT INTO ledger_transfers (id) VALUES (@Id)", new { Id = "x" });

        var neighbours = Enumerable.Range(0, 20).Select(number => _ledger.SubmitAsync(Post($"n{number}", 1))).ToArray();
        var poison = _ledger.SubmitAsync(new LedgerUnit { Transfers = [Post("poison", 1)], Rows = [refused] });
        var more = Enumerable.Range(20, 20).Select(number => _ledger.SubmitAsync(Post($"n{number}", 1))).ToArray();

        Assert.Equal(StorageFailure.Rejected, (await Assert.ThrowsAsync<StorageException>(() => poison)).Failure);
        Assert.All(await Task.WhenAll([.. neighbours, .. more]), result => Assert.Equal(TransferStatus.Created, result.Status));
        Assert.Null(await _ledger.GetTransferAsync(Id("poison")));
        Assert.Equal(60, await AvailableAsync(Ann));
    }

    [Fact]
    public async Task Unit_with_too_many_parts_is_refused_before_it_waits() =>
        await Assert.ThrowsAsync<ArgumentException>(() => _ledger.SubmitAsync(
            LedgerUnit.Of([.. Enumerable.Range(0, LedgerUnit.PartsMax + 1).Select(number => Post($"m{number}", 1))])));

    [Fact]
    public async Task Overdue_holds_expire_once_however_many_silos_look()
    {
        await GrantAsync(Ann, 100);
        var other = Silo(home.Open());
        foreach (var number in Enumerable.Range(0, 10))
            await SubmitAsync(Hold($"h{number}", 5));
        await SubmitAsync(Transfer.VoidHold(Id("v"), Id("h0"), TransferReason.Usage));

        _time.Advance(TimeSpan.FromMinutes(1) - TimeSpan.FromMilliseconds(1));
        Assert.Equal(0, await _ledger.ExpireHoldsAsync(100));
        Assert.Equal(55, await AvailableAsync(Ann));

        _time.Advance(TimeSpan.FromMilliseconds(1));
        var ended = await Task.WhenAll(_ledger.ExpireHoldsAsync(100), other.ExpireHoldsAsync(100));

        Assert.Equal(9, ended.Sum());
        Assert.Equal(100, await AvailableAsync(Ann));
        Assert.Equal(HoldState.Expired, (await _ledger.GetHoldAsync(Id("h1")))!.State);
        Assert.Equal(TransferStatus.HoldExpired, (await _ledger.SubmitAsync(Transfer.PostHold(Id("late"), Id("h1"), new(1), TransferReason.Usage))).Status);
    }

    [Fact]
    public async Task Expiry_ends_as_many_holds_as_it_was_asked_to_and_the_longest_overdue_first()
    {
        await GrantAsync(Ann, 100);
        await SubmitAsync(Hold("young", 5));
        await SubmitAsync(Transfer.Hold(Id("old"), Ann, Bob, new(5), TimeSpan.FromSeconds(5), TransferReason.Usage));
        _time.Advance(TimeSpan.FromMinutes(2));

        Assert.Equal(1, await _ledger.ExpireHoldsAsync(1));

        Assert.Equal(HoldState.Expired, (await _ledger.GetHoldAsync(Id("old")))!.State);
        Assert.Equal(HoldState.Pending, (await _ledger.GetHoldAsync(Id("young")))!.State);
        Assert.Equal(1, await _ledger.ExpireHoldsAsync(1));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Statement_tells_every_entry_once_in_pages(bool oldestFirst)
    {
        await GrantAsync(Ann, 100);
        foreach (var number in Enumerable.Range(0, 7))
            await SubmitAsync(Post($"s{number}", number + 1));
        await SubmitAsync(Transfer.Post(Id("back"), Bob, Ann, new(3), TransferReason.Refund));

        List<StatementEntry> entries = [];
        StatementQuery query = new() { Account = Ann, Limit = 4, OldestFirst = oldestFirst };
        for (long? cursor = null; ;)
        {
            var page = await _ledger.GetStatementAsync(query with { Cursor = cursor });
            entries.AddRange(page.Entries);
            Assert.InRange(page.Entries.Length, 1, 4);
            cursor = page.Next;
            if (cursor is null)
                break;
        }

        if (!oldestFirst)
            entries.Reverse();
        Assert.Equal([100, -1, -2, -3, -4, -5, -6, -7, 3], entries.Select(entry => entry.Posted.Value));
        Assert.Equal([100, 99, 97, 94, 90, 85, 79, 72, 75], entries.Select(entry => entry.AvailableAfter.Value));
        Assert.Equal(LedgerAccountId.Treasury, entries[0].Counterparty);
        Assert.Equal(Bob, entries[^1].Counterparty);
    }

    [Fact]
    public async Task Statement_shows_what_holds_do_to_what_is_reserved()
    {
        await GrantAsync(Ann, 100);
        await SubmitAsync(Hold("h", 80));
        await SubmitAsync(Transfer.PostHold(Id("p"), Id("h"), new(30), TransferReason.Usage));

        var page = await _ledger.GetStatementAsync(new StatementQuery { Account = Ann, OldestFirst = true });

        Assert.Equal([(100, 0), (0, 80), (-30, -80)], page.Entries.Select(entry => ((int)entry.Posted.Value, (int)entry.Held.Value)));
        Assert.Equal([100, 20, 70], page.Entries.Select(entry => entry.AvailableAfter.Value));
    }

    [Fact]
    public async Task Statement_can_be_bounded_in_time()
    {
        var noon = _time.GetUtcNow();
        foreach (var number in Enumerable.Range(0, 4))
        {
            await GrantAsync(Ann, number + 1);
            _time.Advance(TimeSpan.FromHours(1));
        }

        var page = await _ledger.GetStatementAsync(new StatementQuery { Account = Ann, From = noon.AddHours(1), Until = noon.AddHours(3) });

        Assert.Equal([3, 2], page.Entries.Select(entry => entry.Posted.Value));
    }

    [Fact]
    public async Task Audit_finds_a_balance_that_somebody_changed()
    {
        await GrantAsync(Ann, 100);
        await ChangeAsync("UPDATE ledger_accounts SET credits_posted = credits_posted + 1 WHERE id = @Id", Ann);

        var audit = await _ledger.AuditAsync();

        await ChangeAsync("UPDATE ledger_accounts SET credits_posted = credits_posted - 1 WHERE id = @Id", Ann);
        Assert.Contains(audit.Findings, finding => finding.Contains(Ann.Value, StringComparison.Ordinal));
        Assert.Contains(audit.Findings, finding => finding.Contains("received", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Audit_finds_a_hold_that_somebody_ended_without_a_transfer()
    {
        await GrantAsync(Ann, 100);
        await SubmitAsync(Hold("h", 10));
        await ChangeAsync("UPDATE ledger_holds SET state = 3 WHERE debit_account = @Id", Ann);

        var audit = await _ledger.AuditAsync();

        await ChangeAsync("UPDATE ledger_holds SET state = 1 WHERE debit_account = @Id", Ann);
        Assert.NotEmpty(audit.Findings);
    }

    [Fact]
    public async Task Database_itself_refuses_to_let_an_account_owe() =>
        Assert.Equal(StorageFailure.Rejected, (await Assert.ThrowsAsync<StorageException>(
            () => ChangeAsync("UPDATE ledger_accounts SET debits_posted = credits_posted + 1 WHERE id = @Id", Ann))).Failure);

    [Fact]
    public void Made_up_lives_come_out_as_in_the_rules_alone() => Check.One(
        Config.QuickThrowOnFailure.WithMaxTest(8),
        Prop.ForAll(LedgerWorkload.Lives, life => LiveAsync(life).GetAwaiter().GetResult()));

    // The same life twice: by the rules alone, and on the database, where every name is made unique to this life.
    private async Task LiveAsync(LedgerStep[] life)
    {
        var prefix = $"{_world}-{Guid.NewGuid().ToString("N")[..8]}";
        var treasury = LedgerAccountId.Treasury;
        LedgerAccountId Account(LedgerAccountId id) => id == treasury ? id : LedgerAccountId.Parse(id.Value.Replace("acct:", $"acct:{prefix}-", StringComparison.Ordinal));
        Transfer Mine(Transfer transfer) => Renamed(transfer, Account, id => TransferId.Of($"{prefix}-{id.Value}"));

        var rules = LedgerWorkload.Open.Aggregate(LedgerState.Empty, (state, id) => state.Open(Account(id)));
        await _ledger.SubmitAsync(new LedgerUnit { Open = [.. LedgerWorkload.Open.Select(Account)] });
        foreach (var step in life)
        {
            _time.Advance(step.Pause);
            ImmutableArray<Transfer> chain = [.. step.Chain.Select(Mine)];
            (rules, var expected) = rules.Apply(chain, _time.GetUtcNow());
            var result = await _ledger.SubmitAsync(LedgerUnit.Of(chain));
            Assert.Equal(expected.AsEnumerable(), result.Transfers);
        }

        foreach (var account in await _ledger.GetAccountsAsync([.. LedgerWorkload.Open.Select(Account).Where(id => id != treasury)]))
            Assert.Equal(rules.Accounts[account.Id], account);
    }

    private static Transfer Renamed(Transfer transfer, Func<LedgerAccountId, LedgerAccountId> account, Func<TransferId, TransferId> id) => transfer.Kind switch
    {
        TransferKind.Post => Transfer.Post(
            id(transfer.Id), account(transfer.DebitAccount!.Value), account(transfer.CreditAccount!.Value), transfer.Amount, transfer.Reason, transfer.Reference),
        TransferKind.Hold => Transfer.Hold(
            id(transfer.Id), account(transfer.DebitAccount!.Value), account(transfer.CreditAccount!.Value), transfer.Amount, transfer.Timeout!.Value,
            transfer.Reason, transfer.Reference),
        TransferKind.PostHold => Transfer.PostHold(id(transfer.Id), id(transfer.HoldId!.Value), transfer.Amount, transfer.Reason, transfer.Reference),
        TransferKind.VoidHold => Transfer.VoidHold(id(transfer.Id), id(transfer.HoldId!.Value), transfer.Reason, transfer.Reference),
        _ => Transfer.ExpireHold(id(transfer.HoldId!.Value), transfer.Reason, transfer.Reference),
    };

    private SqlLedger Silo(HubDatabase database)
    {
        var meters = new ServiceCollection().AddMetrics().BuildServiceProvider().GetRequiredService<IMeterFactory>();
        SqlLedger silo = new(database, Options.Create(new LedgerOptions()), _time, new LedgerInstruments(meters), NullLogger<SqlLedger>.Instance);
        _silos.Add(silo);
        return silo;
    }

    private TransferId Id(string name) => TransferId.Of($"{_world}-{name}");

    private Transfer Post(string id, long amount) => Transfer.Post(Id(id), Ann, Bob, new(amount), TransferReason.Usage);

    private Transfer Hold(string id, long amount) => Transfer.Hold(Id(id), Ann, Bob, new(amount), TimeSpan.FromMinutes(1), TransferReason.Usage, "job-1");

    private async Task SubmitAsync(Transfer transfer) => Assert.Equal(TransferStatus.Created, (await _ledger.SubmitAsync(transfer)).Status);

    private Task GrantAsync(LedgerAccountId to, long amount) =>
        SubmitAsync(Transfer.Post(TransferId.Of($"grant-{Guid.NewGuid():N}"), LedgerAccountId.Treasury, to, new(amount), TransferReason.Grant));

    private async Task<long> AvailableAsync(LedgerAccountId account) => (await _ledger.GetAccountAsync(account))!.Available.Value;

    private SqlStatement JobRow(string job) => new(
        """
        INSERT INTO jobs (id, account_id, kind, model, attempt, prompt_tokens, completion_tokens, price, status, created_at, finished_at)
        VALUES (@Id, 'ann', 'chat', 'm', 1, 1, 1, 0, 'completed', 0, 0) ON CONFLICT (id) DO NOTHING
        """,
        new { Id = $"{_world}-{job}" });

    private Task<bool> JobExistsAsync(string job) => home.Database.ReadAsync(
        async connection => await connection.ExecuteScalarAsync<long>("SELECT count(*) FROM jobs WHERE id = @Id", new { Id = $"{_world}-{job}" }) == 1,
        CancellationToken.None);

    private Task<int> ChangeAsync(string sql, LedgerAccountId account) => home.Database.WriteAsync(
        (connection, transaction) => connection.ExecuteAsync(sql, new { Id = account.Value }, transaction), CancellationToken.None);
}

public sealed class SqliteLedgerTests(SqliteTestDatabase home) : SqlLedgerTests(home), IClassFixture<SqliteTestDatabase>;

public sealed class PostgresLedgerTests(PostgresTestDatabase home) : SqlLedgerTests(home), IClassFixture<PostgresTestDatabase>;
