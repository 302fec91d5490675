using System.Collections.Immutable;
using System.Reflection;
using Federation.Contracts.Accounts;
using Federation.Contracts.Jobs;
using Federation.Protocol.OpenAi;
using Federation.Silo.Accounts;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Accounts.Limits;
using Federation.Silo.Jobs;
using Federation.Silo.Models;
using Federation.Silo.Tests.Fakes;
using Federation.Silo.Tests.Storage;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Tests.Accounts;

/// <summary>Limits as a hub's grain counts them, on a real database.</summary>
public abstract class AccountLimitTests(TestDatabase database)
{
    private int _jobs;

    [Fact]
    public async Task Of_many_requests_at_the_same_time_exactly_as_many_run_as_may()
    {
        await using var hub = await StartAsync(tiers => (tiers.ConcurrentStreams[Tier.Free], tiers.RequestsPerMinute[Tier.Free]) = (7, 0));
        var account = await AccountAsync(hub, Tier.Free);
        var admissions = await Task.WhenAll(Enumerable.Range(0, 100).Select(_ => Task.Run(() => account.Admit(Ask()))));
        Assert.Equal(7, admissions.Count(admission => admission.Admitted));
        Assert.All(admissions.Where(admission => !admission.Admitted), admission => Assert.Equal(RefusalReason.Streams, admission.Refusal!.Reason));
    }

    [Fact]
    public async Task Of_two_that_would_spend_the_days_last_tokens_at_once_exactly_one_wins()
    {
        await using var hub = await StartAsync(tiers => tiers.TokensPerDay[Tier.Pro] = 1_000);
        for (var round = 0; round < 10; round++)
        {
            var account = await AccountAsync(hub, Tier.Pro);
            var admissions = await Task.WhenAll(Enumerable.Range(0, 2).Select(_ => Task.Run(() => account.Admit(Ask(max: 900)))));
            Assert.Single(admissions, admission => admission.Admitted);
        }
    }

    [Fact]
    public async Task A_hub_that_starts_again_knows_what_was_used_of_the_day_and_of_the_minute()
    {
        var now = DateTimeOffset.UtcNow;
        string id;
        await using (var before = await StartAsync(Limit))
        {
            id = (await before.Accounts.CreateAsync("someone", Tier.Pro, CancellationToken.None)).Id;
            await RecordAsync(before, id, "key_1", now - TimeSpan.FromSeconds(1), 200);
            await RecordAsync(before, id, "key_1", now - TimeSpan.FromSeconds(1), 100, isBackground: true);
            await RecordAsync(before, id, "key_2", now - TimeSpan.FromMinutes(2), 200);
            await RecordAsync(before, id, "key_1", now - TimeSpan.FromDays(1), 999);
            await RecordAsync(before, "acct_other", "key_3", now, 999);
        }
        await using var hub = await StartAsync(Limit);
        var limits = await hub.Grains.GetGrain<IAccountGrain>(id).GetLimits();
        // Near midnight, two minutes ago was yesterday.
        var used = now.AddMinutes(-2).UtcDateTime.Date == DateTimeOffset.UtcNow.UtcDateTime.Date ? 500 : 300;
        Assert.Equal((1_000L, 1_000L - used), (limits.Tokens!.Limit, limits.Tokens.Remaining));
        Assert.Equal((5L, 4L), (limits.Requests!.Limit, limits.Requests.Remaining));
        var refused = await hub.Grains.GetGrain<IAccountGrain>(id).Admit(Ask(max: 1_000 - used));
        Assert.Equal((RefusalReason.Tokens, (long)used), (refused.Refusal!.Reason, refused.Refusal.Used));

        static void Limit(TierOptions tiers) => (tiers.TokensPerDay[Tier.Pro], tiers.RequestsPerMinute[Tier.Pro]) = (1_000, 5);
    }

    [Fact]
    public async Task What_a_key_used_of_its_own_limits_is_known_after_a_start()
    {
        string id;
        await using (var before = await StartAsync(_ => { }))
        {
            id = (await before.Accounts.CreateAsync("someone", Tier.Enterprise, CancellationToken.None)).Id;
            await RecordAsync(before, id, "key_limited", DateTimeOffset.UtcNow, 80, price: 700);
            await RecordAsync(before, id, "key_other", DateTimeOffset.UtcNow, 500, price: 5_000);
        }
        await using var hub = await StartAsync(_ => { });
        var account = hub.Grains.GetGrain<IAccountGrain>(id);
        var limits = new KeyLimits { TokensPerDay = 100, BudgetMicrocredits = 1_000, BudgetPeriod = BudgetPeriod.Month };
        Assert.Equal(RefusalReason.Tokens, (await account.Admit(Ask(max: 30, key: "key_limited", limits: limits))).Refusal!.Reason);
        var admitted = await account.Admit(Ask(max: 10, key: "key_limited", limits: limits));
        Assert.True(admitted is { Admitted: true, IsCounted: true });
        var job = $"job_{_jobs}";
        Assert.Equal((RefusalReason.Budget, 700L), await account.ReserveSpend(job, new JobSpend(301, 0)) is { } dear ? (dear.Reason, dear.Used) : default);
        Assert.Null(await account.ReserveSpend(job, new JobSpend(300, 0)));
        await account.Release(new JobUsage(job, "key_limited", 5, new JobSpend(300, 0)));
        await Eventually.TrueAsync(async () => (await account.Admit(Ask(max: 14, key: "key_limited", limits: limits))).Admitted, "the end to be heard of");
    }

