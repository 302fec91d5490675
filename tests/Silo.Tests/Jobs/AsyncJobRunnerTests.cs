using System.Collections.Concurrent;
using System.Text;
using Dapper;
using Federation.Contracts.Accounts;
using Federation.Contracts.Models;
using Federation.Protocol.OpenAi;
using Federation.Silo.Accounts;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Gateway;
using Federation.Silo.Hubs;
using Federation.Silo.Jobs;
using Federation.Silo.Nodes;
using Federation.Silo.Tests.Fakes;
using Federation.Silo.Tests.Storage;
using Federation.Silo.Webhooks;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Tests.Jobs;

public abstract class AsyncJobRunnerTests(TestDatabase database) : IAsyncLifetime
{
    private readonly TestClock _clock = new();
    private readonly AsyncJobOptions _options = new() { MaxRunningPerAccount = 2, MaxRunning = 3, MaxWaitingPerAccount = 5 };

    public Task InitializeAsync() => Task.CompletedTask;

    /// <summary>What a test leaves undone is not the next one's to run.</summary>
    public Task DisposeAsync() => database.Database.WriteAsync((connection, transaction) => connection.ExecuteAsync("DELETE FROM async_job_events; DELETE FROM async_jobs; DELETE FROM kept_jobs", transaction: transaction), CancellationToken.None);

    [Fact]
    public async Task A_job_is_answered_and_its_prompt_is_forgotten()
    {
        var account = await AccountAsync();
        var job = await SubmitAsync(account);
        var silo = Silo();
        await silo.Runner.LookAsync(CancellationToken.None);
        await silo.AnswerAsync(Answered("42"));
        var ended = await FindAsync(job);
        Assert.Equal((AsyncJobState.Completed, 1L, 200L, "node"), (ended.State, ended.Attempt, ended.StatusCode, ended.NodeId));
        Assert.Equal("42", Encoding.UTF8.GetString(ended.Result!));
        Assert.Null(await database.Database.ReadAsync(connection => connection.QuerySingleAsync<byte[]?>("SELECT request FROM async_jobs WHERE id = @Id", new { job.Id }), CancellationToken.None));
        Assert.Equal(["queued", "running", "completed"], await EventsAsync(job));
    }

    [Fact]
    public async Task Of_two_silos_one_runs_a_job()
    {
        var account = await AccountAsync();
        var jobs = new List<AsyncJob> { await SubmitAsync(account), await SubmitAsync(account) };
        var (one, other) = (Silo(), Silo());
        await Task.WhenAll(one.Runner.LookAsync(CancellationToken.None), other.Runner.LookAsync(CancellationToken.None));
        Assert.Equal(2, one.Runner.Running + other.Runner.Running);
        foreach (var job in jobs) Assert.Equal(1, (await FindAsync(job)).Attempt);
        await one.EndAsync();
        await other.EndAsync();
    }

    [Fact]
    public async Task A_silo_that_slept_too_long_has_its_late_answer_refused()
    {
        var job = await SubmitAsync(await AccountAsync());
        var (sleeper, heir) = (Silo(), Silo());
        await sleeper.Runner.LookAsync(CancellationToken.None);
        _clock.Advance(_options.LeaseDuration + TimeSpan.FromSeconds(1));
        // The first look puts it back, and claims it.
        await heir.Runner.LookAsync(CancellationToken.None);
        await sleeper.AnswerAsync(Answered("late"));
        Assert.Equal((AsyncJobState.Running, 2L), ((await FindAsync(job)).State, (await FindAsync(job)).Attempt));
        await heir.AnswerAsync(Answered("right"));
        var ended = await FindAsync(job);
        Assert.Equal("right", Encoding.UTF8.GetString(ended.Result!));
        Assert.Equal(1, ended.Failures);
    }

