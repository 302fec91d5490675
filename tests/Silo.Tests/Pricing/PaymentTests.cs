using Federation.Contracts.Jobs;
using Federation.Protocol.OpenAi;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Gateway;
using Federation.Silo.Pricing;
using Federation.Silo.Storage;
using Federation.Silo.Tests.Fakes;
using Federation.Silo.Verification.Accrual;
using FsCheck;
using FsCheck.Fluent;
using Microsoft.Extensions.Logging;
using static Microsoft.Extensions.Options.Options;

namespace Federation.Silo.Tests.Pricing;

public sealed class PaymentTests
{
    private const string Ann = "acct_ann";

    private static readonly Price Ten = Price.FromCredits(10, 10);
    private static readonly LedgerAccountId Cloud = LedgerAccountId.Provider("openai");
    private static readonly LedgerAccountId Other = LedgerAccountId.Provider("mistral");

    private readonly TestClock _clock = new();
    private readonly BookLedger _books;
    private readonly FaultyLedger _ledger;
    private readonly KeptLog<Payments> _log = new();
    private readonly Payments _payments;

    public PaymentTests()
    {
        _books = new BookLedger(_clock);
        _ledger = new FaultyLedger(_books);
        _payments = new Payments(_ledger, Create(new PricingOptions()), Create(new GatewayOptions()), Create(new AccrualOptions()), _clock, _log);
    }

    private long Available => Of(LedgerAccountId.Available(Ann)).Available.Value;

    private long Held => Of(LedgerAccountId.Available(Ann)).DebitsPending.Value;

    // --------------------------------------------------------------------------------------------------- hold, settle

    [Fact]
    public async Task The_most_is_held_what_was_used_is_paid_and_the_rest_is_free()
    {
        await GiveAsync(1_000_000);
        var payment = Begin(promptTokens: 10, limit: 90);
        Assert.Null(await payment.HoldAsync(Ten, Cloud, default));
        Assert.Equal((0, 1_000_000), (Available, Held));
        Assert.Null(payment.ImposedLimit);

        var charge = payment.ChargeFor(10, 20);
        Assert.True(await _payments.SettleAsync(Outcome(charge)));
        Assert.Equal((700_000, 0), (Available, Held));
        Assert.Equal(300_000, Of(Cloud).Balance.Value);
        Assert.Equal((300_000, "completed"), _books.Jobs["job_1"]);
    }

    [Fact]
    public async Task The_same_settlement_again_pays_nothing_again_and_another_attempts_is_refused()
    {
        await GiveAsync(2_000_000);
        var payment = Begin(10, 90);
        await payment.HoldAsync(Ten, Cloud, default);
        var outcome = Outcome(payment.ChargeFor(10, 20));
        Assert.True(await _payments.SettleAsync(outcome));
        Assert.True(await _payments.SettleAsync(outcome));
        Assert.False(await _payments.SettleAsync(outcome with { Attempt = 2, Price = 400_000 }));
        Assert.Equal(1_700_000, Available);
    }

    [Fact]
    public async Task A_hold_that_is_divided_pays_for_each_part_and_never_for_more_than_was_held()
    {
        await GiveAsync(1_500_000);
        var payment = Begin(promptTokens: 10, limit: 90);
        Assert.Null(await payment.HoldAsync(Ten, Cloud, default));

        var (first, mayGoOn) = await payment.DivideAsync(0, 20);
        Assert.Equal((200_000L, true), (first!.Value.Amount.Value, mayGoOn));
        // Nobody else could have had it in between.
        Assert.Equal((500_000, 1_000_000), (Available, Held));
        Assert.Equal((800_000, 70L), (payment.HeldMicrocredits, payment.HeldLimit!.Value));
        var (second, _) = await payment.DivideAsync(0, 30);
        var third = payment.ChargeFor(1_000, 1_000);
        Assert.Equal((300_000, 500_000), (second!.Value.Amount.Value, third.Amount.Value));

        foreach (var (charge, number) in ((Charge[])[first.Value, second.Value, third]).Select((charge, index) => (charge, index + 1)))
            Assert.True(await _payments.SettleAsync(Outcome(charge) with { JobId = $"job_1~{number}" }));
        Assert.Equal((500_000, 0), (Available, Held));
        Assert.Equal(1_000_000, Of(Cloud).Balance.Value);
    }