    [Fact]
    public async Task After_a_move_nothing_is_judged_before_what_was_used_and_what_runs_is_known()
    {
        var limits = new KeyLimits { BudgetMicrocredits = 1_000, BudgetPeriod = BudgetPeriod.Month };
        await using var before = await StartAsync(Limit);
        await using var after = await StartAsync(Limit);
        await using var again = await StartAsync(Limit);
        var id = (await before.Accounts.CreateAsync("someone", Tier.Pro, CancellationToken.None)).Id;
        await RecordAsync(before, id, "key_moved", DateTimeOffset.UtcNow.AddSeconds(-1), 80, price: 700, provider: "fake");

        // One silo, which asks wherever the account is.
        var home = before;
        var account = DispatchProxy.Create<IAccountGrain, MovingAccount>();
        ((MovingAccount)account).Now = () => home.Grains.GetGrain<IAccountGrain>(id);
        var grains = DispatchProxy.Create<IGrainFactory, GrainFactoryProxy>();
        ((GrainFactoryProxy)grains).Find = (_, _) => account;
        using var silo = new Reservations(grains, Options.Create(new LimitOptions()), Options.Create(new PoolOptions()), TimeProvider.System, NullLogger<Reservations>.Instance);
        var (admission, first) = await silo.AdmitAsync(id, Ask(key: "key_moved", limits: limits), default);
        Assert.True(admission.Admitted);
        var (_, second) = await silo.AdmitAsync(id, Ask(), default);
        Assert.Null(await second.ReserveAsync(0, 15));

        home = after;
        // A budget of 1 000, of which 700 are spent; 100 tokens from clouds, of which 80 are used and 15 may be.
        Assert.Equal((RefusalReason.Budget, 700L), await first.ReserveAsync(301, 0) is { } dear ? (dear.Reason, dear.Used) : default);
        Assert.Equal((RefusalReason.CloudTokens, 95L), await first.ReserveAsync(300, 6) is { } much ? (much.Reason, much.Used) : default);
        Assert.Null(await first.ReserveAsync(300, 5));
        // Three of a minute's four, two of the two that may run.
        Assert.Equal((RefusalReason.Streams, 2L), (await silo.AdmitAsync(id, Ask(), default)).Admission.Refusal is { } busy ? (busy.Reason, busy.Used) : default);
        second.End(10, 0, 10);
        Assert.Equal(1, await RunningAsync(1));
        var (fourth, _) = await silo.AdmitAsync(id, Ask(), default);
        Assert.Equal((true, 0L), (fourth.Admitted, fourth.Requests!.Remaining));

        home = again;
        var (fifth, _) = await silo.AdmitAsync(id, Ask(), default);
        Assert.Equal((RefusalReason.Streams, 2L), fifth.Refusal is { } full ? (full.Reason, full.Used) : default);

        async Task<long> RunningAsync(long expected)
        {
            var running = -1L;
            await Eventually.TrueAsync(async () => (running = 2 - (await after.Grains.GetGrain<IAccountGrain>(id).GetLimits()).Streams!.Remaining) == expected, "the end to be heard of");
            return running;
        }

        static void Limit(TierOptions tiers)
            => (tiers.CloudTokensPerDay[Tier.Pro], tiers.ConcurrentStreams[Tier.Pro], tiers.RequestsPerMinute[Tier.Pro], tiers.TokensPerDay[Tier.Pro]) = (100, 2, 4, 0);
    }

    [Fact]
    public async Task What_several_nodes_answered_together_was_one_request()
    {
        await using var hub = await StartAsync(tiers => tiers.RequestsPerMinute[Tier.Pro] = 5);
        var id = (await hub.Accounts.CreateAsync("someone", Tier.Pro, CancellationToken.None)).Id;
        var job = $"job_{Guid.NewGuid():N}";
        foreach (var part in new[] { job, $"{job}~2" }) await RecordAsync(hub, id, "key_1", DateTimeOffset.UtcNow.AddSeconds(-1), 10, job: part);
        Assert.Equal(4, (await hub.Grains.GetGrain<IAccountGrain>(id).GetLimits()).Requests!.Remaining);
    }

