using Federation.Contracts.Accounts;
using Federation.Protocol.OpenAi;
using Federation.Silo.Accounts;
using Federation.Silo.Accounts.Limits;

namespace Federation.Silo.Tests.Accounts.Limits;

public sealed class LimitBookTests
{
    private static readonly DateTimeOffset Noon = new(2026, 11, 20, 12, 0, 0, TimeSpan.Zero);
    private static readonly JobSpend Nothing = new(0, 0);

    private readonly LimitOptions _options = new();
    private readonly LimitBook _book;
    private TimeSpan _elapsed;
    private TimeSpan _jump;
    private int _jobs;

    public LimitBookTests() => _book = new LimitBook(_options);

    private Moment Now => new(_elapsed, Noon + _elapsed + _jump);

    [Fact]
    public void Of_requests_that_come_at_once_as_many_get_in_as_the_minute_has_room_for()
    {
        var caps = new AccountCaps(5, 0, 0, 0);
        Assert.Equal(5, Enumerable.Range(0, 20).Count(_ => Admit(caps) is null));
        var refusal = Admit(caps)!;
        Assert.Equal((RefusalReason.Requests, false, 5L, 5L, TimeSpan.FromMinutes(1)), (refusal.Reason, refusal.OfKey, refusal.Limit, refusal.Used, refusal.RetryAfter));
    }

    [Fact]
    public void A_minute_later_there_is_room_again_and_not_a_moment_before()
    {
        var caps = new AccountCaps(2, 0, 0, 0);
        Assert.Null(Admit(caps));
        Pass(TimeSpan.FromSeconds(20));
        Assert.Null(Admit(caps));
        Pass(TimeSpan.FromSeconds(40) - TimeSpan.FromTicks(1));
        Assert.Equal(TimeSpan.FromTicks(1), Admit(caps)!.RetryAfter);
        Pass(TimeSpan.FromTicks(1));
        Assert.Null(Admit(caps));
        Assert.Equal(TimeSpan.FromSeconds(20), Admit(caps)!.RetryAfter);
        Assert.Equal(new LimitLevel(2, 0, TimeSpan.FromMinutes(1)), _book.Requests(caps, Now));
    }

    [Fact]
    public void Who_asks_at_exactly_the_limits_pace_is_never_refused()
    {
        var caps = new AccountCaps(60, 0, 0, 0);
        for (var i = 0; i < 500; i++)
        {
            Assert.Null(Admit(caps));
            Pass(TimeSpan.FromSeconds(1));
        }
    }

    [Fact]
    public void As_many_run_at_once_as_may_and_each_end_makes_room_for_one()
    {
        var caps = new AccountCaps(0, 2, 0, 0);
        Assert.Null(Admit(caps, job: "a"));
        Assert.Null(Admit(caps, job: "b"));
        Assert.Equal((RefusalReason.Streams, 2L, 2L), Admit(caps) is { } refusal ? (refusal.Reason, refusal.Limit, refusal.Used) : default);
        Release("a", 10);
        Assert.Null(Admit(caps));
        Assert.NotNull(Admit(caps));
    }