    [Fact]
    public async Task A_silo_that_says_so_keeps_its_jobs()
    {
        var job = await SubmitAsync(await AccountAsync());
        var (holder, other) = (Silo(), Silo());
        await holder.Runner.LookAsync(CancellationToken.None);
        for (var i = 0; i < 10; i++)
        {
            _clock.Advance(_options.LeaseDuration / 3);
            await holder.Runner.LookAsync(CancellationToken.None);
            await other.Runner.LookAsync(CancellationToken.None);
        }
        Assert.Equal(0, other.Runner.Running);
        await holder.AnswerAsync(Answered("1"));
        Assert.Equal((AsyncJobState.Completed, 1L), ((await FindAsync(job)).State, (await FindAsync(job)).Attempt));
    }

    [Fact]
    public async Task A_claim_with_no_run_behind_it_lapses_while_its_silo_lives()
    {
        var (runs, lost) = (await SubmitAsync(await AccountAsync()), await SubmitAsync(await AccountAsync()));
        var store = Silo().Store;
        Assert.Equal(2, (await store.ClaimAsync("silo_1", 2, CancellationToken.None)).Length);
        for (var i = 0; i < 3; i++)
        {
            _clock.Advance(_options.LeaseDuration / 2);
            await store.HoldAsync("silo_1", [(runs.Id, 1)], renew: true, CancellationToken.None);
        }
        await store.TidyAsync(CancellationToken.None);
        Assert.Equal((AsyncJobState.Running, AsyncJobState.Queued), ((await FindAsync(runs)).State, (await FindAsync(lost)).State));
    }

    [Fact]
    public async Task What_was_claimed_before_a_claim_failed_is_not_lost()
    {
        for (var i = 0; i < 2; i++) await SubmitAsync(await AccountAsync());
        await ExecuteAsync("CREATE UNIQUE INDEX one_of_each_owner ON async_jobs (owner)");
        try
        {
            var store = Silo().Store;
            Assert.Single(await store.ClaimAsync("silo_1", 2, CancellationToken.None));
            await Assert.ThrowsAsync<Silo.Storage.StorageException>(() => store.ClaimAsync("silo_1", 2, CancellationToken.None));
        }
        finally
        {
            await ExecuteAsync("DROP INDEX one_of_each_owner");
        }
    }

    [Fact]
    public async Task Accounts_take_turns_from_one_look_to_the_next()
    {
        var waiting = new HashSet<string>();
        for (var i = 0; i < 3; i++)
        {
            var account = await AccountAsync();
            waiting.Add(account.AccountId);
            for (var j = 0; j < 2; j++) await SubmitAsync(account);
        }
        var store = Silo().Store;
        var served = new HashSet<string>();
        for (var i = 0; i < 3; i++) served.Add(Assert.Single(await store.ClaimAsync("silo_1", 1, CancellationToken.None)).AccountId);
        Assert.Equal(waiting, served);
    }

    [Fact]
    public async Task A_cancelled_job_stops_the_work_for_it_on_whichever_silo()
    {
        var account = await AccountAsync();
        var job = await SubmitAsync(account);
        var (runs, cancels) = (Silo(), Silo());
        await runs.Runner.LookAsync(CancellationToken.None);
        var call = await runs.NextAsync();
        Assert.True(await cancels.Store.CancelAsync(account.AccountId, job.Id, CancellationToken.None));
        Assert.False(await cancels.Store.CancelAsync(account.AccountId, job.Id, CancellationToken.None));
        await runs.Runner.LookAsync(CancellationToken.None);
        Assert.True(call.Gone.IsCancellationRequested);
        await runs.Runner.WhenIdleAsync().WithinPatienceAsync();
        Assert.Equal(AsyncJobState.Cancelled, (await FindAsync(job)).State);
        Assert.Equal(["queued", "running", "cancelled"], await EventsAsync(job));
    }