    [Fact]
    public async Task A_hold_of_which_nothing_is_left_is_not_divided_nor_one_of_which_nothing_is_taken()
    {
        await GiveAsync(1_000_000);
        var payment = Begin(10, 90);
        await payment.HoldAsync(Price.FromCredits(0, 10), Cloud, default);
        Assert.Equal((Charge.None, true), await payment.DivideAsync(9, 0));
        Assert.Equal((null, false), await payment.DivideAsync(0, 90));
        Assert.Equal(900_000, payment.ChargeFor(0, 90).Amount.Value);
        Assert.Equal((Charge.None, true), await Begin(10, 90, null, "job_2").DivideAsync(5, 5));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Where_nobody_knows_whether_a_hold_is_divided_the_client_pays_nothing_and_all_is_free_in_the_end(bool isDivided)
    {
        await GiveAsync(1_000_000);
        var payment = Begin(10, 90);
        await payment.HoldAsync(Ten, Cloud, default);
        _ledger.Faults = _ => isDivided ? Fault.After : Fault.Before;
        Assert.Equal((Charge.None, false), await payment.DivideAsync(0, 20));
        Assert.True(payment.ChargeFor(0, 20).Amount.IsZero);
        _ledger.Faults = _ => Fault.None;
        await AllHoldsEndAsync();
        Assert.Equal((1_000_000, 0), (Available, Held));
    }

    [Fact]
    public async Task What_delivered_nothing_costs_nothing()
    {
        await GiveAsync(1_000_000);
        var payment = Begin(10, 90);
        await payment.HoldAsync(Ten, Cloud, default);
        await payment.ReleaseAsync();
        await payment.ReleaseAsync();
        Assert.Equal((1_000_000, 0), (Available, Held));
        Assert.Equal(Charge.None, payment.ChargeFor(10, 20));
    }

    [Fact]
    public async Task An_answer_that_costs_nothing_frees_the_hold_with_its_record()
    {
        await GiveAsync(1_000_000);
        var payment = Begin(10, 90);
        await payment.HoldAsync(Ten, Cloud, default);
        Assert.True(await _payments.SettleAsync(Outcome(payment.ChargeFor(0, 0))));
        Assert.Equal((1_000_000, 0), (Available, Held));
        Assert.Equal(0, _books.Jobs["job_1"].Price);
    }

    [Fact]
    public async Task Another_route_is_held_for_in_the_commit_that_frees_the_one_before()
    {
        await GiveAsync(1_000_000);
        var payment = Begin(10, 90);
        await payment.HoldAsync(Ten, Cloud, default);
        var before = _ledger.Commits;
        Assert.Null(await payment.HoldAsync(Price.FromCredits(5, 5), Other, default));
        // Two: the first job that a provider is paid for opens its account.
        Assert.Equal(before + 2, _ledger.Commits);
        Assert.Equal((500_000, 500_000), (Available, Held));
        await _payments.SettleAsync(Outcome(payment.ChargeFor(10, 90)));
        Assert.Equal((0, 500_000), (Of(Cloud).Balance.Value, Of(Other).Balance.Value));
    }

    [Fact]
    public async Task Another_route_is_held_for_even_when_the_hold_before_has_expired()
    {
        await GiveAsync(1_000_000);
        var payment = Begin(10, 90);
        await payment.HoldAsync(Ten, Cloud, default);
        _clock.Advance(TimeSpan.FromDays(1));
        await _books.ExpireHoldsAsync(10);
        Assert.Null(await payment.HoldAsync(Ten, Other, default));
        Assert.Equal((0, 1_000_000), (Available, Held));
    }

    // ------------------------------------------------------------------------------------------------------- refusals

    [Fact]
    public async Task Who_cannot_pay_the_most_is_told_in_OpenAIs_words()
    {
        await GiveAsync(999_999);
        var error = await Begin(10, 90).HoldAsync(Ten, Cloud, default);
        Assert.Equal((429, "insufficient_quota", "insufficient_quota"), (error!.Status, error.Type, error.Code));
        Assert.StartsWith("You exceeded your current quota, please check your plan and billing details.", error.Message, StringComparison.Ordinal);
        Assert.Equal((999_999, 0), (Available, Held));
    }

    [Fact]
    public async Task Who_never_had_credits_is_told_the_same()
        => Assert.Equal("insufficient_quota", (await Begin(10, null).HoldAsync(Ten, Cloud, default))!.Code);

    [Fact]
    public async Task Without_a_limit_the_credits_are_one()
    {
        await GiveAsync(1_000_000);
        var payment = Begin(10, null);
        Assert.Null(await payment.HoldAsync(Ten, Cloud, default));
        Assert.Equal(90, payment.ImposedLimit);
        Assert.Equal((0, 1_000_000), (Available, Held));
        // Whatever a provider says it made, no more than was held is paid.
        Assert.Equal(1_000_000, payment.ChargeFor(long.MaxValue, long.MaxValue).Amount.Value);
        Assert.Equal(0, payment.ChargeFor(long.MinValue, -1).Amount.Value);
    }

    [Fact]
    public async Task Credits_that_last_for_a_few_tokens_only_are_too_few()
    {
        await GiveAsync(100_000 + (15 * 10_000));
        Assert.Equal("insufficient_quota", (await Begin(10, null).HoldAsync(Ten, Cloud, default))!.Code);
        await GiveAsync(10_000);
        Assert.Null(await Begin(10, null).HoldAsync(Ten, Cloud, default));
    }

    [Fact]
    public async Task A_cap_refuses_what_may_cost_more_and_limits_what_has_no_limit()
    {
        await GiveAsync(10_000_000);
        var cap = new PaymentTerms(new Microcredits(999_999), Price.Whole);
        var error = await Begin(10, 90, cap).HoldAsync(Ten, Cloud, default);
        Assert.Equal((400, "max_credits_exceeded"), (error!.Status, error.Code));
        Assert.Contains("up to 1 credits", error.Message, StringComparison.Ordinal);

        var unlimited = Begin(10, null, cap);
        Assert.Null(await unlimited.HoldAsync(Ten, Cloud, default));
        Assert.Equal(89, unlimited.ImposedLimit);
        Assert.Equal(990_000, Held);

        Assert.NotNull(await Begin(10, null, new PaymentTerms(Microcredits.Zero, Price.Whole), "job_2").HoldAsync(Ten, Cloud, default));
        Assert.Null(await Begin(10, null, new PaymentTerms(Microcredits.Zero, Price.Whole), "job_3").HoldAsync(Price.Free, Cloud, default));
    }

    [Theory]
    [InlineData("-1")]
    [InlineData("1e9")]
    [InlineData("NaN")]
    [InlineData("0x10")]
    [InlineData(" 1")]
    [InlineData("1,5")]
    [InlineData("9223372036855")]
    [InlineData("99999999999999999999999999999999")]
    public void A_cap_that_is_no_number_of_credits_is_refused(string header)
        => Assert.Equal((400, PaymentTerms.MaxCreditsHeader), (PaymentTerms.TryReadMaxCost(header, out _)!.Status, PaymentTerms.TryReadMaxCost(header, out _)!.Param));

    [Theory]
    [InlineData("", null)]
    [InlineData("0", 0L)]
    [InlineData("0.25", 250_000L)]
    [InlineData("0.0000019", 1L)]
    [InlineData("9223372036854", 9_223_372_036_854_000_000L)]
    public void A_cap_is_in_credits(string header, long? expected)
    {
        Assert.Null(PaymentTerms.TryReadMaxCost(header, out var cap));
        Assert.Equal(expected, cap?.Value);
    }

    [Fact]
    public async Task A_batch_costs_half()
    {
        await GiveAsync(500_000);
        var payment = Begin(10, 90, new PaymentTerms(null, new PricingOptions().BatchMillionths));
        Assert.Null(await payment.HoldAsync(Ten, Cloud, default));
        Assert.Equal((0, 500_000), (Available, Held));
    }

    // ----------------------------------------------------------------------------------------------------- concurrency

    [Fact]
    public async Task Of_many_who_spend_the_last_credit_at_once_exactly_one_wins()
    {
        await GiveAsync(1_000_000);
        var errors = await Task.WhenAll(Enumerable.Range(0, 16).Select(i => Task.Run(() => Begin(10, 90, null, $"job_{i}").HoldAsync(Ten, Cloud, default))));
        Assert.Single(errors, error => error is null);
        Assert.All(errors.Where(error => error is not null), error => Assert.Equal("insufficient_quota", error!.Code));
    }

    // --------------------------------------------------------------------------------------------------------- failure

    [Fact]
    public async Task While_the_database_is_away_paid_work_is_refused()
    {
        await GiveAsync(1_000_000);
        _ledger.Faults = _ => Fault.Before;
        var error = await Begin(10, 90).HoldAsync(Ten, Cloud, default);
        Assert.Equal((503, 5), (error!.Status, error.RetryAfterSeconds));
        Assert.Equal((1_000_000, 0), (Available, Held));
    }

    [Fact]
    public async Task A_hold_whose_answer_was_lost_ends_by_itself()
    {
        await GiveAsync(1_000_000);
        _ledger.Faults = _ => Fault.After;
        Assert.Equal(503, (await Begin(10, 90).HoldAsync(Ten, Cloud, default))!.Status);
        await AllHoldsEndAsync();
        Assert.Equal((1_000_000, 0), (Available, Held));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_job_that_a_killed_hub_had_begun_holds_again_or_goes_on_with_what_is_held(bool isExpired)
    {
        await GiveAsync(1_000_000);
        Assert.Null(await Begin(10, 90).HoldAsync(Ten, Cloud, default));
        if (isExpired) await AllHoldsEndAsync();
        // Another hub, which knows nothing of the first.
        var again = Begin(10, 90);
        Assert.Null(await again.HoldAsync(Ten, Cloud, default));
        Assert.Equal((0, 1_000_000), (Available, Held));
        Assert.True(await _payments.SettleAsync(Outcome(again.ChargeFor(10, 20))));
        Assert.Equal((700_000, 0), (Available, Held));
    }

    [Fact]
    public async Task A_job_that_is_asked_again_on_other_terms_holds_for_those()
    {
        await GiveAsync(2_000_000);
        Assert.Null(await Begin(10, 90).HoldAsync(Ten, Cloud, default));
        var again = Begin(10, 40);
        Assert.Null(await again.HoldAsync(Ten, Other, default));
        Assert.Equal(1_500_000, Held);
        await _payments.SettleAsync(Outcome(again.ChargeFor(10, 20)));
        await AllHoldsEndAsync();
        Assert.Equal((1_700_000, 0), (Available, Held));
    }

    [Fact]
    public async Task A_settlement_after_the_hold_has_expired_is_paid_from_what_is_there()
    {
        await GiveAsync(1_000_000);
        var payment = Begin(10, 90);
        await payment.HoldAsync(Ten, Cloud, default);
        var outcome = Outcome(payment.ChargeFor(10, 20));
        await AllHoldsEndAsync();
        Assert.True(await _payments.SettleAsync(outcome));
        Assert.True(await _payments.SettleAsync(outcome));
        Assert.Equal((700_000, 300_000), (Available, Of(Cloud).Balance.Value));
        Assert.Equal(300_000, _books.Jobs["job_1"].Price);
    }

    [Fact]
    public async Task A_settlement_after_the_credits_were_spent_elsewhere_is_recorded_as_unpaid_and_told()
    {
        await GiveAsync(1_000_000);
        var payment = Begin(10, 90);
        await payment.HoldAsync(Ten, Cloud, default);
        var outcome = Outcome(payment.ChargeFor(10, 20));
        await AllHoldsEndAsync();
        Assert.Null(await Begin(10, 90, null, "job_2").HoldAsync(Ten, Other, default));

        Assert.True(await _payments.SettleAsync(outcome));
        Assert.Equal((0, "completed"), _books.Jobs["job_1"]);
        Assert.Contains(_log.Lines, line => line.Level is LogLevel.Error && line.Words.Contains("job_1", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Work_of_a_node_pays_the_hub_its_share()
    {
        await GiveAsync(1_000_000);
        var payment = Begin(10, 90);
        await payment.HoldAsync(Ten, LedgerAccountId.Treasury, default);
        await _payments.SettleAsync(Outcome(payment.ChargeFor(10, 90)) with { NodeId = "nd_a", Provider = "" });
        var fee = Payout.Fee(new Microcredits(1_000_000), new AccrualOptions());
        Assert.Equal(fee, Of(LedgerAccountId.Fees).Balance);
        Assert.Equal(-fee.Value, Of(LedgerAccountId.Treasury).Balance.Value);
    }

    // FsCheck prints the seed of a failure; give it to WithReplay to see the same lives again.
    [Fact]
    public void Whatever_jobs_do_and_wherever_they_are_cut_off_the_books_add_up_and_every_hold_ends() => Check.One(
        Config.QuickThrowOnFailure.WithMaxTest(Environment.GetEnvironmentVariable("FEDERATION_TESTS_FULL") == "1" ? 20_000 : 1_000),
        Prop.ForAll(
            Arb.From(
                from credits in Gen.Choose(0, 4_000_000)
                from steps in Gen.Choose(0, int.MaxValue).NonEmptyListOf()
                select (credits, steps: steps.ToArray())),
            life => LiveAsync(life.credits, life.steps).GetAwaiter().GetResult()));

    /// <summary>Some jobs at once, each step one of them, in any order; every commit may fail before or after it.</summary>
    private static async Task LiveAsync(int credits, int[] steps)
    {
        var scene = new PaymentTests();
        if (credits > 0) await scene.GiveAsync(credits);
        var jobs = new Payment?[4];
        var lost = new List<JobOutcome>();
        var number = 0;
        foreach (var step in steps)
        {
            var random = new Random(step);
            scene._ledger.Faults = _ => random.Next(8) switch { 0 => Fault.Before, 1 => Fault.After, _ => Fault.None };
            var slot = random.Next(jobs.Length);
            var receiver = random.Next(2) == 0 ? Cloud : Other;
            switch (random.Next(8))
            {
                case 7 when jobs[slot] is { } broken:
                    var (prompt, completion) = (random.Next(60), random.Next(60));
                    var (part, mayGoOn) = await broken.DivideAsync(prompt, completion);
                    var share = Outcome(part ?? broken.ChargeFor(prompt, completion)) with { JobId = $"{broken.JobId}~{number++}" };
                    if (part is null) broken.HandOver();
                    if (share.HoldId.Length > 0 && !await TrySettleAsync(scene, share)) lost.Add(share);
                    if (part is null || !mayGoOn) jobs[slot] = null;
                    break;
                case 0 or 1 when jobs[slot] is null:
                    jobs[slot] = scene.Begin(random.Next(100), random.Next(2) == 0 ? null : random.Next(1, 200), null, $"job_{slot}_{number++}");
                    if (await jobs[slot]!.HoldAsync(Ten, receiver, default) is not null) jobs[slot] = null;
                    break;
                case 2 when jobs[slot] is { } failing:
                    if (await failing.HoldAsync(Price.FromCredits(random.Next(1, 20), 3), receiver, default) is not null) await failing.ReleaseAsync();
                    break;
                case 3 or 4 when jobs[slot] is { } ending:
                    var outcome = Outcome(ending.ChargeFor(random.Next(300), random.Next(300))) with { JobId = ending.JobId };
                    ending.HandOver();
                    if (!await TrySettleAsync(scene, outcome)) lost.Add(outcome);
                    jobs[slot] = null;
                    break;
                case 5:
                    // The hub is killed: nobody knows of the job any more.
                    jobs[slot] = null;
                    break;
                default:
                    scene._clock.Advance(TimeSpan.FromMinutes(random.Next(40)));
                    await scene._books.ExpireHoldsAsync(100);
                    foreach (var late in lost.ToList())
                    {
                        if (await TrySettleAsync(scene, late)) lost.Remove(late);
                    }
                    break;
            }
            AddsUp(scene._books.State);
        }
        scene._ledger.Faults = _ => Fault.None;
        foreach (var late in lost) Assert.True(await TrySettleAsync(scene, late));
        await scene.AllHoldsEndAsync();
        AddsUp(scene._books.State);
        // What the records say was paid is what was paid.
        var paid = scene._books.State.Accounts.Values.Where(account => account.Id == Cloud || account.Id == Other).Sum(account => account.Balance.Value);
        Assert.Equal(scene._books.Jobs.Values.Sum(job => job.Price), paid);
    }

    private static async Task<bool> TrySettleAsync(PaymentTests scene, JobOutcome outcome)
    {
        try
        {
            await scene._payments.SettleAsync(outcome);
            return true;
        }
        catch (StorageException exception) when (exception.IsTransient)
        {
            return false;
        }
    }

    private static void AddsUp(LedgerState state)
    {
        Assert.Equal(0, state.Accounts.Values.Sum(account => account.Balance.Value));
        Assert.All(state.Accounts.Values, account => Assert.True(account.Id.MayOverdraw || account.Available >= Microcredits.Zero));
        Assert.Equal(state.Holds.Values.Where(hold => hold.State is HoldState.Pending).Sum(hold => hold.Amount.Value), state.Accounts.Values.Sum(account => account.DebitsPending.Value));
    }

    private async Task AllHoldsEndAsync()
    {
        _clock.Advance(TimeSpan.FromDays(1));
        await _books.ExpireHoldsAsync(10_000);
        Assert.DoesNotContain(_books.State.Holds.Values, hold => hold.State is HoldState.Pending);
    }

    private LedgerAccount Of(LedgerAccountId account) => _books.State.Accounts[account];

    private async Task GiveAsync(long microcredits) => await _books.SubmitAsync(new LedgerUnit
    {
        Open = [LedgerAccountId.Available(Ann)],
        Transfers = [Transfer.Post(TransferId.Of($"give-{Guid.NewGuid():N}"), LedgerAccountId.Treasury, LedgerAccountId.Available(Ann), new Microcredits(microcredits), TransferReason.Grant)],
    });

    private Payment Begin(long promptTokens, long? limit, PaymentTerms? terms = null, string jobId = "job_1")
        => _payments.Begin(jobId, Ann, RequestTokens.Exactly(promptTokens, limit), terms ?? PaymentTerms.Usual);

    private static JobOutcome Outcome(Charge charge)
        => new("job_1", 1, Ann, "key_1", JobKind.Chat, "gpt-4o", "", 0, "", JobStatus.Succeeded, "stop", 10, 20, [], [], 0, 0, 0, 0, "") { Price = charge.Amount.Value, HoldId = charge.HoldId, Provider = "openai" };
}