    [Fact]
    public void What_nobody_waits_for_takes_no_place_of_the_minute_nor_of_what_runs_at_once_and_its_tokens_count()
    {
        var caps = new AccountCaps(2, 2, 1_000, 0);
        var key = new KeyLimits { RequestsPerMinute = 2, TokensPerDay = 900 };
        for (var i = 0; i < 5; i++) Assert.Null(_book.TryAdmit(Ask($"batch {i}", key, max: 99, prompt: 0) with { IsBackground = true }, caps, Now));
        Assert.Null(Admit(caps, job: "a", key: key, max: 1));
        Assert.Null(Admit(caps, job: "b", key: key, max: 1));
        Assert.Equal(RefusalReason.Streams, Admit(caps, key: key)!.Reason);
        Release("a", 0);
        Assert.Equal(RefusalReason.Requests, Admit(caps, key: key)!.Reason);
        for (var i = 0; i < 5; i++) Release($"batch {i}", 180);
        Release("b", 0);
        Assert.Equal(100, _book.Tokens(caps, Now)!.Remaining);
        var refusal = _book.TryAdmit(Ask("batch 6", key, max: 1, prompt: 0) with { IsBackground = true }, caps, Now)!;
        Assert.Equal((RefusalReason.Tokens, true), (refusal.Reason, refusal.OfKey));
        Assert.Equal(0, _book.RunningCount);
        // It came and went without a trace in what runs at once.
        Pass(TimeSpan.FromMinutes(1));
        Assert.Null(Admit(new AccountCaps(2, 2, 0, 0)));
        Assert.Null(Admit(new AccountCaps(2, 2, 0, 0)));
        Assert.Equal(RefusalReason.Streams, Admit(new AccountCaps(0, 2, 0, 0))!.Reason);
    }

    [Fact]
    public void Asking_twice_for_one_job_counts_it_once()
    {
        var caps = new AccountCaps(3, 2, 0, 0);
        for (var i = 0; i < 10; i++) Assert.Null(Admit(caps, job: "a"));
        Assert.Equal(1, _book.RunningCount);
        Assert.Equal(2, _book.Requests(caps, Now)!.Remaining);
        Release("a", 5);
        Release("a", 0);
        Assert.Equal(0, _book.RunningCount);
    }

    [Fact]
    public void Of_two_that_would_spend_the_last_tokens_one_wins_and_what_it_leaves_is_there_again()
    {
        var caps = new AccountCaps(0, 0, 1_000, 0);
        Assert.Null(Admit(caps, job: "first", max: 600));
        var refusal = Admit(caps, job: "second", max: 600)!;
        Assert.Equal((RefusalReason.Tokens, 1_000L, 601L), (refusal.Reason, refusal.Limit, refusal.Requested));
        Assert.Equal(TimeSpan.FromHours(12), refusal.RetryAfter);
        Release("first", 100);
        Assert.Equal(900, _book.Tokens(caps, Now)!.Remaining);
        Assert.Null(Admit(caps, job: "second", max: 600));
    }

    [Fact]
    public void A_long_prompt_refuses_nothing_while_tokens_are_left_but_sets_them_aside()
    {
        var caps = new AccountCaps(0, 0, 1_000, 0);
        Assert.Null(Admit(caps, job: "long", prompt: 1_000_000));
        Assert.Equal(0, _book.Tokens(caps, Now)!.Remaining);
        Assert.NotNull(Admit(caps));
        Release("long", 300);
        Assert.Equal(700, _book.Tokens(caps, Now)!.Remaining);
    }

    [Fact]
    public void A_new_day_begins_from_nothing_and_what_began_the_day_before_counts_there()
    {
        var caps = new AccountCaps(0, 0, 1_000, 0);
        Assert.Null(Admit(caps, job: "over midnight", max: 900));
        Pass(TimeSpan.FromHours(12) - TimeSpan.FromMilliseconds(1));
        Keep("over midnight", max: 900);
        Assert.NotNull(Admit(caps, max: 900));
        Pass(TimeSpan.FromMilliseconds(1));
        Assert.Equal(new LimitLevel(1_000, 1_000, TimeSpan.FromDays(1)), _book.Levels(caps, Now).Tokens);
        Release("over midnight", 900);
        Assert.Equal(1_000, _book.Tokens(caps, Now)!.Remaining);
    }

    [Fact]
    public void A_wall_clock_that_is_put_back_gives_nothing_back()
    {
        var caps = new AccountCaps(1, 0, 1_000, 0);
        Assert.Null(Admit(caps, job: "a", max: 900));
        Release("a", 900);
        _jump = TimeSpan.FromDays(-3);
        Assert.Equal(RefusalReason.Requests, Admit(caps)!.Reason);
        Pass(TimeSpan.FromMinutes(1));
        Assert.Equal(RefusalReason.Tokens, Admit(caps, max: 900)!.Reason);
        _jump = TimeSpan.FromDays(3);
        Assert.Null(Admit(caps, max: 900));
    }