    [Fact]
    public async Task An_account_without_limits_counts_nothing()
    {
        await using var hub = await StartAsync(_ => { });
        var account = await AccountAsync(hub, Tier.Enterprise);
        Assert.Equal(new Admission(true, Tier.Enterprise, 8, 1), await account.Admit(Ask(max: long.MaxValue)));
    }

    [Fact]
    public async Task An_account_that_is_not_there_is_refused()
    {
        await using var hub = await StartAsync(_ => { });
        Assert.Equal(RefusalReason.AccountClosed, (await hub.Grains.GetGrain<IAccountGrain>("acct_nobody").Admit(Ask())).Refusal!.Reason);
    }

    [Fact]
    public async Task A_tier_gets_the_models_and_the_kinds_it_was_given()
    {
        await using var hub = await StartAsync(tiers =>
        {
            tiers.Models[Tier.Free] = ["llama*", "qwen?"];
            tiers.Capabilities[Tier.Free] = ["chat"];
        });
        var account = await AccountAsync(hub, Tier.Free);
        Assert.True((await account.Admit(Ask(model: "llama3.2"))).Admitted);
        Assert.True((await account.Admit(Ask(model: "qwen3:latest"))).Admitted);
        Assert.Equal(RefusalReason.Model, (await account.Admit(Ask(model: "gpt-4"))).Refusal!.Reason);
        Assert.Equal(RefusalReason.Capability, (await account.Admit(Ask(model: "llama3.2", kind: JobKind.Embedding))).Refusal!.Reason);
    }

    [Fact]
    public async Task A_tier_that_an_operator_changed_counts_at_once()
    {
        await using var hub = await StartAsync(_ => { });
        var row = await hub.Accounts.CreateAsync("someone", Tier.Free, CancellationToken.None);
        var account = hub.Grains.GetGrain<IAccountGrain>(row.Id);
        Assert.Equal(Tier.Free, (await account.GetTerms()).Tier);
        Assert.Equal(Tier.Unlimited, (await hub.Accounts.SetTierAsync(row.Id, Tier.Unlimited, CancellationToken.None))!.Tier);
        await account.Refresh();
        Assert.Equal(new AccountTerms(true, Tier.Unlimited, 8, 2), await account.GetTerms());
        Assert.Null(await hub.Accounts.SetTierAsync("acct_nobody", Tier.Pro, CancellationToken.None));
    }

    private Task<TestHub> StartAsync(Action<TierOptions> configure) => TestHub.StartAsync(database, tiers: configure);

    private static async Task<IAccountGrain> AccountAsync(TestHub hub, Tier tier)
        => hub.Grains.GetGrain<IAccountGrain>((await hub.Accounts.CreateAsync("someone", tier, CancellationToken.None)).Id);

    private AdmissionRequest Ask(long? max = null, string key = "key_1", KeyLimits? limits = null, string model = "llama", JobKind kind = JobKind.Chat)
        => new($"job_{Interlocked.Increment(ref _jobs)}", key, kind, model, 0, max) { KeyLimits = limits };

    /// <summary>A reference to an account, which holds wherever that is.</summary>
    public class MovingAccount : DispatchProxy
    {
        public Func<IAccountGrain> Now { get; set; } = null!;

        protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) => targetMethod!.Invoke(Now(), args);
    }

    /// <summary>Puts a finished job on record.</summary>
    private static async Task RecordAsync(TestHub hub, string account, string key, DateTimeOffset at, long tokens, long price = 0, bool isBackground = false, string provider = "", string? job = null)
    {
        var ms = at.ToUnixTimeMilliseconds();
        var outcome = new JobOutcome(
            job ?? $"job_{Guid.NewGuid():N}", 1, account, key, JobKind.Chat, "llama", "", 0, "nd_1", JobStatus.Succeeded, "stop", tokens - 1, 1, [], ImmutableArray<byte>.Empty, ms, ms, ms, ms, "")
        { Provider = provider, IsBackground = isBackground };
        await hub.Ledger.SubmitAsync(new LedgerUnit { Rows = [JobRow.Insert(outcome)] });
        if (price > 0)
            await hub.Database.WriteAsync((connection, transaction) => Dapper.SqlMapper.ExecuteAsync(connection, "UPDATE jobs SET price = @price WHERE id = @JobId", new { price, outcome.JobId }, transaction), CancellationToken.None);
    }
}

public sealed class SqliteAccountLimitTests(SqliteTestDatabase database) : AccountLimitTests(database), IClassFixture<SqliteTestDatabase>;

public sealed class PostgresAccountLimitTests(PostgresTestDatabase database) : AccountLimitTests(database), IClassFixture<PostgresTestDatabase>;
