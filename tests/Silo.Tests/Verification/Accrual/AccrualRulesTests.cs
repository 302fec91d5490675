using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Verification;
using Federation.Silo.Verification.Accrual;
using Federation.Silo.Verification.Standings;
using FsCheck;
using FsCheck.Fluent;

namespace Federation.Silo.Tests.Verification.Accrual;

/// <summary>P7 and P8, as far as they need no books: caps, intervals, what holds an earning, and pay that no clock changes.</summary>
public sealed class AccrualRulesTests
{
    private const long Gibibyte = 1L << 30;

    private static readonly DateTimeOffset Noon = new(2026, 11, 20, 12, 0, 0, TimeSpan.Zero);
    private static readonly AccrualOptions Options = new();
    private static readonly StandingOptions Standing = new();
    private static readonly HardwareClasses Classes = new(Microsoft.Extensions.Options.Options.Create(new HardwareClassOptions()));
    private static readonly Config Thorough = Config.QuickThrowOnFailure.WithMaxTest(Counts.Of(100_000, 2_000));

    // ------------------------------------------------------------------------------------------------------------- P7

    [Fact]
    public void No_hour_pays_a_device_more_than_4860_reference_seconds() => Check.One(Thorough, Prop.ForAll(Gen.ArrayOf(Gen.Choose(0, 2_000)).ToArbitrary(), seconds =>
    {
        var credited = 0L;
        foreach (var claimed in seconds)
        {
            var payable = AccrualRules.Payable(credited, claimed * 1_000_000L, Options);
            Assert.InRange(payable, 0, claimed * 1_000_000L);
            credited += payable;
        }
        Assert.Equal(Math.Min(seconds.Sum(second => second * 1_000_000L), 4_860_000_000), credited);
    }));

    [Fact]
    public void Credited_intervals_never_run_on_more_slots_than_there_are() => Check.One(Thorough, Prop.ForAll(
        Gen.ArrayOf(Gen.Choose(0, 5_000).SelectMany(from => Gen.Choose(0, 2_000).Select(length => (From: (long)from, To: (long)from + length)))).ToArbitrary(),
        Gen.Choose(1, 4).ToArbitrary(),
        (jobs, slots) =>
        {
            var intervals = new WorkIntervals(new AccrualOptions { OverlapTolerance = TimeSpan.Zero });
            var credited = jobs.Where(job => intervals.TryAdd(job.From, job.To, slots)).ToArray();
            foreach (var at in credited.Select(job => job.From)) Assert.InRange(credited.Count(job => job.From <= at && at < job.To), 0, slots);
            // Nothing is refused without need: with the refused one there would have been one too many at some moment.
            foreach (var refused in jobs.Except(credited))
                Assert.Contains(credited.Select(job => job.From).Append(refused.From).Where(at => refused.From <= at && at < refused.To), at => credited.Count(job => job.From <= at && at < job.To) >= slots);
        }));

    [Fact]
    public void One_after_the_other_is_always_credited_whatever_two_clocks_differ()
    {
        var intervals = new WorkIntervals(Options);
        var random = new Random(1);
        for (var (job, at) = (0, 0L); job < 10_000; job++, at += 1_000) Assert.True(intervals.TryAdd(at - random.Next(250), at + 1_000, 1));
        Assert.InRange(intervals.Count, 1, 3 * 7_200);
    }

    [Fact]
    public void Old_intervals_are_forgotten()
    {
        var intervals = new WorkIntervals(Options);
        for (var minute = 0; minute < 10_000; minute++) Assert.True(intervals.TryAdd(minute * 60_000L, (minute + 1) * 60_000L, 1));
        Assert.InRange(intervals.Count, 120, 245);
    }

    [Fact]
    public void Nothing_matures_before_ten_later_audits_and_its_time_and_its_root() => Check.One(Thorough, Prop.ForAll(
        Gen.Choose(0, 30).ToArbitrary(),
        Gen.Choose(0, 300).ToArbitrary(),
        Gen.Choose(0, 7).ToArbitrary(),
        (audits, hours, flags) =>
        {
            var earning = EarningOf(TimeSpan.FromHours(24));
            var held = earning.Held(Noon.AddHours(hours), 100 + audits, (flags & 1) == 0, (flags & 2) != 0, (flags & 4) != 0);
            Assert.Equal(audits >= 10 && hours >= 24 && flags == 0, held is HeldBy.Nothing);
            if (held is not HeldBy.Nothing) Assert.Throws<InvalidOperationException>(() => earning.Mature(held));
            else Assert.Equal(earning with { State = EarningState.Matured }, earning.Mature(held));
        }));

