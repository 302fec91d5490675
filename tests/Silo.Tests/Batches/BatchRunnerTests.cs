using System.Collections.Concurrent;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Dapper;
using Federation.Contracts.Accounts;
using Federation.Contracts.Hubs;
using Federation.Contracts.Models;
using Federation.Protocol.OpenAi;
using Federation.Silo.Accounts;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Batches;
using Federation.Silo.Files;
using Federation.Silo.Gateway;
using Federation.Silo.Hubs;
using Federation.Silo.Jobs;
using Federation.Silo.Nodes;
using Federation.Silo.Pricing;
using Federation.Silo.Providers;
using Federation.Silo.Storage;
using Federation.Silo.Tests.Fakes;
using Federation.Silo.Tests.Storage;
using Federation.Silo.Webhooks;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Tests.Batches;

public abstract class BatchRunnerTests(TestDatabase database) : IAsyncLifetime
{
    private readonly TestClock _clock = new();
    private readonly BatchOptions _options = new() { MaxLines = 500, Parallelism = 4, RetryDelay = TimeSpan.Zero, Window = TimeSpan.FromMinutes(2) };
    private readonly TierOptions _tiers = new();
    private readonly List<TestSilo> _silos = [];

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        foreach (var silo in _silos) await silo.Store.DisposeAsync();
        await database.Database.WriteAsync(
            (connection, transaction) => connection.ExecuteAsync("DELETE FROM batch_answers; DELETE FROM batches; DELETE FROM file_pieces; DELETE FROM files", transaction: transaction), CancellationToken.None);
    }

    [Fact]
    public async Task Every_line_is_answered_in_order_and_errors_are_apart()
    {
        var silo = Silo();
        silo.Answer = (body, _) => body.Contains("\"seed\":3", StringComparison.Ordinal) ? Error(OpenAiError.BadRequest("Odd.")) : Answer(body);
        var batch = await SubmitAsync(silo, Lines(10));
        await silo.WorkAsync();
        batch = await FindAsync(silo, batch);
        Assert.Equal((BatchStates.Completed, 10L, 9L, 1L), (batch.State, batch.Total, batch.Completed, batch.Failed));
        var output = await OutputAsync(silo, batch.OutputFileId!);
        Assert.Equal(["c0", "c1", "c2", "c4", "c5", "c6", "c7", "c8", "c9"], output.Select(line => line["custom_id"]!.ToString()));
        Assert.All(output, line => Assert.Equal(200, line["response"]!["status_code"]!.GetValue<int>()));
        var error = Assert.Single(await OutputAsync(silo, batch.ErrorFileId!));
        Assert.Equal(("c3", 400, "Odd."), (error["custom_id"]!.ToString(), error["response"]!["status_code"]!.GetValue<int>(), error["response"]!["body"]!["error"]!["message"]!.ToString()));
        Assert.Equal(0, await database.Database.ReadAsync(connection => connection.ExecuteScalarAsync<long>("SELECT count(*) FROM batch_answers"), CancellationToken.None));
    }

    [Fact]
    public async Task After_a_silo_s_death_another_goes_on_and_no_line_is_lost_or_in_the_output_twice()
    {
        var (first, heir) = (Silo(), Silo());
        var asked = new ConcurrentBag<string>();
        var stuck = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        first.Answer = (body, _) => Number(body) < 20 ? Answer(body) : null;
        heir.Answer = (body, _) =>
        {
            asked.Add(body);
            return Answer(body);
        };
        var batch = await SubmitAsync(first, Lines(50));
        await first.Runner.LookAsync(CancellationToken.None);
        await Eventually.TrueAsync(async () => (await first.Store.AnsweredAsync(batch.Id, CancellationToken.None)).Count == 20 && first.Stuck == _options.Parallelism, "twenty lines to be answered and the next to hang");
        _clock.Advance(_options.LeaseDuration + TimeSpan.FromSeconds(1));
        await heir.WorkAsync();
        // The first wakes up: what it was asking comes late.
        first.Release();
        await first.Runner.WhenIdleAsync().WithinPatienceAsync();
        batch = await FindAsync(heir, batch);
        Assert.Equal((BatchStates.Completed, 50L, 50L, 0L, 2L), (batch.State, batch.Total, batch.Completed, batch.Failed, batch.Attempt));
        Assert.Equal(Enumerable.Range(0, 50).Select(n => $"c{n}"), (await OutputAsync(heir, batch.OutputFileId!)).Select(line => line["custom_id"]!.ToString()));
        Assert.Equal(30, asked.Count);
    }

    [Fact]
    public async Task Of_two_silos_one_has_a_batch()
    {
        var (one, other) = (Silo(), Silo());
        one.Answer = other.Answer = (_, _) => null;
        await SubmitAsync(one, Lines(3));
        await Task.WhenAll(one.Runner.LookAsync(CancellationToken.None), other.Runner.LookAsync(CancellationToken.None));
        Assert.Equal(1, one.Runner.Running + other.Runner.Running);
        one.Release();
        other.Release();
        await one.Runner.WhenIdleAsync().WithinPatienceAsync();
        await other.Runner.WhenIdleAsync().WithinPatienceAsync();
    }

    [Fact]
    public async Task A_claim_with_no_work_behind_it_lapses_while_its_silo_lives()
    {
        var silo = Silo();
        var (worked, lost) = (await SubmitAsync(silo, Lines(1)), await SubmitAsync(silo, Lines(1)));
        var claimed = await silo.Store.ClaimAsync("silo_1", 2, CancellationToken.None);
        Assert.Equal(2, claimed.Length);
        for (var i = 0; i < 3; i++)
        {
            _clock.Advance(_options.LeaseDuration / 2);
            await silo.Store.HoldAsync("silo_1", claimed.Where(batch => batch.Id == worked.Id), renew: true, CancellationToken.None);
        }
        Assert.Equal(lost.Id, Assert.Single(await silo.Store.ClaimAsync("silo_2", 2, CancellationToken.None)).Id);
    }

    [Fact]
    public async Task What_goes_wrong_with_one_line_is_that_line_s_error()
    {
        var silo = Silo();
        silo.Answer = (body, _) => Number(body) switch
        {
            1 => throw new InvalidOperationException("Odd."),
            2 => Answer("{\n\"text\":\"\\ud83d\"}"),
            _ => Answer(body),
        };
        var batch = await SubmitAsync(silo, Lines(4));
        await silo.WorkAsync();
        batch = await FindAsync(silo, batch);
        Assert.Equal((BatchStates.Completed, 2L, 2L), (batch.State, batch.Completed, batch.Failed));
        var errors = await OutputAsync(silo, batch.ErrorFileId!);
        Assert.Equal(["c1", "c2"], errors.Select(line => line["custom_id"]!.ToString()));
        Assert.All(errors, line => Assert.Equal(500, line["response"]!["status_code"]!.GetValue<int>()));
    }

    [Fact]
    public async Task A_body_nested_too_deep_is_its_line_s_error_and_the_others_are_answered()
    {
        var silo = Silo();
        silo.Answer = (body, _) => RequestHead.TryRead(Encoding.UTF8.GetBytes(body), JobKind.Chat, out RequestHead? _, out var error) ? Answer("{}") : Error(error);
        var batch = await SubmitAsync(silo, Line("shallow", "llama") + string.Concat(Enumerable.Range(62, 5).Select(Nested)));
        await silo.WorkAsync();
        batch = await FindAsync(silo, batch);
        Assert.Equal((BatchStates.Completed, 3L, 3L), (batch.State, batch.Completed, batch.Failed));
        Assert.Equal(["shallow", "62", "63"], (await OutputAsync(silo, batch.OutputFileId!)).Select(line => line["custom_id"]!.ToString()));
        var errors = await OutputAsync(silo, batch.ErrorFileId!);
        Assert.Equal(["64", "65", "66"], errors.Select(line => line["custom_id"]!.ToString()));
        Assert.All(errors, line => Assert.Equal(400, line["response"]!["status_code"]!.GetValue<int>()));

        static string Nested(int arrays) => $$$"""{"custom_id":"{{{arrays}}}","method":"POST","url":"/v1/chat/completions","body":{"messages":[{"role":"user","content":"hi"}],"model":"llama","x":{{{new string('[', arrays)}}}{{{new string(']', arrays)}}}}}""" + "\n";
    }

    [Fact]
    public async Task A_batch_whose_lines_were_not_read_in_time_expires_unread()
    {
        var silo = Silo();
        silo.Answer = (_, _) => throw new InvalidOperationException("Nothing should be asked.");
        var batch = await SubmitAsync(silo, Lines(3));
        _clock.Advance(_options.Window);
        await silo.WorkAsync();
        batch = await FindAsync(silo, batch);
        Assert.Equal((BatchStates.Expired, 0L), (batch.State, batch.Total));
        Assert.Equal("batch_expired", JsonElement.Parse(batch.Errors!)[0].GetProperty("code").GetString());
    }

    [Fact]
    public async Task Tokens_are_counted_for_models_that_are_known_while_the_batch_has_not_ended()
    {
        var silo = Silo();
        silo.Answer = (body, _) => body.Contains("\"llama\"", StringComparison.Ordinal) ? null : Error(OpenAiError.UnknownModel("x"));
        var batch = await SubmitAsync(silo, Line("known", "llama") + Line("long", new string('x', 10_000)) + Line("mistyped", "typo"));
        await silo.Runner.LookAsync(CancellationToken.None);
        await Eventually.TrueAsync(() => silo.Stuck == 1, "the line of the known model to be asked");
        Assert.Equal(["llama"], JsonElement.Parse((await EnqueuedAsync())!).EnumerateObject().Select(model => model.Name));
        silo.Release();
        await silo.Runner.WhenIdleAsync().WithinPatienceAsync();
        Assert.Equal(BatchStates.Completed, (await FindAsync(silo, batch)).State);
        Assert.Null(await EnqueuedAsync());

        Task<string?> EnqueuedAsync() => database.Database.ReadAsync(connection => connection.QuerySingleAsync<string?>("SELECT enqueued FROM batches WHERE id = @Id", new { batch.Id }), CancellationToken.None);
    }

    [Fact]
    public async Task A_quota_that_is_used_up_is_the_line_s_error_and_not_waited_for()
    {
        var silo = Silo();
        silo.Answer = (_, times) => times == 0 ? Error(new OpenAiError(429, "insufficient_quota", "insufficient_quota", "Used up.")) : throw new InvalidOperationException("Nothing should be asked again.");
        var batch = await SubmitAsync(silo, Lines(1));
        await silo.WorkAsync();
        var error = Assert.Single(await OutputAsync(silo, (await FindAsync(silo, batch)).ErrorFileId!));
        Assert.Equal(429, error["response"]!["status_code"]!.GetValue<int>());
    }

    [Fact]
    public async Task What_was_demanded_of_the_batch_is_demanded_of_each_line()
    {
        var (silo, terms) = (Silo(), new AnswerTerms(Privacy.Own, new Microcredits(250_000)));
        await SubmitAsync(silo, Lines(1), terms: terms);
        await silo.WorkAsync();
        Assert.Equal(terms, silo.Terms);
        await SubmitAsync(silo, Lines(1));
        await silo.WorkAsync();
        Assert.Equal(AnswerTerms.None, silo.Terms);
    }

    [Fact]
    public async Task A_batch_that_only_waits_gives_its_place_to_another_and_goes_on_at_its_next_turn()
    {
        // The clock runs as fast as the loop turns, and no batch is to be late.
        (_options.MaxRunning, _options.Window) = (1, TimeSpan.FromDays(30));
        var silo = Silo();
        var isBusy = true;
        silo.Answer = (body, _) => isBusy && body.Contains("seed", StringComparison.Ordinal) && Number(body) > 0 ? Error(OpenAiError.Busy("Busy.", TimeSpan.FromSeconds(5))) : Answer(body);
        var (waits, comes) = (await SubmitAsync(silo, Lines(20)), await SubmitAsync(silo, Line("b", "llama")));
        await Eventually.TrueAsync(
            async () =>
            {
                _clock.Advance(TimeSpan.FromSeconds(5));
                await silo.Runner.LookAsync(CancellationToken.None);
                return (await FindAsync(silo, comes)).State == BatchStates.Completed;
            },
            "the other batch to be worked on");
        await silo.Runner.WhenIdleAsync().WithinPatienceAsync();
        waits = await FindAsync(silo, waits);
        Assert.Equal((BatchStates.InProgress, 1L), (waits.State, waits.Completed));
        isBusy = false;
        _clock.Advance(_options.MaxRetryDelay);
        await silo.WorkAsync();
        waits = await FindAsync(silo, waits);
        Assert.Equal((BatchStates.Completed, 20L), (waits.State, waits.Completed));
        Assert.Equal(20, (await OutputAsync(silo, waits.OutputFileId!)).Count);
    }

    [Fact]
    public async Task A_batch_that_waits_for_its_next_turn_is_cancelled_at_once()
    {
        var silo = Silo();
        var batch = await SubmitAsync(silo, Lines(2));
        var claimed = Assert.Single(await silo.Store.ClaimAsync("silo_1", 1, CancellationToken.None));
        await silo.Store.ReleaseAsync(claimed, TimeSpan.FromMinutes(1));
        Assert.Empty(await silo.Store.ClaimAsync("silo_1", 1, CancellationToken.None));
        await silo.Store.CancelAsync(batch.AccountId, batch.Id, CancellationToken.None);
        await silo.WorkAsync();
        Assert.Equal(BatchStates.Cancelled, (await FindAsync(silo, batch)).State);
    }

    [Fact]
    public async Task A_cancelled_batch_waits_for_no_other_of_its_account_and_nobody_waits_for_an_account_that_runs_enough()
    {
        _options.MaxRunningPerAccount = 1;
        var silo = Silo();
        async Task<IEnumerable<string>> ClaimedAsync() => (await silo.Store.ClaimAsync("silo_1", 1, CancellationToken.None)).Select(batch => batch.Id);
        var parked = await SubmitAsync(silo, Lines(2));
        await silo.Store.ReleaseAsync(Assert.Single(await silo.Store.ClaimAsync("silo_1", 1, CancellationToken.None)), TimeSpan.FromSeconds(20));
        var runs = await SubmitAsync(silo, Lines(2), accountId: parked.AccountId);
        Assert.Equal([runs.Id], await ClaimedAsync());
        _clock.Advance(TimeSpan.FromSeconds(20));
        await silo.Store.HoldAsync("silo_1", [(await FindAsync(silo, runs))], renew: true, CancellationToken.None);
        // Of one account with more than it may run, another's comes next.
        var others = await SubmitAsync(silo, Lines(2));
        Assert.Equal([others.Id], await ClaimedAsync());
        Assert.Empty(await ClaimedAsync());
        await silo.Store.CancelAsync(parked.AccountId, parked.Id, CancellationToken.None);
        Assert.Equal([parked.Id], await ClaimedAsync());
    }

    [Fact]
    public async Task Answers_of_any_size_are_in_the_output_in_order()
    {
        var silo = Silo();
        // Beyond a page by itself, together with its neighbour, and by the number of lines.
        silo.Answer = (body, _) => Answer($$"""{"text":"{{new string('x', Number(body) switch { 1 => 5_000_000, 2 or 3 => 2_500_000, _ => 10 })}}"}""");
        var batch = await SubmitAsync(silo, Lines(120));
        await silo.WorkAsync();
        var output = await OutputAsync(silo, (await FindAsync(silo, batch)).OutputFileId!);
        Assert.Equal(Enumerable.Range(0, 120).Select(n => $"c{n}"), output.Select(line => line["custom_id"]!.ToString()));
    }

    [Fact]
    public async Task Files_that_batches_still_read_do_not_keep_the_sweep_from_others()
    {
        var silo = Silo();
        for (var i = 0; i < 20; i++) await SubmitAsync(silo, Lines(1), TimeSpan.FromHours(1));
        var batch = await SubmitAsync(silo, Lines(1), TimeSpan.FromHours(1));
        await database.Database.WriteAsync((connection, transaction) => connection.ExecuteAsync("DELETE FROM batches WHERE id = @Id", new { batch.Id }, transaction), CancellationToken.None);
        _clock.Advance(TimeSpan.FromHours(2));
        Assert.Equal(1, await silo.Files.SweepAsync(CancellationToken.None));
        Assert.Null(await silo.Files.FindAsync(batch.AccountId, batch.InputFileId, CancellationToken.None));
    }

    [Theory]
    [InlineData(1, 1L << 30, false)]
    [InlineData(2, 1L << 30, true)]
    [InlineData(2, 1024L, false)]
    public async Task An_account_has_room_below_both_bounds(int maxFiles, long maxBytes, bool hasRoom)
    {
        var batch = await SubmitAsync(Silo(), new string(' ', 1024));
        var files = new FileStore(database.Open(_clock), Options.Create(new ClientFileOptions { MaxAccountFiles = maxFiles, MaxAccountBytes = maxBytes }), _clock);
        Assert.Equal(hasRoom, await files.HasRoomAsync(batch.AccountId, CancellationToken.None));
    }

    [Theory]
    [InlineData("", "empty_file")]
    [InlineData("\n\n", "empty_file")]
    [InlineData("{\n", "invalid_json_line")]
    [InlineData("""
        {"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"llama"}}
        {"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"llama"}}
        """, "duplicate_custom_id")]
    public async Task Lines_that_are_not_sound_fail_the_batch_before_anything_is_asked(string lines, string code)
    {
        var silo = Silo();
        silo.Answer = (_, _) => throw new InvalidOperationException("Nothing should be asked.");
        var batch = await SubmitAsync(silo, lines.Length > 0 ? lines : " ");
        await silo.WorkAsync();
        batch = await FindAsync(silo, batch);
        Assert.Equal(BatchStates.Failed, batch.State);
        Assert.Equal(code, JsonElement.Parse(batch.Errors!)[0].GetProperty("code").GetString());
    }

    [Fact]
    public async Task Tokens_of_batches_that_have_not_ended_are_bounded_for_each_model_of_an_account()
    {
        _options.MaxRunningPerAccount = 10;
        var silo = Silo();
        silo.Answer = (_, _) => null;
        var first = await SubmitAsync(silo, Lines(5));
        await silo.Runner.LookAsync(CancellationToken.None);
        await Eventually.TrueAsync(async () => (await FindAsync(silo, first)).State == BatchStates.InProgress, "the first to begin");
        var tokens = JsonElement.Parse((await database.Database.ReadAsync(connection => connection.QuerySingleAsync<string>("SELECT enqueued FROM batches WHERE id = @Id", new { first.Id }), CancellationToken.None)))
            .GetProperty("llama").GetInt64();
        Assert.InRange(tokens, 5 * 10, 5 * 100);
        _tiers.EnqueuedTokens[Tier.Free] = (2 * tokens) - 1;

        // The other silo asks at once what the first does not answer.
        var other = Silo();
        var (tooMuch, otherModel, otherAccount) = (
            await SubmitAsync(other, Lines(5), accountId: first.AccountId), await SubmitAsync(other, Line("a", "mistral"), accountId: first.AccountId), await SubmitAsync(other, Lines(5)));
        await other.WorkAsync();
        tooMuch = await FindAsync(other, tooMuch);
        Assert.Equal(BatchStates.Failed, tooMuch.State);
        var error = JsonElement.Parse(tooMuch.Errors!)[0];
        Assert.Equal(
            ("token_limit_exceeded", $"Enqueued token limit reached for llama in organization {first.AccountId}. Limit: {(2 * tokens) - 1} enqueued tokens. Please try again once some in_progress batches have been completed."),
            (error.GetProperty("code").GetString(), error.GetProperty("message").GetString()));
        Assert.All([await FindAsync(other, otherModel), await FindAsync(other, otherAccount)], batch => Assert.Equal(BatchStates.Completed, batch.State));

        silo.Release();
        await silo.Runner.WhenIdleAsync().WithinPatienceAsync();
        Assert.Equal(BatchStates.Completed, (await FindAsync(silo, first)).State);
        var again = await SubmitAsync(other, Lines(5), accountId: first.AccountId);
        await other.WorkAsync();
        Assert.Equal(BatchStates.Completed, (await FindAsync(other, again)).State);
    }

    [Fact]
    public async Task Of_batches_that_begin_on_two_silos_at_once_as_many_do_as_there_are_tokens_for()
    {
        (_options.MaxRunningPerAccount, _tiers.EnqueuedTokens[Tier.Free]) = (10, 100);
        var silos = new[] { Silo(), Silo() };
        var first = await SubmitAsync(silos[0], Lines(1));
        for (var more = 0; more < 3; more++) await SubmitAsync(silos[0], Lines(1), accountId: first.AccountId);
        Batch[] claimed = [.. await silos[0].Store.ClaimAsync("silo_0", 2, CancellationToken.None), .. await silos[1].Store.ClaimAsync("silo_1", 2, CancellationToken.None)];
        var begun = await Task.WhenAll(claimed.Select((batch, n) => silos[n % 2].Store.BeginAsync(batch, 1, ["llama"], new Dictionary<string, long> { ["llama"] = 40 }, CancellationToken.None)));
        Assert.Equal((2, 2), (begun.Count(one => one.Begun), begun.Count(one => one.Refused is not null)));
    }

    [Fact]
    public async Task Too_many_lines_fail_the_batch_and_as_many_as_there_may_be_do_not()
    {
        var silo = Silo();
        var (fits, doesNot) = (await SubmitAsync(silo, Lines(_options.MaxLines)), await SubmitAsync(silo, Lines(_options.MaxLines + 1)));
        await silo.WorkAsync();
        await silo.WorkAsync();
        Assert.Equal((BatchStates.Completed, (long)_options.MaxLines), ((await FindAsync(silo, fits)).State, (await FindAsync(silo, fits)).Completed));
        Assert.Equal("too_many_requests", JsonElement.Parse((await FindAsync(silo, doesNot)).Errors!)[0].GetProperty("code").GetString());
    }

    [Fact]
    public async Task A_cancelled_batch_has_what_was_answered_and_says_of_the_rest_that_it_was_cancelled()
    {
        var silo = Silo();
        silo.Answer = (body, _) => Number(body) < 2 ? Answer(body) : null;
        var batch = await SubmitAsync(silo, Lines(6));
        await silo.Runner.LookAsync(CancellationToken.None);
        await Eventually.TrueAsync(async () => (await FindAsync(silo, batch)).Completed == 2, "two answers");
        await silo.Store.CancelAsync(batch.AccountId, batch.Id, CancellationToken.None);
        Assert.Equal(BatchStates.Cancelling, (await FindAsync(silo, batch)).State);
        await silo.WorkAsync();
        batch = await FindAsync(silo, batch);
        Assert.Equal((BatchStates.Cancelled, 2L, 0L), (batch.State, batch.Completed, batch.Failed));
        Assert.Equal(["c0", "c1"], (await OutputAsync(silo, batch.OutputFileId!)).Select(line => line["custom_id"]!.ToString()));
        var errors = await OutputAsync(silo, batch.ErrorFileId!);
        Assert.Equal(["c2", "c3", "c4", "c5"], errors.Select(line => line["custom_id"]!.ToString()));
        Assert.All(errors, line => Assert.Equal("batch_cancelled", line["error"]!["code"]!.ToString()));
    }

    [Fact]
    public async Task A_batch_whose_time_is_up_expires_with_what_it_has()
    {
        var silo = Silo();
        silo.Answer = (body, _) => Number(body) < 1 ? Answer(body) : null;
        var batch = await SubmitAsync(silo, Lines(3));
        await silo.Runner.LookAsync(CancellationToken.None);
        await Eventually.TrueAsync(async () => (await FindAsync(silo, batch)).Completed == 1, "an answer");
        while (_clock.GetUtcNow().ToUnixTimeMilliseconds() < batch.ExpiresAt)
        {
            _clock.Advance(_options.LeaseDuration / 3);
            await silo.Runner.LookAsync(CancellationToken.None);
        }
        await silo.WorkAsync();
        batch = await FindAsync(silo, batch);
        Assert.Equal((BatchStates.Expired, 1L), (batch.State, batch.Completed));
        Assert.All(await OutputAsync(silo, batch.ErrorFileId!), line => Assert.Equal("batch_expired", line["error"]!["code"]!.ToString()));
    }

    [Fact]
    public async Task A_model_that_was_never_known_fails_its_lines_and_one_that_went_away_is_waited_for()
    {
        var silo = Silo();
        silo.Answer = (body, times) => times < 4 || body.Contains("typo", StringComparison.Ordinal) ? Error(OpenAiError.UnknownModel("x")) : Answer(body);
        var batch = await SubmitAsync(silo, Line("known", "llama") + Line("mistyped", "typo"));
        await silo.WorkAsync();
        batch = await FindAsync(silo, batch);
        Assert.Equal((BatchStates.Completed, 1L, 1L), (batch.State, batch.Completed, batch.Failed));
        Assert.Equal("mistyped", Assert.Single(await OutputAsync(silo, batch.ErrorFileId!))["custom_id"]!.ToString());
    }

    [Fact]
    public async Task An_input_that_is_being_read_is_not_deleted_and_what_was_left_half_written_is()
    {
        var silo = Silo();
        silo.Answer = (_, _) => null;
        var batch = await SubmitAsync(silo, Lines(1));
        await silo.Runner.LookAsync(CancellationToken.None);
        Assert.Equal(FileDeletion.InUse, await silo.Files.DeleteAsync(batch.AccountId, batch.InputFileId, CancellationToken.None));
        Assert.Equal(FileDeletion.Unknown, await silo.Files.DeleteAsync("acct_other", batch.InputFileId, CancellationToken.None));
        silo.Answer = (body, _) => Answer(body);
        silo.Release();
        await silo.WorkAsync();
        Assert.Equal(FileDeletion.Deleted, await silo.Files.DeleteAsync(batch.AccountId, batch.InputFileId, CancellationToken.None));
        var half = (await silo.Files.BeginAsync(batch.AccountId, isBounded: true, CancellationToken.None))!;
        await half.WriteAsync(new byte[10], CancellationToken.None);
        await half.FlushAsync(CancellationToken.None);
        Assert.Null(await silo.Files.FindAsync(batch.AccountId, half.Id, CancellationToken.None));
        Assert.Equal(0, await silo.Files.SweepAsync(CancellationToken.None));
        _clock.Advance(TimeSpan.FromHours(2));
        Assert.Equal(1, await silo.Files.SweepAsync(CancellationToken.None));
    }

    private static string Lines(int count) => string.Concat(Enumerable.Range(0, count).Select(n => $$$"""{"custom_id":"c{{{n}}}","method":"POST","url":"/v1/chat/completions","body":{"model":"llama","seed":{{{n}}},"messages":[{"role":"user","content":"hi"}]}}""" + "\n"));

    private static string Line(string id, string model) => $$$"""{"custom_id":"{{{id}}}","method":"POST","url":"/v1/chat/completions","body":{"model":"{{{model}}}","messages":[{"role":"user","content":"hi"}]}}""" + "\n";

    private static int Number(string body) => JsonNode.Parse(body)!["seed"]!.GetValue<int>();

    private static BackgroundAnswer Answer(string body) => new("job_1", AttemptVerdict.Answered, 200, Encoding.UTF8.GetBytes(body), "node", null);

    private static BackgroundAnswer Error(OpenAiError error) => WholeAnswerSink.AnswerOf("job_1", error);

    private static async Task<Batch> FindAsync(TestSilo silo, Batch batch) => (await silo.Store.FindAsync(batch.AccountId, batch.Id, CancellationToken.None))!;

    private static async Task<List<JsonNode>> OutputAsync(TestSilo silo, string fileId)
    {
        var bytes = new MemoryStream();
        await foreach (var piece in silo.Files.ReadAsync(fileId, CancellationToken.None)) bytes.Write(piece);
        return [.. Encoding.UTF8.GetString(bytes.ToArray()).Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonNode.Parse(line)!)];
    }

    private async Task<Batch> SubmitAsync(TestSilo silo, string lines, TimeSpan? lifetime = null, AnswerTerms? terms = null, string? accountId = null)
    {
        accountId ??= (await new AccountStore(database.Database, _clock).CreateAsync("someone", Tier.Free, CancellationToken.None)).Id;
        await using var file = (await silo.Files.BeginAsync(accountId, isBounded: true, CancellationToken.None))!;
        Assert.True(await file.WriteAsync(Encoding.UTF8.GetBytes(lines), CancellationToken.None));
        Assert.True(await file.FlushAsync(CancellationToken.None));
        await file.FinishAsync(FilePurposes.Batch, "lines.jsonl", lifetime, CancellationToken.None);
        return (await silo.Store.CreateAsync(accountId, "key_1", "chat", file.Id, null, terms ?? AnswerTerms.None, CancellationToken.None))!;
    }

    private TestSilo Silo()
    {
        var silo = new TestSilo(database.Open(_clock), _options, _tiers, _clock);
        _silos.Add(silo);
        return silo;
    }

    /// <summary>What of a silo works on batches, with the answers a test gives.</summary>
    private sealed class TestSilo : IBackgroundInference
    {
        private readonly ConcurrentDictionary<string, int> _times = new();
        private readonly TaskCompletionSource _release = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private int _stuck;

        public TestSilo(HubDatabase database, BatchOptions options, TierOptions tiers, TestClock clock)
        {
            Files = new FileStore(database, Options.Create(new ClientFileOptions()), clock);
            Store = new BatchStore(database, Files, new WebhookStore(database, Options.Create(new WebhookOptions()), clock), Options.Create(options), Options.Create(tiers), clock, NullLogger<BatchStore>.Instance);
            var drain = new HubDrain(Options.Create(new HubOptions()), new NodeSessions(Options.Create(new NodeLinkOptions())), clock, NullLogger<HubDrain>.Instance);
            var grains = new FakeGrains { Hub = new FakeHub(new HubDirectory(1, [], [new KnownModel("llama", 1, 1, [], [], 0, clock.GetUtcNow())])) };
            var directory = new HubDirectoryView(grains.Grains, Options.Create(new HubOptions()), clock, NullLogger<HubDirectoryView>.Instance);
            var clouds = new CloudRoutes(Options.Create(new CloudOptions()), new PriceList(Options.Create(new PricingOptions())), clock, NullLogger<CloudRoutes>.Instance);
            Runner = new BatchRunner(Store, Files, this, directory, clouds, drain, Options.Create(options), Options.Create(new GatewayOptions()), Options.Create(new PricingOptions()), clock, NullLogger<BatchRunner>.Instance);
        }

        public FileStore Files { get; }

        public BatchStore Store { get; }

        public BatchRunner Runner { get; }

        /// <summary>The answer to a body, asked so many times before; null for one that does not come until it is released.</summary>
        public Func<string, int, BackgroundAnswer?> Answer { get; set; } = (body, _) => BatchRunnerTests.Answer(body);

        /// <summary>What was demanded with the last that was asked.</summary>
        public AnswerTerms? Terms { get; private set; }

        public int Stuck => Volatile.Read(ref _stuck);

        public void Release() => _release.TrySetResult();

        /// <summary>Looks, and lets everything end that goes on.</summary>
        public async Task WorkAsync()
        {
            await Runner.LookAsync(CancellationToken.None);
            await Runner.WhenIdleAsync().WithinPatienceAsync();
        }

        public async Task<BackgroundAnswer?> TryAsync(JobKind kind, ReadOnlyMemory<byte> body, string keyId, CallOrigin origin, AnswerTerms terms, CancellationToken gone)
        {
            Terms = terms;
            var text = Encoding.UTF8.GetString(body.Span);
            var times = _times.AddOrUpdate(text, 0, (_, before) => before + 1);
            if (Answer(text, times) is { } answer) return answer;
            Interlocked.Increment(ref _stuck);
            await _release.Task.WaitAsync(gone);
            return BatchRunnerTests.Answer(text);
        }
    }
}

public sealed class BatchRunnerOnSqliteTests(SqliteTestDatabase database) : BatchRunnerTests(database), IClassFixture<SqliteTestDatabase>;

public sealed class BatchRunnerOnPostgresTests(PostgresTestDatabase database) : BatchRunnerTests(database), IClassFixture<PostgresTestDatabase>;