    [Fact]
    public void A_job_whose_silo_fell_silent_blocks_nobody_for_longer_than_its_lifetime()
    {
        var caps = new AccountCaps(0, 1, 1_000, 0);
        Assert.Null(Admit(caps, job: "lost", max: 999));
        Pass(_options.ReservationLifetime - TimeSpan.FromTicks(1));
        Assert.Equal(RefusalReason.Streams, Admit(caps)!.Reason);
        Assert.False(_book.HasLostEnds);
        Pass(TimeSpan.FromTicks(1));
        Assert.Null(Admit(caps));
        Assert.True(_book.HasLostEnds, "what it took is on record alone, which must be asked");
        _book.Load(new UsedSoFar(400, 0, 0, 0), Now);
        Assert.False(_book.HasLostEnds);
        Assert.True(_book.Tokens(caps, Now)!.Remaining <= 600);
    }

    [Fact]
    public void A_job_that_is_renewed_counts_for_as_long_as_it_runs()
    {
        var caps = new AccountCaps(0, 1, 0, 0);
        Assert.Null(Admit(caps, job: "long"));
        for (var i = 0; i < 10; i++)
        {
            Pass(_options.ReservationLifetime / 2);
            Keep("long");
            Assert.NotNull(Admit(caps));
        }
        Release("long", 1);
        Assert.Null(Admit(caps));
    }

    [Fact]
    public void What_runs_elsewhere_is_taken_on_by_a_book_that_has_not_admitted_it()
    {
        var caps = new AccountCaps(0, 1, 1_000, 0);
        Keep("from before", max: 400);
        Assert.Equal(RefusalReason.Streams, Admit(caps)!.Reason);
        Assert.Equal(600, _book.Tokens(caps, Now)!.Remaining);
        Release("from before", 100);
        Assert.Equal(900, _book.Tokens(caps, Now)!.Remaining);
    }

    [Fact]
    public void What_a_job_took_that_another_book_counted_is_counted_once_whether_the_record_has_it_already_or_not()
    {
        var caps = new AccountCaps(0, 0, 1_000, 0);
        _book.Load(new UsedSoFar(300, 0, 0, 0), Now);
        Release("on record, and read", 300);
        Release("not on disk yet", 50);
        Assert.True(_book.HasLostEnds);
        var lost = _book.LostEnds;
        Release("while it was read", 7);
        _book.Load(new UsedSoFar(300, 0, 0, 0), Now, lost, ["on record, and read"]);
        Assert.Equal(650, _book.Tokens(caps, Now)!.Remaining);
        Assert.Equal("while it was read", Assert.Single(_book.LostEnds).JobId);
        _book.Load(new UsedSoFar(357, 0, 0, 0), Now, _book.LostEnds, ["while it was read"]);
        Assert.Equal((643L, false), (_book.Tokens(caps, Now)!.Remaining, _book.HasLostEnds));
    }

    [Fact]
    public void Of_a_day_that_is_over_no_end_counts()
    {
        var caps = new AccountCaps(0, 0, 1_000, 0);
        _book.Release(new JobUsage("yesterday's", "key_1", 100, Nothing) { AskedAt = Noon.AddHours(-13) }, Now, isForeign: true);
        _book.Load(UsedSoFar.Nothing, Now, _book.LostEnds, []);
        Assert.Equal(1_000, _book.Tokens(caps, Now)!.Remaining);
    }

