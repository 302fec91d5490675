using System.Security.Cryptography;
using Dapper;
using Federation.Contracts.Accounts;
using Federation.Contracts.Jobs;
using Federation.Contracts.Nodes;
using Federation.Protocol.OpenAi;
using Federation.Protocol.V1;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Storage;
using Federation.Silo.Tests.Fakes;
using Federation.Silo.Tests.Storage;
using Federation.Silo.Tests.Verification;
using Federation.Silo.Verification;
using Federation.Silo.Verification.Benchmarks;
using Federation.Silo.Verification.CommonSlots;
using Federation.Silo.Verification.Standings;

namespace Federation.Silo.Tests.StandinOnly;

/// <summary>From a signed receipt to a credit that can be spent, or to none: grains, database and books as in the hub.</summary>
public abstract class NodeVerificationTests(TestDatabase database)
{
    private const string Weights = "sha256:abcd";

    private static readonly HardwareClasses Classes = new(Microsoft.Extensions.Options.Options.Create(new HardwareClassOptions()));

    private static int _lives;

    // The tests share a database, whose epochs close once: each test lives after the others.
    private readonly OffsetClock _clock = OffsetClock.Ahead(TimeSpan.FromDays(730) * Interlocked.Increment(ref _lives));

    // ------------------------------------------------------------------------------------------------------- maturing

    [Fact]
    public async Task An_earning_matures_after_ten_audits_its_time_and_its_epoch_and_not_before()
    {
        await using var hub = await StartAsync();
        var node = await hub.EnrolAsync();
        var amount = await WorkAsync(hub, node, "first");
        Assert.Equal((amount, 0), (await hub.PendingOfAsync(node.AccountId), await hub.AvailableOfAsync(node.AccountId)));

        for (var audit = 0; audit < 9; audit++) await AuditAsync(node, AuditOutcome.Passed);
        await CloseEpochsAsync(hub);
        _clock.Advance(TimeSpan.FromDays(8));
        // Its time and its root are there; the first week's audits are not all.
        await SettleDrawnAsync(hub, node);
        Assert.Equal(0, await node.Grain.SettleEarnings());
        Assert.Contains("9 of 10 later audits have passed", await WhyAsync(hub, node), StringComparison.Ordinal);

        await AuditAsync(node, AuditOutcome.Passed);
        Assert.Equal((0, amount), (await hub.PendingOfAsync(node.AccountId), await hub.AvailableOfAsync(node.AccountId)));
        Assert.Equal(0, await node.Grain.SettleEarnings());
        await AssertBooksAsync(hub, node);
    }

    [Fact]
    public async Task Time_alone_and_audits_alone_mature_nothing()
    {
        await using var hub = await StartAsync();
        var node = await hub.EnrolAsync();
        await WorkAsync(hub, node, "held");
        for (var audit = 0; audit < 20; audit++) await AuditAsync(node, AuditOutcome.Passed);
        Assert.Equal(0, await node.Grain.SettleEarnings());
        Assert.Equal("held because 0 h of 168 h have gone by and its epoch is not closed yet", await WhyAsync(hub, node));
        _clock.Advance(TimeSpan.FromDays(8));
        Assert.Equal(0, await node.Grain.SettleEarnings());
        Assert.Equal("held because its epoch is not closed yet", await WhyAsync(hub, node));
    }

    [Fact]
    public async Task Audits_of_another_class_or_before_the_work_do_not_count()
    {
        await using var hub = await StartAsync();
        var node = await hub.EnrolAsync();
        for (var audit = 0; audit < 10; audit++) await AuditAsync(node, AuditOutcome.Passed);
        await WorkAsync(hub, node, "later");
        for (var audit = 0; audit < 10; audit++) await AuditAsync(node, AuditOutcome.Passed, determinismClass: "another");
        for (var audit = 0; audit < 10; audit++) await AuditAsync(node, AuditOutcome.Inconclusive);
        await CloseEpochsAsync(hub);
        _clock.Advance(TimeSpan.FromDays(8));
        await SettleDrawnAsync(hub, node);
        Assert.Equal("held because 0 of 10 later audits have passed", await WhyAsync(hub, node));
    }

    [Fact]
    public async Task What_kept_everybody_from_auditing_takes_passed_audits_away()
    {
        await using var hub = await StartAsync();
        var node = await hub.EnrolAsync();
        for (var audit = 0; audit < 3; audit++) await AuditAsync(node, AuditOutcome.Passed);
        await WorkAsync(hub, node, "evaded");
        for (var audit = 0; audit < 9; audit++) await AuditAsync(node, AuditOutcome.Passed);
        var ruling = await AuditAsync(node, AuditOutcome.Evaded);
        Assert.Equal("The answer kept everybody from checking it. Nothing is taken, but passed audits count fewer: what the node earned matures later, or never if such answers are many.", ruling.Decision);
        await CloseEpochsAsync(hub);
        _clock.Advance(TimeSpan.FromDays(8));
        await SettleDrawnAsync(hub, node);
        Assert.Equal("held because 5 of 10 later audits have passed", await WhyAsync(hub, node));
        // A fifth of such answers, and nothing ever matures.
        for (var round = 0; round < 10; round++)
        {
            for (var audit = 0; audit < 4; audit++) await AuditAsync(node, AuditOutcome.Passed);
            await AuditAsync(node, AuditOutcome.Evaded);
        }
        Assert.Equal("held because 5 of 10 later audits have passed", await WhyAsync(hub, node));
        for (var audit = 0; audit < 5; audit++) await AuditAsync(node, AuditOutcome.Passed);
        Assert.True(await hub.AvailableOfAsync(node.AccountId) > 0);
    }

    [Fact]
    public async Task A_receipt_that_is_drawn_waits_for_its_own_verdict()
    {
        await using var hub = await StartAsync();
        var node = await hub.EnrolAsync();
        var amount = await WorkAsync(hub, node, "drawn");
        for (var audit = 0; audit < 10; audit++) await AuditAsync(node, AuditOutcome.Passed);
        await CloseEpochsAsync(hub);
        _clock.Advance(TimeSpan.FromDays(8));
        // A new node is audited always.
        Assert.Equal("held because it was drawn for an audit that has no verdict yet", await WhyAsync(hub, node));
        Assert.Equal(0, await node.Grain.SettleEarnings());

        var receipt = Assert.Single(await hub.Earnings.ListPendingAsync(node.Id, 10, default)).ReceiptId!;
        await AuditAsync(node, AuditOutcome.Doubted, receipt);
        Assert.Equal("held because a verifier doubts it and the arbiters have not answered", await WhyAsync(hub, node));
        await AuditAsync(node, AuditOutcome.Unconfirmed, receipt);
        Assert.Equal(amount, await hub.AvailableOfAsync(node.AccountId));
    }