    [Fact]
    public async Task A_busy_model_is_waited_for_however_often_and_failing_nodes_only_so_often()
    {
        var job = await SubmitAsync(await AccountAsync());
        var silo = Silo();
        for (var i = 0; i < 20; i++) await OnceMoreAsync(silo, OpenAiError.Busy("Busy.", TimeSpan.FromSeconds(1)));
        Assert.Equal((AsyncJobState.Queued, 0L), ((await FindAsync(job)).State, (await FindAsync(job)).Failures));
        for (var i = 1; i < _options.MaxFailures; i++) await OnceMoreAsync(silo, OpenAiError.NoAnswer());
        Assert.Equal(AsyncJobState.Queued, (await FindAsync(job)).State);
        await OnceMoreAsync(silo, OpenAiError.NoAnswer());
        Assert.Equal((AsyncJobState.Failed, 502L), ((await FindAsync(job)).State, (await FindAsync(job)).StatusCode));
    }

    [Fact]
    public async Task A_wrong_request_fails_at_once()
    {
        var job = await SubmitAsync(await AccountAsync());
        var silo = Silo();
        await OnceMoreAsync(silo, OpenAiError.BadRequest("No."));
        Assert.Equal((AsyncJobState.Failed, 400L), ((await FindAsync(job)).State, (await FindAsync(job)).StatusCode));
    }

    [Fact]
    public async Task A_job_whose_time_is_up_expires_whether_it_waits_or_runs()
    {
        var account = await AccountAsync();
        var jobs = new List<AsyncJob> { await SubmitAsync(account, TimeSpan.FromMinutes(1)), await SubmitAsync(account, TimeSpan.FromMinutes(1)), await SubmitAsync(account, TimeSpan.FromMinutes(1)) };
        var silo = Silo();
        await silo.Runner.LookAsync(CancellationToken.None);
        Assert.Equal(2, silo.Runner.Running);
        _clock.Advance(TimeSpan.FromMinutes(2));
        await silo.Runner.LookAsync(CancellationToken.None);
        await silo.Runner.WhenIdleAsync().WithinPatienceAsync();
        foreach (var job in jobs) Assert.Equal(AsyncJobState.Expired, (await FindAsync(job)).State);
    }

    [Fact]
    public async Task One_account_s_many_jobs_do_not_hold_up_another_s_one()
    {
        var (busy, modest) = (await AccountAsync(), await AccountAsync());
        for (var i = 0; i < 5; i++) await SubmitAsync(busy);
        var one = await SubmitAsync(modest);
        var silo = Silo();
        await silo.Runner.LookAsync(CancellationToken.None);
        Assert.Equal(AsyncJobState.Running, (await FindAsync(one)).State);
        Assert.Equal(3, silo.Runner.Running);
        await silo.EndAsync();
    }

    [Fact]
    public async Task An_account_has_only_so_many_and_sees_only_its_own()
    {
        var (mine, theirs) = (await AccountAsync(), await AccountAsync());
        var jobs = new List<AsyncJob>();
        for (var i = 0; i < _options.MaxWaitingPerAccount; i++) jobs.Add(await SubmitAsync(mine));
        // Those of one millisecond are in no order but that of their ids.
        jobs = [.. jobs.OrderBy(job => job.Id, StringComparer.Ordinal)];
        var store = Silo().Store;
        Assert.Null(await store.CreateAsync(New(mine, TimeSpan.FromHours(1)), CancellationToken.None));
        Assert.Null(await store.FindAsync(theirs.AccountId, jobs[0].Id, CancellationToken.None));
        Assert.False(await store.CancelAsync(theirs.AccountId, jobs[0].Id, CancellationToken.None));
        Assert.Empty(await store.ListAsync(theirs.AccountId, null, null, 10, CancellationToken.None));
        var newest = await store.ListAsync(mine.AccountId, null, null, 2, CancellationToken.None);
        Assert.Equal([jobs[4].Id, jobs[3].Id], newest.Select(job => job.Id));
        Assert.Equal([jobs[2].Id, jobs[1].Id, jobs[0].Id], (await store.ListAsync(mine.AccountId, newest[^1].Id, "queued", 10, CancellationToken.None)).Select(job => job.Id));
    }