    [Fact]
    public void A_request_that_was_counted_elsewhere_counts_once_in_its_minute_whoever_tells_of_it()
    {
        var caps = new AccountCaps(3, 0, 0, 0);
        Pass(TimeSpan.FromMinutes(2));
        var asked = Now.Utc;
        _book.Renew(new RunningJob(Ask("b", null, null, 0), Nothing) { AskedAt = asked.AddSeconds(-10) }, Now, isForeign: true);
        _book.LoadRequest("a", asked.AddSeconds(-40), Now);
        _book.LoadRequest("b", asked.AddSeconds(-10), Now);
        _book.LoadRequest("old", asked.AddSeconds(-60), Now);
        _book.Release(new JobUsage("a", "", 5, Nothing) { AskedAt = asked.AddSeconds(-40) }, Now, isForeign: true);
        Assert.Equal(1, _book.Requests(caps, Now)!.Remaining);
        Assert.Null(Admit(caps));
        Assert.Equal(TimeSpan.FromSeconds(20), Admit(caps)!.RetryAfter);
        Pass(TimeSpan.FromSeconds(20));
        Assert.Null(Admit(caps));
        Assert.Equal(TimeSpan.FromSeconds(30), Admit(caps)!.RetryAfter);
    }

    [Fact]
    public void The_record_never_lowers_what_is_counted_already()
    {
        var caps = new AccountCaps(0, 0, 1_000, 0);
        Assert.Null(Admit(caps, job: "a"));
        Release("a", 700);
        _book.Load(new UsedSoFar(500, 0, 0, 0), Now);
        Assert.Equal(300, _book.Tokens(caps, Now)!.Remaining);
        _book.Load(new UsedSoFar(900, 0, 0, 0), Now);
        Assert.Equal(100, _book.Tokens(caps, Now)!.Remaining);
    }

    [Fact]
    public void A_keys_own_limits_count_beside_its_accounts()
    {
        var caps = new AccountCaps(10, 0, 1_000, 0);
        var limits = new KeyLimits { RequestsPerMinute = 2, TokensPerDay = 100 };
        Assert.Null(Admit(caps, "a", key: limits, max: 10));
        Assert.Equal((RefusalReason.Tokens, true), Admit(caps, key: limits, max: 95) is { } spent ? (spent.Reason, spent.OfKey) : default);
        Assert.Null(Admit(caps, "b", key: limits, max: 10));
        Assert.Equal((RefusalReason.Requests, true), Admit(caps, key: limits) is { } fast ? (fast.Reason, fast.OfKey) : default);
        Assert.Null(Admit(caps, "c", max: 10));
        var (requests, _) = _book.Tightest(Ask("x", limits, null, 0), caps, Now);
        Assert.Equal((2L, 0L), (requests!.Limit, requests.Remaining));
        Assert.Equal(10, _book.Tightest(Ask("x", null, null, 0), caps, Now).Requests!.Limit);
    }

    [Fact]
    public void Of_two_that_would_spend_the_last_credit_of_a_keys_budget_one_wins()
    {
        var caps = new AccountCaps(0, 0, 0, 0);
        var limits = new KeyLimits { BudgetMicrocredits = 1_000, BudgetPeriod = BudgetPeriod.Month };
        Assert.Null(Admit(caps, "a", key: limits));
        Assert.Null(Admit(caps, "b", key: limits));
        Assert.Null(_book.TryReserve("a", new JobSpend(600, 0), caps, Now));
        var refusal = _book.TryReserve("b", new JobSpend(600, 0), caps, Now)!;
        Assert.Equal((RefusalReason.Budget, 1_000L, 600L, 600L), (refusal.Reason, refusal.Limit, refusal.Used, refusal.Requested));
        Assert.Equal(Noon.AddDays(10).AddHours(12) - Noon, refusal.RetryAfter);
        _book.Release(new JobUsage("a", "key_1", 5, new JobSpend(100, 0)), Now);
        Assert.Null(_book.TryReserve("b", new JobSpend(600, 0), caps, Now));
        // Another try of the same job replaces what the first may cost.
        Assert.Null(_book.TryReserve("b", new JobSpend(900, 0), caps, Now));
        Assert.NotNull(_book.TryReserve("b", new JobSpend(901, 0), caps, Now));
        Pass(TimeSpan.FromDays(11));
        Assert.Null(Admit(caps, "next month", key: limits));
        Assert.Null(_book.TryReserve("next month", new JobSpend(1_000, 0), caps, Now));
    }

