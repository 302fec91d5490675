using System.Diagnostics.Metrics;
using Federation.Contracts.Jobs;
using Federation.Protocol.OpenAi;
using Federation.Silo.Accounts;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Gateway;
using Federation.Silo.Idempotency;
using Federation.Silo.Pricing;
using Federation.Silo.Storage;
using Federation.Silo.Tests.Fakes;
using Federation.Silo.Tests.Storage;
using Federation.Silo.Verification.Accrual;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging.Abstractions;
using static Microsoft.Extensions.Options.Options;

namespace Federation.Silo.Tests.Idempotency;

public abstract class GivenAnswersTests(TestDatabase database) : IAsyncLifetime
{
    private readonly TestClock _clock = new();
    private readonly IdempotencyOptions _options = new();
    private readonly string _account = $"acct_{Guid.NewGuid():N}";
    private readonly List<SqlLedger> _books = [];
    private FaultyLedger _ledger = null!;

    private GivenAnswers Answers => new(database.Database, _ledger, Microsoft.Extensions.Options.Options.Create(_options), _clock, NullLogger<GivenAnswers>.Instance);

    public Task InitializeAsync()
    {
        _books.Add(new SqlLedger(database.Database, Microsoft.Extensions.Options.Options.Create(new LedgerOptions()), _clock, new LedgerInstruments(new Meters()), NullLogger<SqlLedger>.Instance));
        _ledger = new FaultyLedger(_books[0]);
        return Task.CompletedTask;
    }

    public async Task DisposeAsync()
    {
        foreach (var books in _books) await books.DisposeAsync();
    }

    [Fact]
    public async Task An_answer_is_found_as_it_was_given()
    {
        var request = Request("one");
        Assert.Null(await Answers.FindAsync(request, CancellationToken.None));
        var answer = Answer(request, "data: {}\n\n"u8.ToArray()) with { IsStream = true, Head = new AnswerHead("nd_a", 3, TimeSpan.FromMilliseconds(17)) { Route = "cloud:x" }, Status = 201, ContentType = "x/y" };
        await KeepAsync(Answers, request, answer);
        var found = await Answers.FindAsync(request, CancellationToken.None);
        Assert.Equal(answer.Bytes!.Value.ToArray(), found!.Bytes!.Value.ToArray());
        Assert.Equal(answer.RequestHash.ToArray(), found.RequestHash.ToArray());
        Assert.Equal((answer.JobId, answer.Head, answer.Status, answer.ContentType, answer.IsStream), (found.JobId, found.Head, found.Status, found.ContentType, found.IsStream));
    }

    [Fact]
    public async Task The_first_answer_of_a_name_stays_and_one_of_another_account_is_another()
    {
        var request = Request("one");
        await KeepAsync(Answers, request, Answer(request, "first"u8.ToArray()));
        await KeepAsync(Answers, request, Answer(request, "second"u8.ToArray()));
        Assert.Equal("first"u8.ToArray(), (await Answers.FindAsync(request, CancellationToken.None))!.Bytes!.Value.ToArray());
        Assert.Null(await Answers.FindAsync(request with { AccountId = "acct_other" }, CancellationToken.None));
    }

    [Fact]
    public async Task An_answer_is_given_again_for_a_day_and_thrown_away_after()
    {
        var request = Request("one");
        await KeepAsync(Answers, request, Answer(request, "first"u8.ToArray()));
        _clock.Advance(_options.Lifetime - TimeSpan.FromMilliseconds(1));
        Assert.NotNull(await Answers.FindAsync(request, CancellationToken.None));
        _clock.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Null(await Answers.FindAsync(request, CancellationToken.None));
        // The name is free again even before the old answer is gone.
        await KeepAsync(Answers, request, Answer(request, "second"u8.ToArray()));
        Assert.Equal("second"u8.ToArray(), (await Answers.FindAsync(request, CancellationToken.None))!.Bytes!.Value.ToArray());
        _clock.Advance(_options.Lifetime);
        Assert.True(await Answers.PurgeAsync(CancellationToken.None) >= 1);
        Assert.Equal(0, await Answers.PurgeAsync(CancellationToken.None));
    }

    [Fact]
    public async Task What_is_over_is_thrown_away_however_much_it_is_and_nothing_else()
    {
        for (var i = 0; i < 30; i++) await KeepAsync(Answers, Request($"{i}"), Answer(Request($"{i}"), "x"u8.ToArray()));
        _clock.Advance(TimeSpan.FromHours(1));
        await KeepAsync(Answers, Request("later"), Answer(Request("later"), "x"u8.ToArray()));
        _clock.Advance(TimeSpan.FromHours(23));
        Assert.True(await Answers.PurgeAsync(CancellationToken.None) >= 30);
        Assert.NotNull(await Answers.FindAsync(Request("later"), CancellationToken.None));
    }

    [Fact]
    public async Task An_account_keeps_so_many_bytes_and_so_many_names()
    {
        (_options.MaxAnswerBytes, _options.MaxBytesPerAccount, _options.MaxKeysPerAccount) = (2_000, 3_000, 3);
        Assert.Equal(2_000, await RoomAsync());
        await KeepAsync(Answers, Request("a"), Answer(Request("a"), new byte[1_500]));
        Assert.Equal(1_500, await RoomAsync());
        await KeepAsync(Answers, Request("b"), Answer(Request("b"), new byte[1_600]));
        Assert.Equal(0, await RoomAsync());
        await KeepAsync(Answers, Request("c"), Answer(Request("c"), null));
        Assert.Null(await RoomAsync());
        Assert.Equal(2_000, await Answers.RoomAsync("acct_other", CancellationToken.None));
        _clock.Advance(_options.Lifetime);
        Assert.Equal(2_000, await RoomAsync());
    }