    [Fact]
    public async Task A_hub_that_stops_hands_its_jobs_back_at_once()
    {
        var job = await SubmitAsync(await AccountAsync());
        var silo = Silo();
        await silo.Runner.StartAsync(CancellationToken.None);
        await silo.NextAsync();
        await silo.Runner.StopAsync(CancellationToken.None).WithinPatienceAsync();
        Assert.Equal((AsyncJobState.Queued, 0L), ((await FindAsync(job)).State, (await FindAsync(job)).Failures));
    }

    [Fact]
    public async Task What_has_ended_is_kept_for_a_while_and_forgotten()
    {
        var job = await SubmitAsync(await AccountAsync());
        var silo = Silo();
        await OnceMoreAsync(silo, OpenAiError.BadRequest("No."));
        _clock.Advance(_options.Retention - TimeSpan.FromMinutes(1));
        Assert.Equal(0, await silo.Store.ForgetAsync(CancellationToken.None));
        _clock.Advance(TimeSpan.FromMinutes(2));
        Assert.Equal(1, await silo.Store.ForgetAsync(CancellationToken.None));
        Assert.Null(await silo.Store.FindAsync(job.AccountId, job.Id, CancellationToken.None));
        Assert.Empty(await silo.Store.EventsAsync(job.Id, 0, CancellationToken.None));
    }

    [Fact]
    public async Task Of_what_has_ended_an_account_keeps_so_many_and_so_many_bytes_the_latest()
    {
        (_options.MaxKeptPerAccount, _options.MaxBytesPerAccount) = (3, 1_000);
        var (account, other) = (await AccountAsync(), await AccountAsync());
        var silo = Silo();
        var jobs = new List<AsyncJob> { await EndedAsync(silo, other, 900) };
        foreach (var bytes in (int[])[10, 10, 10, 10]) jobs.Add(await EndedAsync(silo, account, bytes));
        Assert.Equal([true, false, true, true, true], await KeptAsync());
        // What still runs is not what is kept.
        var running = await SubmitAsync(account);
        Assert.Single(await silo.Store.ClaimAsync("silo_2", 1, CancellationToken.None));
        jobs.Add(await EndedAsync(silo, account, 985));
        Assert.Equal([true, false, false, false, true, true], await KeptAsync());
        // The latest is kept whatever it has.
        jobs.Add(await EndedAsync(silo, account, 2_000));
        Assert.Equal([true, false, false, false, false, false, true], await KeptAsync());
        Assert.Equal(AsyncJobState.Running, (await FindAsync(running)).State);
        // However they end or go, the totals are what there is.
        await AssertTotalsAsync(2);
        _clock.Advance(TimeSpan.FromSeconds(1));
        Assert.True(await silo.Store.CancelAsync(running.AccountId, running.Id, CancellationToken.None));
        await AssertTotalsAsync(2);
        _clock.Advance(_options.Retention + TimeSpan.FromSeconds(1));
        Assert.Equal(2, await silo.Store.ForgetAsync(CancellationToken.None));
        await AssertTotalsAsync(0);
        await EndedAsync(silo, other, 30);
        await AssertTotalsAsync(1);

        async Task<IEnumerable<bool>> KeptAsync() => await Task.WhenAll(jobs.Select(async job => await silo.Store.FindAsync(job.AccountId, job.Id, CancellationToken.None) is not null));
    }

    [Fact]
    public async Task A_total_that_is_wrong_is_put_right_before_anything_is_deleted_by_it()
    {
        _options.MaxKeptPerAccount = 3;
        var (account, silo) = (await AccountAsync(), Silo());
        foreach (var bytes in (int[])[10, 20]) await EndedAsync(silo, account, bytes);
        // As when a hub that knew no totals had deleted two.
        await ExecuteAsync("UPDATE kept_jobs SET jobs = jobs + 2, bytes = bytes + 500");
        await EndedAsync(silo, account, 30);
        await AssertTotalsAsync(3);
        await ExecuteAsync("UPDATE kept_jobs SET jobs = jobs - 1, bytes = bytes - 5");
        _clock.Advance(_options.Retention - TimeSpan.FromSeconds(1));
        Assert.Equal(1, await silo.Store.ForgetAsync(CancellationToken.None));
        await AssertTotalsAsync(2);
        // One that is missing is made.
        await ExecuteAsync("DELETE FROM kept_jobs");
        _clock.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(1, await silo.Store.ForgetAsync(CancellationToken.None));
        await AssertTotalsAsync(1);
    }