    [Fact]
    public async Task Nobody_is_paid_for_the_same_job_by_its_own_node_or_by_the_free_tier()
    {
        await using var hub = await StartAsync();
        var node = await hub.EnrolAsync();
        var free = await hub.Accounts.CreateAsync("free", Tier.Free, default);
        var paying = await hub.Accounts.CreateAsync("paying", Tier.Pro, default);
        Assert.Equal(0, await WorkAsync(hub, node, "own", client: node.AccountId));
        Assert.Equal(0, await WorkAsync(hub, node, "gratis", client: free.Id));
        Assert.True(await WorkAsync(hub, node, "paid", client: paying.Id) > 0);
        var why = (await hub.Earnings.ListPendingAsync(node.Id, 10, default)).ToDictionary(earning => earning.Reference, earning => earning.Unpaid);
        Assert.Equal("the node's owner asked for it: nobody pays themselves", why["own"]);
        Assert.Equal("asked for by an account of the free tier, whose work mints nothing", why["gratis"]);
        Assert.Null(why["paid"]);
    }

    [Fact]
    public async Task Tokens_beyond_what_others_have_of_as_many_bytes_are_not_paid_and_why_is_told()
    {
        await using var hub = await StartAsync();
        for (var other = 0; other < 3; other++)
        {
            var node = await hub.EnrolAsync();
            await node.Grain.SetStanding(Standing.Trusted);
            await ClaimAsync(node, $"yield_{other}", tokens: 2_000, bytes: 8_000);
        }
        var (honest, greedy) = (await hub.EnrolAsync(), await hub.EnrolAsync());
        var most = await ClaimAsync(honest, "yield_honest", tokens: 432, bytes: 800);
        Assert.InRange(await ClaimAsync(greedy, "yield_greedy", tokens: 800, bytes: 800), most - 1, most + 1);
        Assert.Null(Assert.Single(await hub.Earnings.ListPendingAsync(honest.Id, 10, default)).Unpaid);
        Assert.Equal(
            "800 tokens of prompt and 800 of answer were claimed; 432 and 432 are paid, 2 times what other accounts' nodes have of as many bytes",
            Assert.Single(await hub.Earnings.ListPendingAsync(greedy.Id, 10, default)).Unpaid);

        async Task<long> ClaimAsync(TestNode node, string job, long tokens, long bytes)
        {
            var outcome = new JobOutcome(
                job, 1, "acct_client", "key_1", JobKind.Chat, "llama3:8b", Weights, 5L << 30, node.Id, JobStatus.Succeeded, "stop", tokens, tokens,
                [.. SHA256.HashData("request"u8)], [.. SHA256.HashData("output"u8)], 1_760_400_000_000, 1_760_400_000_100, 1_760_400_000_400, 1_760_400_004_400, Weights);
            await node.Grain.Book(outcome with { RequestBytes = bytes, TextBytes = bytes });
            return (await SignAsync(node, await hub.Database.ReadAsync(connection => connection.QuerySingleAsync<byte[]>("SELECT payload FROM receipts WHERE job_id = @job", new { job }), default))).CreditedMicrocredits;
        }
    }

    [Fact]
    public async Task An_hour_pays_no_more_than_its_cap_over_a_restart_too()
    {
        TestNode node;
        var paid = 0L;
        await using (var hub = await StartAsync())
        {
            node = await hub.EnrolAsync();
            for (var job = 0; job < 8; job++) paid += await WorkAsync(hub, node, $"cap_{job}");
        }
        await using var later = await StartAsync();
        var again = later.Of(node);
        for (var job = 8; job < 16; job++) paid += await WorkAsync(later, again, $"cap_{job}");
        var rate = ConfiguredPay("cpu");
        var most = rate.CreditsFor(Classes, 1_000, 2_000, rate.Times.WorkMicroseconds(1_000, 2_000), (long)(1.35 * 3_600_000_000), 1).Value;
        Assert.InRange(paid, most - 16, most);
        var last = Assert.Single(await later.Earnings.ListPendingAsync(node.Id, 100, default), earning => earning.Reference == "cap_15");
        Assert.Equal((0, "beyond 1.35 hours of reference work in one hour"), (last.Earning.Amount.Value, last.Unpaid));
    }

    [Fact]
    public async Task Work_beyond_the_nodes_slots_at_one_moment_is_not_paid()
    {
        await using var hub = await StartAsync();
        var node = await hub.EnrolAsync();
        // The scripted node has two.
        await node.ConnectAsync();
        Assert.True(await WorkAsync(hub, node, "slot_1", tokens: 10) > 0);
        Assert.True(await WorkAsync(hub, node, "slot_2", tokens: 10) > 0);
        Assert.Equal(0, await WorkAsync(hub, node, "slot_3", tokens: 10));
    }

    // ----------------------------------------------------------------------------------------------------- forfeiting

    [Fact]
    public async Task A_confirmed_mismatch_forfeits_what_has_not_matured_and_nothing_else()
    {
        await using var hub = await StartAsync(shadow: false);
        var node = await hub.EnrolAsync();
        var matured = await MatureOneAsync(hub, node, "matured");
        for (var job = 0; job < 5; job++) await WorkAsync(hub, node, $"immature_{job}", tokens: 100);
        // Offered and not signed yet: forfeited as soon as it is credited.
        var unsigned = await BookAsync(hub, node, "unsigned", 100);

        var ruling = await AuditAsync(node, AuditOutcome.Mismatch);

        Assert.Equal((Standing.Quarantined, false), (ruling.Standing, ruling.Shadow));
        Assert.Equal((0, matured), (await hub.PendingOfAsync(node.AccountId), await hub.AvailableOfAsync(node.AccountId)));
        await SignAsync(node, unsigned);
        Assert.Equal(1, await node.Grain.SettleEarnings());
        Assert.Equal((0, matured), (await hub.PendingOfAsync(node.AccountId), await hub.AvailableOfAsync(node.AccountId)));
        Assert.Equal(Standing.Quarantined, (await node.Grain.GetIdentity())!.Standing);
        await AssertBooksAsync(hub, node);
    }

    [Fact]
    public async Task A_hundred_earnings_are_forfeited_in_few_commits()
    {
        await using var hub = await StartAsync(shadow: false);
        var node = await hub.EnrolAsync();
        for (var job = 0; job < 100; job++) await WorkAsync(hub, node, $"many_{job}", tokens: 1);
        var before = hub.Ledger.Commits;
        await AuditAsync(node, AuditOutcome.Mismatch);
        Assert.InRange(hub.Ledger.Commits - before, 2, 8);
        Assert.Equal(0, await hub.PendingOfAsync(node.AccountId));
        await AssertBooksAsync(hub, node);
    }

    [Fact]
    public async Task In_shadow_mode_a_mismatch_is_on_record_and_takes_nothing()
    {
        await using var hub = await StartAsync();
        var node = await hub.EnrolAsync();
        var amount = await WorkAsync(hub, node, "shadow");
        var ruling = await AuditAsync(node, AuditOutcome.Mismatch);
        Assert.Equal((Standing.Probation, true), (ruling.Standing, ruling.Shadow));
        Assert.Equal(amount, await hub.PendingOfAsync(node.AccountId));
        var happened = Assert.Single(await hub.Verification.ListEventsAsync(node.Id, long.MaxValue, 10, default));
        Assert.Equal((Evidence.AuditMismatch, true, Consequences.Forfeit | Consequences.AuditEverything), (happened.Evidence, happened.Shadow, happened.Consequences));
        Assert.Equal("""{"answer":42}""", happened.Details);
    }