    [Fact]
    public void A_forfeiture_never_touches_what_has_matured()
    {
        var matured = EarningOf(TimeSpan.Zero).Mature(HeldBy.Nothing);
        Assert.Equal(matured, matured.Forfeit());
    }

    [Theory]
    [InlineData(30, 50, 24)]
    [InlineData(30, 4, 72)]
    [InlineData(7, 50, 24)]
    [InlineData(6.99, 50, 168)]
    [InlineData(0, 4, 168)]
    public void How_long_an_earning_is_held_depends_on_the_age_of_the_node_and_the_size_of_its_class(double days, int peers, double hours)
        => Assert.Equal(TimeSpan.FromHours(hours), AccrualRules.MaturityAge(Noon, Noon.AddDays(-days), peers, Options, Standing));

    [Fact]
    public void What_holds_an_earning_is_said_in_words()
    {
        var earning = EarningOf(TimeSpan.FromHours(24));
        var now = Noon.AddHours(5.9);
        Assert.Equal(
            "held because 3 of 10 later audits have passed and 5 h of 24 h have gone by",
            earning.Words(earning.Held(now, 103, isRooted: true, awaitsAudit: false, isDisputed: false), now, 103));
        Assert.Equal("held because its epoch is not closed yet", earning.Words(HeldBy.Root, now, 103));
        Assert.Equal("matures at the next look", earning.Words(HeldBy.Nothing, now, 103));
        Assert.Equal("forfeited", earning.Forfeit().Words(HeldBy.Time, now, 103));
    }

    // ------------------------------------------------------------------------------------------------------------- P8

    [Fact]
    public void Stretching_the_time_changes_no_pay_and_only_haste_draws_an_audit() => Check.One(Thorough, Prop.ForAll(
        Gen.Choose(1, 5_000).ToArbitrary(), Gen.Choose(1, 600_000).ToArbitrary(), Gen.Choose(1, 1_000).ToArbitrary(), (tokens, milliseconds, factor) =>
        {
            var reference = Classes.ReferenceMicroseconds("rtx-4090-24gb", 5 * Gibibyte, 100, tokens);
            var pay = Classes.CreditsFor("rtx-4090-24gb", AccrualRules.Payable(0, reference, Options), 1);
            Assert.Equal(Classes.CreditsFor("rtx-4090-24gb", Math.Min(reference, 4_860_000_000), 1), pay);
            Assert.Equal(reference > 1.35 * milliseconds * 1_000, AccrualRules.IsTooFast(reference, 0, milliseconds, Options));
            // Slower is never more suspicious.
            if (!AccrualRules.IsTooFast(reference, 0, milliseconds, Options)) Assert.False(AccrualRules.IsTooFast(reference, 0, (long)milliseconds * factor, Options));
        }));

    [Fact]
    public void Splitting_a_job_or_merging_jobs_changes_the_pay_by_less_than_a_thousandth() => Check.One(Thorough, Prop.ForAll(
        Gen.Choose(200, 20_000).ToArbitrary(), Gen.Choose(2, 20).ToArbitrary(), (tokens, parts) =>
        {
            foreach (var name in new HardwareClassOptions().Classes.Select(hardware => hardware.Name))
            {
                var whole = Classes.CreditsFor(name, Classes.ReferenceMicroseconds(name, 5 * Gibibyte, tokens, tokens), 1).Value;
                var split = Enumerable.Range(0, parts).Sum(part =>
                {
                    var share = (tokens * (part + 1L) / parts) - (tokens * (long)part / parts);
                    return Classes.CreditsFor(name, Classes.ReferenceMicroseconds(name, 5 * Gibibyte, share, share), 1).Value;
                });
                Assert.InRange(Math.Abs(whole - split), 0, Math.Max(parts + 1, whole / 1_000));
            }
        }));

    private static PendingEarning EarningOf(TimeSpan age) => new(EarningState.Pending, new Microcredits(1_000), Noon, Noon + age, 100, 10);
}