    [Fact]
    public void Cloud_tokens_are_counted_by_themselves()
    {
        var caps = new AccountCaps(0, 0, 0, 1_000);
        Assert.Null(Admit(caps, "a"));
        Assert.Null(_book.TryReserve("a", new JobSpend(0, 800), caps, Now));
        Assert.Null(Admit(caps, "b"));
        Assert.Equal(RefusalReason.CloudTokens, _book.TryReserve("b", new JobSpend(0, 300), caps, Now)!.Reason);
        Release("b", 5_000);
        _book.Release(new JobUsage("a", "", 100, new JobSpend(0, 100)), Now);
        Assert.Equal(900, _book.Levels(caps, Now).CloudTokens!.Remaining);
    }

    [Fact]
    public void One_job_of_a_name_runs_at_a_time()
    {
        var caps = new AccountCaps(0, 0, 0, 0);
        Assert.Null(Admit(caps, "a", claim: "once"));
        Assert.Equal(RefusalReason.Claim, Admit(caps, "b", claim: "once")!.Reason);
        Assert.Null(Admit(caps, "c", claim: "twice"));
        Release("a", 1);
        Assert.Null(Admit(caps, "b", claim: "once"));
        // The end of a job that lost its name to another takes nothing from that one.
        Release("a", 1);
        Assert.NotNull(Admit(caps, "d", claim: "once"));
    }

    [Theory]
    [InlineData(long.MaxValue)]
    [InlineData(long.MinValue)]
    [InlineData(-1)]
    public void No_number_is_too_large_or_too_small_to_be_counted(long number)
    {
        var caps = new AccountCaps(0, 0, 0, 0);
        var limits = new KeyLimits { RequestsPerMinute = 1_000, TokensPerDay = null, BudgetMicrocredits = 10 };
        for (var i = 0; i < 100; i++)
        {
            Assert.Null(_book.TryAdmit(new AdmissionRequest($"{i}", "key_1", JobKind.Chat, "m", number, number) { KeyLimits = limits }, caps, Now));
            _book.TryReserve($"{i}", new JobSpend(number, number), caps, Now);
            _book.Renew(new RunningJob(new AdmissionRequest($"r{i}", "key_1", JobKind.Chat, "m", number, number) { KeyLimits = limits }, new JobSpend(number, number)), Now);
            _book.Release(new JobUsage($"{i}", "key_1", number, new JobSpend(number, number)), Now);
            _book.Release(new JobUsage("unknown", "key_1", number, new JobSpend(number, number)), Now);
        }
        Assert.True(_book.Tokens(new AccountCaps(0, 0, TierOptions.LimitMax, 0), Now)!.Remaining >= 0);
    }

    [Fact]
    public void Keys_that_are_idle_make_room_for_others()
    {
        var book = new LimitBook(new LimitOptions { KeysMax = 2 });
        for (var i = 0; i < 10; i++) book.LoadKey($"{i}", UsedSoFar.Nothing, [], Now);
        Assert.True(book.Knows("9"));
        Assert.False(book.Knows("0"));
    }

    private AdmissionRefusal? Admit(AccountCaps caps, string? job = null, KeyLimits? key = null, long? max = null, long prompt = 0, string? claim = null)
        => _book.TryAdmit(Ask(job ?? $"job {++_jobs}", key, max, prompt) with { Claim = claim }, caps, Now);

    private static AdmissionRequest Ask(string job, KeyLimits? key, long? max, long prompt) => new(job, "key_1", JobKind.Chat, "llama", prompt, max) { KeyLimits = key };

    private void Release(string job, long tokens) => _book.Release(new JobUsage(job, "key_1", tokens, Nothing), Now);

    private void Keep(string job, long? max = null) => _book.Renew(new RunningJob(Ask(job, null, max, 0), Nothing), Now);

    private void Pass(TimeSpan time) => _elapsed += time;
}