    [Fact]
    public async Task Fraud_bans_the_key_hangs_up_and_forfeits_even_in_shadow_mode()
    {
        await using var hub = await StartAsync();
        var node = await hub.EnrolAsync();
        var line = await node.ConnectAsync();
        await WorkAsync(hub, node, "fraud");
        var ruling = await node.Grain.RecordChallenge(new ChallengeReport("mm_1", "MM", ChallengeOutcome.Fraud, "", "A leaf does not belong to the root.", "{}"));
        Assert.Equal(Standing.Banned, ruling.Standing);
        await Eventually.TrueAsync(() => !line.Ends.IsEmpty, "the session's end");
        Assert.Equal(0, await hub.PendingOfAsync(node.AccountId));
        Assert.Equal(ConnectionStatus.Banned, (await node.ConnectAsync()).Status);
        await AssertBooksAsync(hub, node);
    }

    [Fact]
    public async Task A_report_counts_once_whoever_repeats_it_and_over_a_restart()
    {
        TestNode node;
        var report = new AuditReport("audit_again", "audit", AuditOutcome.Passed, "", Weights, "It agrees.", "");
        await using (var hub = await StartAsync())
        {
            node = await hub.EnrolAsync();
            await Task.WhenAll(Enumerable.Range(0, 10).Select(_ => node.Grain.RecordAudit(report)));
        }
        await using var later = await StartAsync();
        await later.Of(node).Grain.RecordAudit(report);
        Assert.Equal(1, (await later.Verification.FindReputationAsync(node.Id, Weights, default))!.Value.AuditsPassed);
        Assert.Single(await later.Verification.ListEventsAsync(node.Id, long.MaxValue, 100, default));
    }

    [Theory]
    [InlineData(Fault.Before)]
    [InlineData(Fault.After)]
    internal async Task When_the_commit_of_a_verdict_fails_it_is_reported_again_and_counts_once(Fault fault)
    {
        await using var hub = await StartAsync(shadow: false);
        var node = await hub.EnrolAsync();
        await WorkAsync(hub, node, $"doubt_{fault}");
        hub.Ledger.Faults = _ => fault;
        var report = new AuditReport($"audit_{fault}", "audit", AuditOutcome.Mismatch, "", Weights, "It does not agree.", "");
        await Assert.ThrowsAsync<StorageException>(() => node.Grain.RecordAudit(report));
        hub.Ledger.Faults = _ => Fault.None;
        Assert.Equal(Standing.Quarantined, (await node.Grain.RecordAudit(report)).Standing);
        await node.Grain.SettleEarnings();
        Assert.Equal(0, await hub.PendingOfAsync(node.AccountId));
        Assert.Equal(5.999, (await hub.Verification.FindReputationAsync(node.Id, Weights, default))!.Value.Failures, 1e-6);
        await AssertBooksAsync(hub, node);
    }

    [Fact]
    public async Task A_node_too_slow_for_its_class_is_paid_as_the_measured_one_since_its_last_pass()
    {
        await using var hub = await StartAsync();
        var node = await hub.EnrolAsync();
        await node.Grain.RecordChallenge(new ChallengeReport("mm_ok", "MM", ChallengeOutcome.Passed, "rtx-4090-24gb", "165 TFLOPS.", ""));
        await node.ConnectAsync();
        Assert.Equal("rtx-4090-24gb", (await node.Grain.GetView())!.HardwareClass);
        var claimed = await WorkAsync(hub, node, "claimed", tokens: 500, at: _clock.GetUtcNow().AddMinutes(1));
        var ruling = await node.Grain.RecordChallenge(new ChallengeReport("mm_slow", "MM", ChallengeOutcome.TooSlow, "rtx-3060-12gb", "25 TFLOPS.", ""));
        Assert.Equal(Standing.Probation, ruling.Standing);
        Assert.Equal("rtx-3060-12gb", (await node.Grain.GetView())!.HardwareClass);
        var right = ConfiguredPay("rtx-3060-12gb").CreditsFor(Classes, 1_000, 500, 1, 1, 1).Value;
        Assert.True(right < claimed);
        Assert.Equal(right, await hub.PendingOfAsync(node.AccountId));
        Assert.Equal(claimed - right, await hub.Verification.ForfeitedByAsync("mm_slow", default));
        await AssertBooksAsync(hub, node);
    }

    [Fact]
    public async Task Claiming_a_better_class_changes_nothing_once_one_is_measured()
    {
        await using var hub = await StartAsync();
        var node = await hub.EnrolAsync();
        var line = await node.ConnectAsync();
        await node.Grain.RecordChallenge(new ChallengeReport("mm_cpu", "MM", ChallengeOutcome.Passed, "cpu", "0.5 TFLOPS.", ""));
        var honest = await WorkAsync(hub, node, "honest", tokens: 10);
        var claim = new Hardware { Devices = { new Device { Name = "NVIDIA A100-SXM4-80GB", MemoryTotalBytes = 85_899_345_920 } } };
        await node.Grain.Report(line.SessionId, ScriptedSession.ReportOf(2, ScriptedSession.Model) with { Hardware = [.. Google.Protobuf.MessageExtensions.ToByteArray(claim)] });
        Assert.Equal("cpu", (await node.Grain.GetView())!.HardwareClass);
        Assert.Equal(honest, await WorkAsync(hub, node, "boast", tokens: 10));
    }

    // ------------------------------------------------------------------------------------------------ reference speeds

    [Fact]
    public async Task Work_is_paid_by_the_median_of_other_accounts_trusted_nodes_and_ones_own_answers_change_nothing()
    {
        await using var hub = await StartAsync();
        var digest = $"sha256:{Guid.NewGuid():N}";
        // No class is better than this one, and caps what it is paid.
        const string Class = "a100-80gb";
        var payee = await hub.EnrolAsync();
        await SitAsync(payee, Class);
        await payee.ConnectAsync();
        var configured = await WorkAsync(hub, payee, $"{digest}_1", tokens: 10, at: _clock.GetUtcNow(), digest: digest);
        var others = new List<TestNode>();
        for (var other = 0; other < 5; other++)
        {
            others.Add(await hub.EnrolAsync());
            await others[other].ConnectAsync();
            await MeasureAsync(others[other], 150_000, 6_000_000);
        }
        // Not verified yet: nobody's median.
        _clock.Advance(TimeSpan.FromMinutes(11));
        Assert.Equal(configured, await WorkAsync(hub, payee, $"{digest}_2", tokens: 10, at: _clock.GetUtcNow(), digest: digest));

        foreach (var other in others) await other.Grain.SetStanding(Standing.Trusted);
        _clock.Advance(TimeSpan.FromMinutes(11));
        var measured = Classes.CreditsFor(Class, new TokenTimes(150, 6_000).WorkMicroseconds(1_000, 10), 1).Value;
        Assert.NotEqual(configured, measured);
        Assert.Equal(measured, await WorkAsync(hub, payee, $"{digest}_3", tokens: 10, at: _clock.GetUtcNow(), digest: digest));

        // Its own benchmark, as slow as can be.
        await MeasureAsync(payee, 10_000_000_000, 100_000_000_000);
        await payee.Grain.SetStanding(Standing.Trusted);
        _clock.Advance(TimeSpan.FromMinutes(11));
        Assert.Equal(measured, await WorkAsync(hub, payee, $"{digest}_4", tokens: 10, at: _clock.GetUtcNow(), digest: digest));
        // To the others it is one voice of five.
        Assert.Equal(measured, await WorkAsync(hub, others[0], $"{digest}_5", tokens: 10, at: _clock.GetUtcNow(), digest: digest));

        Task<Ruling> MeasureAsync(TestNode node, long prompt, long token) => node.Grain.RecordChallenge(
            new ChallengeReport($"ib_{Guid.NewGuid():N}", "MM+MEM+IB", ChallengeOutcome.Passed, Class, "Measured.", "") { Speed = new SpeedReport("llama3:8b", digest, prompt, token) });
    }

