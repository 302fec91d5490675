using System.Diagnostics.Metrics;
using Federation.Protocol.OpenAi;
using Federation.Silo.Accounts;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Gateway;
using Federation.Silo.Idempotency;
using Federation.Silo.Tests.Fakes;
using Federation.Silo.Tests.Storage;
using Microsoft.Extensions.Logging.Abstractions;

namespace Federation.Silo.Tests.Idempotency;

public abstract class GivenAnswersTests(TestDatabase database) : IAsyncLifetime
{
    private readonly TestClock _clock = new();
    private readonly IdempotencyOptions _options = new();
    private readonly string _account = $"acct_{Guid.NewGuid():N}";
    private ILedger _ledger = null!;

    private GivenAnswers Answers => new(database.Database, _ledger, Microsoft.Extensions.Options.Options.Create(_options), _clock, NullLogger<GivenAnswers>.Instance);

    public Task InitializeAsync()
    {
        _ledger = new SqlLedger(database.Database, Microsoft.Extensions.Options.Options.Create(new LedgerOptions()), _clock, new LedgerInstruments(new Meters()), NullLogger<SqlLedger>.Instance);
        return Task.CompletedTask;
    }

    public async Task DisposeAsync() => await ((SqlLedger)_ledger).DisposeAsync();

    [Fact]
    public async Task An_answer_is_found_as_it_was_given()
    {
        var request = Request("one");
        Assert.Null(await Answers.FindAsync(request, CancellationToken.None));
        var answer = Answer(request, "data: {}\n\n"u8.ToArray()) with { IsStream = true, Head = new AnswerHead("nd_a", 3, TimeSpan.FromMilliseconds(17)) { Route = "cloud:x" }, Status = 201, ContentType = "x/y" };
        await Answers.KeepAsync(request, answer);
        var found = await Answers.FindAsync(request, CancellationToken.None);
        Assert.Equal(answer.Bytes!.Value.ToArray(), found!.Bytes!.Value.ToArray());
        Assert.Equal(answer.RequestHash.ToArray(), found.RequestHash.ToArray());
        Assert.Equal((answer.JobId, answer.Head, answer.Status, answer.ContentType, answer.IsStream), (found.JobId, found.Head, found.Status, found.ContentType, found.IsStream));
    }

    [Fact]
    public async Task The_first_answer_of_a_name_stays_and_one_of_another_account_is_another()
    {
        var request = Request("one");
        await Answers.KeepAsync(request, Answer(request, "first"u8.ToArray()));
        await Answers.KeepAsync(request, Answer(request, "second"u8.ToArray()));
        Assert.Equal("first"u8.ToArray(), (await Answers.FindAsync(request, CancellationToken.None))!.Bytes!.Value.ToArray());
        Assert.Null(await Answers.FindAsync(request with { AccountId = "acct_other" }, CancellationToken.None));
    }

    [Fact]
    public async Task An_answer_is_given_again_for_a_day_and_thrown_away_after()
    {
        var request = Request("one");
        await Answers.KeepAsync(request, Answer(request, "first"u8.ToArray()));
        _clock.Advance(_options.Lifetime - TimeSpan.FromMilliseconds(1));
        Assert.NotNull(await Answers.FindAsync(request, CancellationToken.None));
        _clock.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Null(await Answers.FindAsync(request, CancellationToken.None));
        // The name is free again even before the old answer is gone.
        await Answers.KeepAsync(request, Answer(request, "second"u8.ToArray()));
        Assert.Equal("second"u8.ToArray(), (await Answers.FindAsync(request, CancellationToken.None))!.Bytes!.Value.ToArray());
        _clock.Advance(_options.Lifetime);
        Assert.True(await Answers.PurgeAsync(CancellationToken.None) >= 1);
        Assert.Equal(0, await Answers.PurgeAsync(CancellationToken.None));
    }

    [Fact]
    public async Task What_is_over_is_thrown_away_however_much_it_is_and_nothing_else()
    {
        for (var i = 0; i < 30; i++) await Answers.KeepAsync(Request($"{i}"), Answer(Request($"{i}"), "x"u8.ToArray()));
        _clock.Advance(TimeSpan.FromHours(1));
        await Answers.KeepAsync(Request("later"), Answer(Request("later"), "x"u8.ToArray()));
        _clock.Advance(TimeSpan.FromHours(23));
        Assert.True(await Answers.PurgeAsync(CancellationToken.None) >= 30);
        Assert.NotNull(await Answers.FindAsync(Request("later"), CancellationToken.None));
    }

    [Fact]
    public async Task An_account_keeps_so_many_bytes_and_so_many_names()
    {
        (_options.MaxAnswerBytes, _options.MaxBytesPerAccount, _options.MaxKeysPerAccount) = (2_000, 3_000, 3);
        Assert.Equal(2_000, await RoomAsync());
        await Answers.KeepAsync(Request("a"), Answer(Request("a"), new byte[1_500]));
        Assert.Equal(1_500, await RoomAsync());
        await Answers.KeepAsync(Request("b"), Answer(Request("b"), new byte[1_600]));
        Assert.Equal(0, await RoomAsync());
        await Answers.KeepAsync(Request("c"), Answer(Request("c"), null));
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
        await answers.KeepAsync(Request("one"), Answer(Request("one"), []));
        Assert.Contains("could not be kept", Assert.Single(log.Lines).Words, StringComparison.Ordinal);
        Assert.Null(await Answers.FindAsync(Request("one"), CancellationToken.None));
    }

    private Task<long?> RoomAsync() => Answers.RoomAsync(_account, CancellationToken.None);

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