    [Fact]
    public async Task Of_requests_that_wait_an_account_has_only_so_many_bytes()
    {
        _options.MaxBytesPerAccount = 5;
        var (account, store) = (await AccountAsync(), Silo().Store);
        var jobs = new List<AsyncJob> { await SubmitAsync(account), await SubmitAsync(account) };
        Assert.Null(await store.CreateAsync(New(account, TimeSpan.FromHours(1)), CancellationToken.None));
        Assert.True(await store.CancelAsync(account.AccountId, jobs[0].Id, CancellationToken.None));
        Assert.NotNull(await store.CreateAsync(New(account, TimeSpan.FromHours(1)), CancellationToken.None));
    }

    [Fact]
    public async Task What_was_demanded_with_a_job_is_demanded_when_it_runs()
    {
        var (silo, terms) = (Silo(), new AnswerTerms(Privacy.Trusted, new Microcredits(1_500)));
        var job = (await silo.Store.CreateAsync(New(await AccountAsync(), TimeSpan.FromHours(1)) with { Terms = terms }, CancellationToken.None))!;
        Assert.Equal(terms, job.Terms);
        await silo.Runner.LookAsync(CancellationToken.None);
        var call = await silo.NextAsync();
        Assert.Equal(terms, call.Terms);
        call.Answer.SetResult(Answered("42"));
        await silo.Runner.WhenIdleAsync().WithinPatienceAsync();
        var shown = AsyncJobJson.Of(await FindAsync(job));
        Assert.Equal(("trusted", 0.0015m), (shown.Privacy, shown.MaxCredits));
    }

    private static BackgroundAnswer Answered(string body) => new("job_1", AttemptVerdict.Answered, 200, Encoding.UTF8.GetBytes(body), "node", null);

    /// <summary>One attempt that comes to this.</summary>
    private async Task OnceMoreAsync(TestSilo silo, OpenAiError error)
    {
        _clock.Advance(_options.MaxRetryDelay);
        await silo.Runner.LookAsync(CancellationToken.None);
        await silo.AnswerAsync(WholeAnswerSink.AnswerOf("job_1", error));
    }

    private async Task<AsyncJob> EndedAsync(TestSilo silo, ApiCaller of, int bytes)
    {
        _clock.Advance(TimeSpan.FromSeconds(1));
        await SubmitAsync(of);
        var claimed = Assert.Single(await silo.Store.ClaimAsync("silo_1", 1, CancellationToken.None), one => one.AccountId == of.AccountId);
        Assert.True(await silo.Store.EndAsync(claimed.Id, claimed.Attempt, new AsyncJobEnd(AsyncJobState.Completed, "job_1", null, 200, new byte[bytes]), CancellationToken.None));
        return claimed;
    }

    /// <summary>Each account's total is what there is; so many jobs have ended and are kept, of all accounts.</summary>
    private async Task AssertTotalsAsync(long all)
    {
        var (total, there) = await database.Database.ReadAsync(
            async connection => (
                (await connection.QueryAsync<(string, long, long)>("SELECT account_id, jobs, bytes FROM kept_jobs WHERE jobs <> 0 OR bytes <> 0 ORDER BY account_id")).ToList(),
                (await connection.QueryAsync<(string, long, long)>("SELECT account_id, count(*), CAST(sum(bytes) AS bigint) FROM async_jobs WHERE finished_at IS NOT NULL GROUP BY account_id ORDER BY account_id")).ToList()),
            CancellationToken.None);
        Assert.Equal(there, total);
        Assert.Equal(all, there.Sum(account => account.Item2));
    }