    [Fact]
    public async Task A_node_whose_inference_is_slower_than_its_hardware_is_paid_as_the_lesser_class_and_no_more_a_token()
    {
        await using var hub = await StartAsync();
        var (fast, slow) = (await hub.EnrolAsync(), await hub.EnrolAsync());
        await fast.Grain.RecordChallenge(new ChallengeReport("ib_fast_" + fast.Id, "MM+MEM+IB", ChallengeOutcome.Passed, "rtx-4090-24gb", "Fast.", ""));
        await slow.Grain.RecordChallenge(new ChallengeReport("ib_slow_" + slow.Id, "MM+MEM+IB", ChallengeOutcome.Passed, "cpu", "Slow.", "") { ComputeClass = "rtx-4090-24gb" });
        Assert.Equal(new MeasuredClasses("rtx-4090-24gb", "cpu"), await slow.Grain.GetMeasuredClasses());
        Assert.Equal(new MeasuredClasses("rtx-4090-24gb", "rtx-4090-24gb"), await fast.Grain.GetMeasuredClasses());
        await fast.ConnectAsync();
        await slow.ConnectAsync();
        Assert.Equal("cpu", (await slow.Grain.GetView())!.HardwareClass);
        // By the CPU's own reference it would be more.
        var paid = await WorkAsync(hub, fast, $"fast_{fast.Id}", tokens: 10);
        Assert.True(Classes.CreditsFor("cpu", Classes.ReferenceMicroseconds("cpu", 5L << 30, 1_000, 10), 1).Value > paid);
        Assert.InRange(await WorkAsync(hub, slow, $"slow_{slow.Id}", tokens: 10), 1, paid);
    }