    [Fact]
    public async Task An_answer_that_cannot_be_kept_is_its_clients_all_the_same()
    {
        var log = new KeptLog<GivenAnswers>();
        var away = new FaultyLedger(_ledger) { Faults = _ => Fault.Before };
        var answers = new GivenAnswers(database.Database, away, Microsoft.Extensions.Options.Options.Create(_options), _clock, log);
        await KeepAsync(answers, Request("one"), Answer(Request("one"), []));
        Assert.Contains("could not be kept", Assert.Single(log.Lines).Words, StringComparison.Ordinal);
        Assert.Null(await Answers.FindAsync(Request("one"), CancellationToken.None));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_hub_killed_at_a_settlement_has_taken_nothing_or_gives_the_answer_that_was_paid(bool isBehind)
    {
        var (payer, provider, job) = (LedgerAccountId.Available(_account), LedgerAccountId.Provider("one"), $"job_{Guid.NewGuid():N}");
        await _ledger.SubmitAsync(new LedgerUnit
        {
            Open = [payer, provider],
            Transfers = [Transfer.Post(TransferId.Of($"give:{job}"), LedgerAccountId.Treasury, payer, new Microcredits(1_000_000), TransferReason.Grant)],
        });
        var ledger = new FaultyLedger(_ledger);
        var payments = new Payments(ledger, Create(new PricingOptions()), Create(new GatewayOptions()), Create(new AccrualOptions()), _clock, NullLogger<Payments>.Instance);
        var payment = payments.Begin(job, _account, RequestTokens.Exactly(10, 90), PaymentTerms.Usual);
        Assert.Null(await payment.HoldAsync(Price.FromCredits(10, 10), provider, CancellationToken.None));
        var request = Request("killed");
        using var body = new MemoryStream();
        var sink = new KeepingSink(new OpenAiSink(new DefaultHttpContext { Response = { Body = body } }), request, job, new GivenAnswers(database.Database, ledger, Create(_options), _clock, NullLogger<GivenAnswers>.Instance), room: 1_000);
        var (head, answer, charge) = (new AnswerHead("", 1, TimeSpan.Zero) { Route = "cloud:one" }, "{\"choices\":[]}"u8.ToArray(), payment.ChargeFor(10, 20));
        var outcome = new JobOutcome(job, 1, _account, "key_1", JobKind.Chat, "m", "", 0, "", JobStatus.Succeeded, "stop", 10, 20, [], [], 0, 0, 0, 0, "")
        {
            Price = charge.Amount.Value,
            HoldId = charge.HoldId,
            Provider = "one",
            Answer = sink.KeepWhole(head, 200, "application/json", answer),
        };

        // Of this commit the hub does not hear any more, and it makes no other.
        ledger.Faults = _ => isBehind ? Fault.After : Fault.Before;
        await Assert.ThrowsAsync<StorageException>(() => payments.SettleAsync(outcome));
        var (given, account) = (await Answers.FindAsync(request, CancellationToken.None), (await _ledger.GetAccountAsync(payer))!);
        Assert.Equal(isBehind ? (300_000, 0, true) : (0, 1_000_000, false), (account.DebitsPosted.Value, account.DebitsPending.Value, given is not null));
        if (given is not null) Assert.Equal((job, "cloud:one", 200, Convert.ToHexString(answer)), (given.JobId, given.Head.Route, given.Status, Convert.ToHexString(given.Bytes!.Value.Span)));

        // One that lives settles again, moves nothing again, and has nothing left to keep.
        ledger.Faults = _ => Fault.None;
        Assert.True(await payments.SettleAsync(outcome));
        var commits = ledger.Commits;
        await sink.WriteWholeAsync(head, 200, "application/json", answer);
        Assert.Equal((commits, 300_000), (ledger.Commits, (await _ledger.GetAccountAsync(payer))!.DebitsPosted.Value));
        Assert.Equal(answer, (await Answers.FindAsync(request, CancellationToken.None))!.Bytes!.Value.ToArray());
    }

    private Task<long?> RoomAsync() => Answers.RoomAsync(_account, CancellationToken.None);

    private static Task KeepAsync(GivenAnswers answers, RepeatableRequest request, GivenAnswer answer) => answers.KeepAsync(request.AccountId, answer.JobId, answers.Record(request, answer));

    private RepeatableRequest Request(string key) => RepeatableRequest.Of(new InferenceCall("job_1", JobKind.Chat, "{}"u8.ToArray(), new ApiCaller(_account, "key_1", [])) { IdempotencyKey = key })!;

    private static GivenAnswer Answer(RepeatableRequest request, byte[]? bytes) => new(request.RequestHash, "job_1", new AnswerHead("nd_a", 1, TimeSpan.Zero), 200, "application/json", false, bytes);

    private sealed class Meters : IMeterFactory
    {
        public Meter Create(MeterOptions options) => new(options);

        public void Dispose()
        {
        }
    }
}

public sealed class SqliteGivenAnswersTests(SqliteTestDatabase database) : GivenAnswersTests(database), IClassFixture<SqliteTestDatabase>;

public sealed class PostgresGivenAnswersTests(PostgresTestDatabase database) : GivenAnswersTests(database), IClassFixture<PostgresTestDatabase>;