    private Task<int> ExecuteAsync(string sql) => database.Database.WriteAsync((connection, transaction) => connection.ExecuteAsync(sql, transaction: transaction), CancellationToken.None);

    private async Task<AsyncJob> FindAsync(AsyncJob job) => (await Silo().Store.FindAsync(job.AccountId, job.Id, CancellationToken.None))!;

    private async Task<IEnumerable<string>> EventsAsync(AsyncJob job) => (await Silo().Store.EventsAsync(job.Id, 0, CancellationToken.None)).Select(item => item.Type);

    private async Task<ApiCaller> AccountAsync() => new((await new AccountStore(database.Database, _clock).CreateAsync("someone", Tier.Free, CancellationToken.None)).Id, "key_1", []);

    private static NewAsyncJob New(ApiCaller account, TimeSpan lifetime) => new(account.AccountId, account.KeyId, "chat", "llama", "{}"u8.ToArray(), null, null, AnswerTerms.None, lifetime);

    private async Task<AsyncJob> SubmitAsync(ApiCaller account, TimeSpan? lifetime = null) => (await Silo().Store.CreateAsync(New(account, lifetime ?? TimeSpan.FromDays(1)), CancellationToken.None))!;

    private TestSilo Silo() => new(database.Open(_clock), _options, _clock);

    /// <summary>What of a silo runs jobs, with an answer for each when the test gives it.</summary>
    private sealed class TestSilo : IBackgroundInference
    {
        private readonly ConcurrentQueue<Call> _calls = new();

        public TestSilo(Silo.Storage.HubDatabase database, AsyncJobOptions options, TestClock clock)
        {
            Store = new AsyncJobStore(database, new WebhookStore(database, Options.Create(new WebhookOptions()), clock), Options.Create(options), clock);
            var drain = new HubDrain(Options.Create(new HubOptions()), new NodeSessions(Options.Create(new NodeLinkOptions())), clock, NullLogger<HubDrain>.Instance);
            Runner = new AsyncJobRunner(Store, this, new AsyncJobSignals(), drain, Options.Create(options), clock, NullLogger<AsyncJobRunner>.Instance);
        }

        public AsyncJobStore Store { get; }

        public AsyncJobRunner Runner { get; }

        public async Task<Call> NextAsync()
        {
            Call? next = null;
            await Eventually.TrueAsync(() => _calls.TryDequeue(out next), "a job to be run");
            return next!;
        }

        /// <summary>The one job that runs is answered so.</summary>
        public async Task AnswerAsync(BackgroundAnswer answer)
        {
            (await NextAsync()).Answer.SetResult(answer);
            await Runner.WhenIdleAsync().WithinPatienceAsync();
        }

        /// <summary>Whatever runs is answered.</summary>
        public async Task EndAsync()
        {
            for (var running = Runner.Running; running > 0; running--) (await NextAsync()).Answer.SetResult(Answered("1"));
            await Runner.WhenIdleAsync().WithinPatienceAsync();
        }

        public async Task<BackgroundAnswer?> TryAsync(JobKind kind, ReadOnlyMemory<byte> body, string keyId, CallOrigin origin, AnswerTerms terms, CancellationToken gone)
        {
            var call = new Call(terms, gone);
            _calls.Enqueue(call);
            return await call.Answer.Task.WaitAsync(gone);
        }

        public sealed record Call(AnswerTerms Terms, CancellationToken Gone)
        {
            public TaskCompletionSource<BackgroundAnswer> Answer { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
        }
    }
}

public sealed class AsyncJobRunnerOnSqliteTests(SqliteTestDatabase database) : AsyncJobRunnerTests(database), IClassFixture<SqliteTestDatabase>;

public sealed class AsyncJobRunnerOnPostgresTests(PostgresTestDatabase database) : AsyncJobRunnerTests(database), IClassFixture<PostgresTestDatabase>;