    [Fact]
    public async Task Whoever_declines_three_sittings_in_a_row_is_paid_as_the_least_class_until_it_sits_again()
    {
        var node = await LapsingAsync(ChallengeOutcome.Declined, TimeSpan.Zero, TimeSpan.Zero, TimeSpan.Zero);
        Assert.Equal(["ChallengeDeclined", "ChallengeDeclined", "ClassLapsed"], node.Events);
        Assert.Contains("did not sit 3 times in a row", node.Measurement, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Whoever_is_never_without_work_for_a_day_of_being_connected_is_so_too()
    {
        var node = await LapsingAsync(ChallengeOutcome.Disturbed, TimeSpan.FromHours(10), TimeSpan.FromHours(13.9), TimeSpan.FromHours(0.1));
        Assert.Equal(["ClassLapsed"], node.Events);
        Assert.Contains("connected for 24 h without being measured", node.Measurement, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_least_class_has_nothing_to_lose_by_declining()
    {
        await using var hub = await StartAsync();
        var node = await hub.EnrolAsync();
        await SitAsync(node, "cpu");
        for (var decline = 0; decline < 5; decline++) await UnmeasuredAsync(node, ChallengeOutcome.Declined, TimeSpan.FromHours(30));
        Assert.Equal(new MeasuredClasses("cpu", "cpu"), await node.Grain.GetMeasuredClasses());
        Assert.Single(await hub.Verification.ListEventsAsync(node.Id, long.MaxValue, 10, default));
    }

    private async Task<(string[] Events, string Measurement)> LapsingAsync(ChallengeOutcome outcome, params TimeSpan[] connected)
    {
        const string Class = "rtx-4090-24gb";
        await using var hub = await StartAsync();
        var node = await hub.EnrolAsync();
        await SitAsync(node, Class);
        await node.ConnectAsync();
        var before = await WorkAsync(hub, node, $"measured_{node.Id}", tokens: 10);
        foreach (var time in connected[..^1]) await UnmeasuredAsync(node, outcome, time);
        Assert.Equal((Class, false), ((await node.Grain.GetView())!.HardwareClass, (await node.Grain.GetMeasuredClasses())!.HasLapsed));
        // Sitting once forgives what was before.
        await SitAsync(node, Class);
        foreach (var time in connected[..^1]) await UnmeasuredAsync(node, outcome, time);
        Assert.Equal(Class, (await node.Grain.GetView())!.HardwareClass);
        await UnmeasuredAsync(node, outcome, connected[^1]);
        Assert.Equal(("cpu", true), ((await node.Grain.GetView())!.HardwareClass, (await node.Grain.GetMeasuredClasses())!.HasLapsed));
        // By the CPU's own reference a token would be worth more.
        Assert.InRange(await WorkAsync(hub, node, $"lapsed_{node.Id}", tokens: 10), 1, before);
        // Again and again says nothing new.
        await UnmeasuredAsync(node, outcome, TimeSpan.FromHours(1));
        var row = (await hub.Verification.FindStandingAsync(node.Id, default, default))!;
        var events = (await hub.Verification.ListEventsAsync(node.Id, long.MaxValue, 20, default)).TakeWhile(happened => happened.Evidence is not Evidence.ChallengePassed).Reverse();
        Assert.Equal(Standing.Probation, row.Standing.Standing);

        await SitAsync(node, Class);
        Assert.Equal(Class, (await node.Grain.GetView())!.HardwareClass);
        return ([.. events.Select(happened => happened.Evidence.ToString())], row.Measurement!);
    }

    private static Task<Ruling> SitAsync(TestNode node, string hardwareClass)
        => node.Grain.RecordChallenge(new ChallengeReport($"sat_{Guid.NewGuid():N}", "MM+MEM+IB", ChallengeOutcome.Passed, hardwareClass, "Measured.", ""));

    private static Task<Ruling> UnmeasuredAsync(TestNode node, ChallengeOutcome outcome, TimeSpan connected)
        => node.Grain.RecordChallenge(new ChallengeReport($"not_{Guid.NewGuid():N}", "MM+MEM+IB", outcome, "", "Not measured.", "") { Connected = connected });

    // -------------------------------------------------------------------------------------------------------- appeals

    [Fact]
    public async Task A_granted_appeal_gives_back_what_was_forfeited_by_a_new_movement_once()
    {
        await using var hub = await StartAsync(shadow: false);
        var node = await hub.EnrolAsync();
        Assert.Equal(AppealStatus.NothingToAppeal, (await node.Grain.Appeal("why?")).Status);
        var amount = await WorkAsync(hub, node, "wronged", tokens: 100) + await WorkAsync(hub, node, "wronged_too", tokens: 100);
        await AuditAsync(node, AuditOutcome.Mismatch);
        var transfers = await TransfersAsync(hub);

        var appeal = await node.Grain.Appeal("My build is another one.");
        Assert.Equal(AppealStatus.Done, appeal.Status);
        Assert.Equal(AppealStatus.AlreadyAppealed, (await node.Grain.Appeal("Once more.")).Status);
        Assert.Equal(AppealStatus.Unknown, (await node.Grain.DecideAppeal("apl_none", true, "Granted.", "acct_operator")).Status);
        var answers = new List<AppealAnswer>();
        for (var again = 0; again < 3; again++) answers.Add(await node.Grain.DecideAppeal(appeal.AppealId, true, "You are right.", "acct_operator"));

        Assert.All(answers, answer => Assert.Equal((AppealStatus.Done, amount), (answer.Status, answer.CompensationMicrocredits)));
        Assert.Equal(AppealStatus.AlreadyDecided, (await node.Grain.DecideAppeal(appeal.AppealId, false, "Or not.", "acct_operator")).Status);
        Assert.Equal((0, amount), (await hub.PendingOfAsync(node.AccountId), await hub.AvailableOfAsync(node.AccountId)));
        Assert.Equal(Standing.Probation, (await node.Grain.GetIdentity())!.Standing);
        // Nothing that was written before is another now.
        var after = await TransfersAsync(hub);
        Assert.Equal(transfers, after[..transfers.Length]);
        Assert.Equal(transfers.Length + 1, after.Length);
        Assert.Empty((await hub.Ledger.AuditAsync()).Findings);
    }

    [Fact]
    public async Task Whoever_forges_the_same_receipt_again_after_a_granted_appeal_is_banned_again()
    {
        await using var hub = await StartAsync();
        var node = await hub.EnrolAsync();
        var payload = await BookAsync(hub, node, "forged_again", tokens: 100);
        for (var time = 0; time < 3; time++)
        {
            // Answered twice at once, it is one forgery.
            await Task.WhenAll(node.SayAsync(new byte[64], payload), node.SayAsync(new byte[64], payload));
            Assert.Equal(Standing.Banned, (await node.Grain.GetIdentity())!.Standing);
            Assert.Equal(time + 1, (await hub.Verification.ListEventsAsync(node.Id, long.MaxValue, 100, default)).Count(happened => happened.Evidence is Evidence.Fraud));
            _clock.Advance(TimeSpan.FromMinutes(1));
            var appeal = await node.Grain.Appeal("My key was somebody else's.");
            Assert.Equal(AppealStatus.Done, appeal.Status);
            Assert.Equal(AppealStatus.Done, (await node.Grain.DecideAppeal(appeal.AppealId, true, "Granted.", "acct_operator")).Status);
            Assert.Equal(Standing.Probation, (await node.Grain.GetIdentity())!.Standing);
            _clock.Advance(TimeSpan.FromMinutes(1));
        }
    }

    [Fact]
    public async Task A_refused_appeal_changes_nothing()
    {
        await using var hub = await StartAsync(shadow: false);
        var node = await hub.EnrolAsync();
        await WorkAsync(hub, node, "refused");
        await AuditAsync(node, AuditOutcome.Mismatch);
        var appeal = await node.Grain.Appeal("I would like it back.");
        Assert.Equal(new AppealAnswer(AppealStatus.Done, appeal.AppealId, 0), await node.Grain.DecideAppeal(appeal.AppealId, false, "The record is clear.", "acct_operator"));
        Assert.Equal((0, 0), (await hub.PendingOfAsync(node.AccountId), await hub.AvailableOfAsync(node.AccountId)));
        Assert.Equal(Standing.Quarantined, (await node.Grain.GetIdentity())!.Standing);
    }

    [Fact]
    public async Task What_is_remembered_of_a_node_is_remembered_whatever_it_calls_its_engine()
    {
        await using var hub = await StartAsync(shadow: false);
        var node = await hub.EnrolAsync();
        await WorkAsync(hub, node, "engine_renamed", tokens: 100, determinismClass: $"{Weights}/ollama/1/cuda/sm_89/np4");
        for (var audit = 0; audit < 10; audit++) await AuditAsync(node, AuditOutcome.Passed, determinismClass: $"{Weights}/ollama/1.{audit}/cuda/sm_89/np4");
        await node.Grain.RecordAbandonment("job_renamed", $"{Weights}/builtin/2/cpu/x64/np1", "The node took job job_renamed and did not end it: it fell silent.");
        var known = Assert.Single(await hub.Verification.ListReputationsAsync(node.Id, default));
        Assert.Equal((Weights, 10L, 0.2, 1.0), (known.Weights, known.Reputation.AuditsPassed, known.Reputation.Abandoned, Math.Round(known.Reputation.RecentUnits, 3)));
        Assert.Equal(10, Assert.Single(await hub.Earnings.ListPendingAsync(node.Id, 10, default)).AuditsPassed);

        await AuditAsync(node, AuditOutcome.Mismatch, determinismClass: $"{Weights}/ollama/renamed/cuda/sm_89/np4");
        Assert.True(Assert.Single(await hub.Verification.ListReputationsAsync(node.Id, default)).Reputation.AuditAllUnits > 0);
        Assert.Equal($"{Weights}/ollama/renamed/cuda/sm_89/np4", (await hub.Verification.ListEventsAsync(node.Id, long.MaxValue, 1, default))[0].DeterminismClass);
    }

    // --------------------------------------------------------------------------------------------------- abandonments

    [Fact]
    public async Task An_abandoned_job_counts_once_weighs_little_and_fades_with_work_over_a_restart_too()
    {
        TestNode node;
        await using (var hub = await StartAsync())
        {
            node = await hub.EnrolAsync();
            for (var audit = 0; audit < 100; audit++) await AuditAsync(node, AuditOutcome.Passed);
            var amount = await WorkAsync(hub, node, "before", tokens: 10);
            for (var again = 0; again < 3; again++) await node.Grain.RecordAbandonment("job_dropped", Weights, "The node took job job_dropped and did not end it: it fell silent.");
            Assert.Equal(amount, await hub.PendingOfAsync(node.AccountId));
        }
        await using var later = await StartAsync();
        var known = (await later.Verification.FindReputationAsync(node.Id, Weights, default))!.Value;
        Assert.Equal((0.2, 1.0), (known.Abandoned, known.Failures));
        var happened = (await later.Verification.ListEventsAsync(node.Id, long.MaxValue, 1, default))[0];
        Assert.Equal((Evidence.Abandoned, Consequences.None, "job"), (happened.Evidence, happened.Consequences, happened.Kind));
        Assert.Contains("it fell silent", happened.Finding, StringComparison.Ordinal);

        await WorkAsync(later, later.Of(node), "after", tokens: 10);
        await AuditAsync(later.Of(node), AuditOutcome.Passed);
        Assert.Equal(0.1998, (await later.Verification.FindReputationAsync(node.Id, Weights, default))!.Value.Abandoned, 1e-8);
    }

    // -------------------------------------------------------------------------------------------------------- standby

    [Fact]
    public async Task Standby_is_paid_between_two_answered_probes_and_a_missed_one_voids_both_gaps()
    {
        await using var hub = await StartAsync();
        var probed = await ProbedNode.ConnectAsync(hub, _clock);
        Assert.Equal(0, (await probed.SayAsync(5, ProbeOutcome.Passed)).CreditedMicrocredits);
        // The CPU class: 2 credits an hour, a tenth of it for standby.
        Assert.Equal(100_000, (await probed.SayAsync(35, ProbeOutcome.Passed)).CreditedMicrocredits);
        // The same once more.
        Assert.Equal(0, (await probed.SayAsync(35, ProbeOutcome.Passed)).CreditedMicrocredits);

        Assert.Equal(probed.At(40).AddSeconds(10), (await probed.SayAsync(40, ProbeOutcome.Failed)).RetryAt);
        Assert.Null((await probed.SayAsync(40 + (10 / 60.0), ProbeOutcome.Failed)).RetryAt);
        Assert.Equal(0, (await probed.SayAsync(60, ProbeOutcome.Passed)).CreditedMicrocredits);
        Assert.Equal(100_000, (await probed.SayAsync(90, ProbeOutcome.Passed)).CreditedMicrocredits);
        Assert.Equal(200_000, await hub.PendingOfAsync(probed.Node.AccountId));

        var missed = Assert.Single(await hub.Verification.ListEventsAsync(probed.Node.Id, long.MaxValue, 10, default));
        Assert.Equal((Evidence.ProbeMissed, Consequences.VoidGaps), (missed.Evidence, missed.Consequences));
        var why = $"the probe at {probed.At(40):u} got no first token within 2 s, and its retry at {probed.At(40).AddSeconds(10):u} got no first token within 2 s";
        Assert.Equal($"T{why[1..]}.", missed.Finding);
        var words = await probed.WordsAsync();
        Assert.EndsWith($" to {probed.At(5):u}: no probe had been answered before it.", words[^1], StringComparison.Ordinal);
        Assert.Equal(
            [
                $"Paid from {probed.At(60):u} to {probed.At(90):u}: both probes were answered.",
                $"Not paid from {probed.At(40).AddSeconds(10):u} to {probed.At(60):u}: {why}.",
                $"Not paid from {probed.At(35):u} to {probed.At(40).AddSeconds(10):u}: {why}.",
                $"Paid from {probed.At(5):u} to {probed.At(35):u}: both probes were answered.",
            ],
            words[..^1]);
        await AssertBooksAsync(hub, probed.Node);
    }

    [Fact]
    public async Task A_failed_probe_whose_retry_passes_costs_nothing()
    {
        await using var hub = await StartAsync();
        var probed = await ProbedNode.ConnectAsync(hub, _clock);
        await probed.SayAsync(0, ProbeOutcome.Passed);
        Assert.NotNull((await probed.SayAsync(29, ProbeOutcome.Failed)).RetryAt);
        Assert.Equal(100_000, (await probed.SayAsync(30, ProbeOutcome.Passed)).CreditedMicrocredits);
        Assert.Empty(await hub.Verification.ListEventsAsync(probed.Node.Id, long.MaxValue, 10, default));
    }

    [Fact]
    public async Task Work_within_a_gap_is_paid_as_work_alone()
    {
        await using var hub = await StartAsync();
        var probed = await ProbedNode.ConnectAsync(hub, _clock);
        await probed.SayAsync(0, ProbeOutcome.Passed);
        Assert.Equal(100_000, (await probed.SayAsync(40, ProbeOutcome.Passed, worked: TimeSpan.FromMinutes(10))).CreditedMicrocredits);
        Assert.Equal(0, (await probed.SayAsync(50, ProbeOutcome.Passed, worked: TimeSpan.FromMinutes(10))).CreditedMicrocredits);
        Assert.Equal(
            [
                $"Not paid from {probed.At(40):u} to {probed.At(50):u}: all of it was work, which is paid as work.",
                $"Paid from {probed.At(0):u} to {probed.At(40):u}: both probes were answered; 600 s of it were work, which is paid as work.",
            ],
            (await probed.WordsAsync())[..2]);
    }

    [Theory]
    [InlineData("pause")]
    [InlineData("leave")]
    [InlineData("reconnect")]
    [InlineData("quarantine")]
    [InlineData("void")]
    public async Task Whatever_ends_standby_pays_neither_the_gap_before_it_nor_the_one_after(string end)
    {
        await using var hub = await StartAsync();
        var probed = await ProbedNode.ConnectAsync(hub, _clock);
        await probed.SayAsync(10, ProbeOutcome.Passed);
        _clock.Advance(TimeSpan.FromMinutes(20));
        var grain = probed.Node.Grain;
        var report = ScriptedSession.ReportOf(2, ScriptedSession.Model);
        switch (end)
        {
            case "pause":
                await grain.Report(probed.SessionId, report with { AcceptsWork = false, WhyNot = "the owner plays" });
                await grain.Report(probed.SessionId, report);
                break;
            case "leave":
                await grain.Disconnect(probed.SessionId);
                await probed.ReconnectAsync();
                break;
            case "reconnect":
                await probed.ReconnectAsync();
                break;
            case "quarantine":
                await grain.SetStanding(Standing.Quarantined);
                await grain.SetStanding(Standing.Trusted);
                await grain.Report(probed.SessionId, report);
                break;
            default:
                await probed.SayAsync(20, ProbeOutcome.Void, "gave way to work");
                break;
        }
        Assert.Equal(0, (await probed.SayAsync(40, ProbeOutcome.Passed)).CreditedMicrocredits);
        Assert.Equal(100_000, (await probed.SayAsync(70, ProbeOutcome.Passed)).CreditedMicrocredits);
        // Nothing against the node: it may do all of this.
        Assert.DoesNotContain(await hub.Verification.ListEventsAsync(probed.Node.Id, long.MaxValue, 10, default), happened => happened.Evidence is Evidence.ProbeMissed);
        var words = await probed.WordsAsync();
        Assert.Equal(4, words.Length);
        Assert.All(words[1..], gap => Assert.StartsWith("Not paid from", gap, StringComparison.Ordinal));
        Assert.Contains(
            end switch
            {
                "pause" => "the node took no work from then on (the owner plays)",
                "leave" => "the node left before the next probe",
                "reconnect" => "the node connected anew before the next probe",
                "quarantine" => "the node is given no work while it is quarantined or banned",
                _ => $"the probe at {probed.At(20):u} gave way to work",
            },
            words[2],
            StringComparison.Ordinal);
        await AssertBooksAsync(hub, probed.Node);
    }

    [Fact]
    public async Task Nobody_is_paid_by_the_probes_of_a_connection_that_is_over()
    {
        await using var hub = await StartAsync();
        var probed = await ProbedNode.ConnectAsync(hub, _clock);
        await probed.SayAsync(0, ProbeOutcome.Passed);
        await probed.Node.Grain.Disconnect(probed.SessionId);
        Assert.Equal(new ProbeFollowUp(null, 0), await probed.SayAsync(30, ProbeOutcome.Passed));
        Assert.Equal(new ProbeFollowUp(null, 0), await probed.SayAsync(60, ProbeOutcome.Passed));
        Assert.Equal(0, await hub.PendingOfAsync(probed.Node.AccountId));
    }

    [Theory]
    [InlineData("account")]
    [InlineData("network")]
    public async Task Nodes_that_may_be_one_machine_are_paid_one_standby_until_they_pass_a_slot_together(string shared)
    {
        await using var hub = await StartAsync();
        var network = shared == "network" ? $"{Guid.NewGuid():N}/24" : string.Empty;
        var first = await ProbedNode.ConnectAsync(hub, _clock, network: network);
        var second = await ProbedNode.ConnectAsync(hub, _clock, shared == "account" ? first.Node.AccountId : null, network);
        ProbedNode[] both = [first, second];
        Assert.Single(await PaidAsync(0, 30));

        // Both are two machines as long as the last slot that both sat was passed by both.
        await SitAsync(30, true, true);
        Assert.Equal(both, await PaidAsync(30, 60));
        await SitAsync(60, true, false);
        Assert.Equal([first], await PaidAsync(60, 90));
        Assert.Contains($"{(shared == "account" ? $"node {first.Node.Id} of the same account" : "another node of the same network")} is paid, and nothing shows that this one is another machine: "
            + $"when both were challenged at {first.At(60):u}, this one took 10.00 s of 6.25 s", (await second.WordsAsync())[0], StringComparison.Ordinal);
        await SitAsync(90, true, true);
        Assert.Equal(both, await PaidAsync(90, 120));
        // And not for ever.
        _clock.Advance(new CommonSlotOptions().EvidenceAge + TimeSpan.FromHours(2));
        Assert.Single(await PaidAsync(120, 150));

        // A node that takes no work, or has no model in memory, is not on standby, and stands in nobody's way.
        var report = ScriptedSession.ReportOf(2, ScriptedSession.Model);
        await first.Node.Grain.Report(first.SessionId, report with { AcceptsWork = false });
        await second.SayAsync(160, ProbeOutcome.Passed);
        Assert.True((await second.SayAsync(190, ProbeOutcome.Passed)).CreditedMicrocredits > 0);
        await first.Node.Grain.Report(first.SessionId, report with { Engines = [report.Engines[0] with { Models = [report.Engines[0].Models[0] with { Loaded = false }] }] });
        Assert.True((await second.SayAsync(220, ProbeOutcome.Passed)).CreditedMicrocredits > 0);

        // Each has answered the probe at the beginning.
        async Task<ProbedNode[]> PaidAsync(int from, int to)
        {
            var paid = new List<ProbedNode>();
            foreach (var node in both)
            {
                if (from == 0) await node.SayAsync(from, ProbeOutcome.Passed);
                if ((await node.SayAsync(to, ProbeOutcome.Passed)).CreditedMicrocredits > 0) paid.Add(node);
            }
            return [.. paid];
        }

        async Task SitAsync(int minutes, params bool[] passed)
        {
            foreach (var (node, hasPassed) in both.Zip(passed))
                await hub.Slots.AddAsync(new SlotResult(node.Node.Id, first.At(minutes), hasPassed, hasPassed ? "took 5.00 s of 6.25 s" : "took 10.00 s of 6.25 s"), default, default);
        }
    }

    [Theory]
    [InlineData(Fault.Before)]
    [InlineData(Fault.After)]
    internal async Task When_the_commit_of_a_probe_fails_no_time_is_paid_twice(Fault fault)
    {
        await using var hub = await StartAsync();
        var probed = await ProbedNode.ConnectAsync(hub, _clock);
        await probed.SayAsync(0, ProbeOutcome.Passed);
        hub.Ledger.Faults = _ => fault;
        await Assert.ThrowsAsync<StorageException>(() => probed.SayAsync(30, ProbeOutcome.Passed));
        hub.Ledger.Faults = _ => Fault.None;
        Assert.Equal(0, (await probed.SayAsync(60, ProbeOutcome.Passed)).CreditedMicrocredits);
        Assert.Equal(100_000, (await probed.SayAsync(90, ProbeOutcome.Passed)).CreditedMicrocredits);
        Assert.Equal(fault is Fault.After ? 200_000 : 100_000, await hub.PendingOfAsync(probed.Node.AccountId));
        await AssertBooksAsync(hub, probed.Node);
    }

    [Fact]
    public async Task Standby_matures_on_the_evidence_of_later_audits_as_work_does()
    {
        await using var hub = await StartAsync();
        var probed = await ProbedNode.ConnectAsync(hub, _clock);
        await probed.SayAsync(0, ProbeOutcome.Passed);
        await probed.SayAsync(30, ProbeOutcome.Passed);
        _clock.Advance(TimeSpan.FromDays(8));
        Assert.Equal(0, await probed.Node.Grain.SettleEarnings());
        for (var audit = 0; audit < 10; audit++) await AuditAsync(probed.Node, AuditOutcome.Passed);
        Assert.Equal((0, 100_000), (await hub.PendingOfAsync(probed.Node.AccountId), await hub.AvailableOfAsync(probed.Node.AccountId)));
    }

    // ------------------------------------------------------------------------------------------------------------- P7

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Whatever_happens_what_was_minted_is_pending_matured_or_forfeited(int seed)
    {
        await using var hub = await StartAsync(shadow: false);
        var node = await hub.EnrolAsync();
        var random = new Random(seed);
        var faults = new Random(seed + 1_000);
        hub.Ledger.Faults = _ => faults.Next(20) switch { 0 => Fault.Before, 1 => Fault.After, _ => Fault.None };
        var unsigned = new List<byte[]>();
        var steps = Counts.Of(1_000, 120);
        for (var step = 0; step < steps; step++)
        {
            await UntilDoneAsync(async () =>
            {
                switch (random.Next(12))
                {
                    case < 4:
                        await WorkAsync(hub, node, $"p7_{seed}_{step}", tokens: 1 + random.Next(50));
                        break;
                    case 4:
                        unsigned.Add(await BookAsync(hub, node, $"p7_{seed}_{step}_later", 1 + random.Next(50)));
                        break;
                    case 5 when unsigned.Count > 0:
                        await SignAsync(node, unsigned[random.Next(unsigned.Count)]);
                        break;
                    case < 9:
                        await AuditAsync(node, AuditOutcome.Passed);
                        break;
                    case 9 when random.Next(3) == 0:
                        await AuditAsync(node, AuditOutcome.Mismatch);
                        break;
                    case 10 when random.Next(3) == 0:
                        await node.Grain.SetStanding(Standing.Probation);
                        break;
                    default:
                        _clock.Advance(TimeSpan.FromHours(random.Next(60)));
                        await CloseEpochsAsync(hub);
                        await SettleDrawnAsync(hub, node);
                        await node.Grain.SettleEarnings();
                        break;
                }
            });
            if (step % 10 == 0) await AssertBooksAsync(hub, node);
        }
        hub.Ledger.Faults = _ => Fault.None;
        await node.Grain.SettleEarnings();
        var sums = await AssertBooksAsync(hub, node);
        Assert.True(sums is { Matured: > 0, Forfeited: > 0 }, $"The walk reaches too little: {sums}");
        Assert.Empty((await hub.Ledger.AuditAsync()).Findings);

        async Task UntilDoneAsync(Func<Task> step)
        {
            while (true)
            {
                try
                {
                    await step();
                    return;
                }
                catch (StorageException exception) when (exception.IsTransient)
                {
                    await Task.Yield();
                }
            }
        }
    }

    // -------------------------------------------------------------------------------------------------------- details

    /// <summary>A connected node and what probes find of it, in minutes since it connected.</summary>
    private sealed class ProbedNode(TestHub hub, TestNode node, OffsetClock clock)
    {
        private readonly DateTimeOffset _connectedAt = clock.GetUtcNow();
        private string _sessionId = string.Empty;

        public TestNode Node => node;

        public string SessionId => _sessionId;

        /// <param name="hub">The hub.</param>
        /// <param name="clock">Its clock.</param>
        /// <param name="accountId">Whose node it is; null: somebody new.</param>
        /// <param name="network">Where it connects from.</param>
        public static async Task<ProbedNode> ConnectAsync(TestHub hub, OffsetClock clock, string? accountId = null, string network = "")
        {
            var node = accountId is null ? await hub.EnrolAsync() : new TestNode(hub, accountId);
            if (accountId is not null) await node.EnrolAsync(accountId);
            var probed = new ProbedNode(hub, node, clock);
            await probed.ReconnectAsync(network);
            return probed;
        }

        public async Task ReconnectAsync(string network = "") => _sessionId = (await node.ConnectAsync(network: network)).SessionId;

        public DateTimeOffset At(double minutes) => _connectedAt.AddMinutes(minutes);

        public Task<ProbeFollowUp> SayAsync(double minutes, ProbeOutcome outcome, string finding = "got no first token within 2 s", TimeSpan worked = default)
            => node.Grain.RecordProbe(SessionId, new ProbeReport(FormattableString.Invariant($"{node.Id}_{minutes:0.0}"), At(minutes), outcome, worked, Weights, finding));

        public async Task<string[]> WordsAsync() => [.. (await hub.Earnings.ListStandbyAsync(node.Id, _connectedAt.AddHours(-1), 100, default)).Select(gap => gap.Words)];
    }

    /// <summary>What a class is paid by for the model of these tests, for whose 5 GiB nobody vouches.</summary>
    private static PayRate ConfiguredPay(string hardwareClass) => Classes.ConfiguredPay(hardwareClass, new HardwareClassOptions().UnvouchedModelBytes);

    private Task<TestHub> StartAsync(bool shadow = true) => TestHub.StartAsync(database, standing: options => options.ShadowMode = shadow, time: _clock);

    /// <summary>P7: the rows agree with each other and with the ledger.</summary>
    private static async Task<EarningSums> AssertBooksAsync(TestHub hub, TestNode node)
    {
        var sums = await hub.Earnings.SumAsync(node.Id, default);
        Assert.Equal(sums.Minted, sums.Pending + sums.Matured + sums.Forfeited);
        Assert.Equal(sums.Pending, await hub.PendingOfAsync(node.AccountId));
        var moved = await hub.Database.ReadAsync(
            async connection => (await connection.QueryAsync<(long Reason, long Sum)>(
                "SELECT reason, CAST(SUM(amount) AS bigint) FROM ledger_transfers WHERE debit_account = @pending OR (credit_account = @pending AND reason IN (4, 5)) GROUP BY reason",
                new { pending = LedgerAccountId.Pending(node.AccountId).Value })).ToDictionary(row => (TransferReason)row.Reason, row => row.Sum),
            default);
        Assert.Equal(sums.Minted, moved.GetValueOrDefault(TransferReason.Earning) + moved.GetValueOrDefault(TransferReason.Standby));
        Assert.Equal(sums.Matured, moved.GetValueOrDefault(TransferReason.Maturation));
        Assert.Equal(sums.Forfeited, moved.GetValueOrDefault(TransferReason.Forfeiture));
        return sums;
    }

    private async Task<long> MatureOneAsync(TestHub hub, TestNode node, string job)
    {
        var amount = await WorkAsync(hub, node, job, tokens: 100);
        for (var audit = 0; audit < 10; audit++) await AuditAsync(node, AuditOutcome.Passed);
        await CloseEpochsAsync(hub);
        _clock.Advance(TimeSpan.FromDays(8));
        await SettleDrawnAsync(hub, node);
        await node.Grain.SettleEarnings();
        Assert.Equal(amount, await hub.AvailableOfAsync(node.AccountId));
        return amount;
    }

    /// <summary>An hour later everything so far is rooted and drawn.</summary>
    private async Task CloseEpochsAsync(TestHub hub)
    {
        await hub.EpochClosing.LookAsync(default);
        _clock.Advance(TimeSpan.FromMinutes(65));
        await hub.EpochClosing.LookAsync(default);
        _clock.Advance(TimeSpan.FromMinutes(2));
        await hub.EpochClosing.LookAsync(default);
    }

    /// <summary>Every drawn receipt gets a verdict that counts neither way.</summary>
    private static async Task SettleDrawnAsync(TestHub hub, TestNode node)
    {
        foreach (var earning in await hub.Earnings.ListPendingAsync(node.Id, EarningStore.ListMax, default))
        {
            if (earning.Audit is AuditState.Drawn) await AuditAsync(node, AuditOutcome.Inconclusive, earning.ReceiptId!);
        }
    }

    private async Task<string> WhyAsync(TestHub hub, TestNode node)
    {
        var earning = Assert.Single(await hub.Earnings.ListPendingAsync(node.Id, 10, default));
        return earning.Earning.Words(earning.Held(_clock.GetUtcNow()), _clock.GetUtcNow(), earning.AuditsPassed);
    }

    private static Task<Ruling> AuditAsync(TestNode node, AuditOutcome outcome, string receiptId = "", string determinismClass = Weights)
        => node.Grain.RecordAudit(new AuditReport($"audit_{Guid.NewGuid():N}", "audit", outcome, receiptId, determinismClass, "What was found.", """{"answer":42}"""));

    /// <summary>Books, signs, and says what was credited.</summary>
    private static async Task<long> WorkAsync(TestHub hub, TestNode node, string job, long tokens = 2_000, string client = "acct_client", DateTimeOffset? at = null, string digest = Weights, string determinismClass = Weights)
        => (await SignAsync(node, await BookAsync(hub, node, job, tokens, client, at, digest, determinismClass))).CreditedMicrocredits;

    private static async Task<byte[]> BookAsync(
        TestHub hub, TestNode node, string job, long tokens, string client = "acct_client", DateTimeOffset? at = null, string digest = Weights, string determinismClass = Weights)
    {
        var begin = at?.ToUnixTimeMilliseconds() ?? 1_760_400_000_100;
        await node.Grain.Book(new JobOutcome(
            job, 1, client, "key_1", JobKind.Chat, "llama3:8b", digest, 5L << 30, node.Id, JobStatus.Succeeded, "stop", 1_000, tokens,
            [.. SHA256.HashData("request"u8)], [.. SHA256.HashData("output"u8)], begin - 100, begin, begin + 300, begin + 4_300, determinismClass));
        return await hub.Database.ReadAsync(connection => connection.QuerySingleAsync<byte[]>("SELECT payload FROM receipts WHERE job_id = @job", new { job }), default);
    }

    private static async Task<ReceiptSigning> SignAsync(TestNode node, byte[] payload) => Assert.Single(await node.SayAsync(node.Sign(payload), payload));

    private static Task<string[]> TransfersAsync(TestHub hub) => hub.Database.ReadAsync(
        async connection => (await connection.QueryAsync<string>("SELECT id || debit_account || credit_account || CAST(amount AS text) FROM ledger_transfers ORDER BY seq")).ToArray(), default);
}

public sealed class SqliteNodeVerificationTests(SqliteTestDatabase database) : NodeVerificationTests(database), IClassFixture<SqliteTestDatabase>;

public sealed class PostgresNodeVerificationTests(PostgresTestDatabase database) : NodeVerificationTests(database), IClassFixture<PostgresTestDatabase>;
