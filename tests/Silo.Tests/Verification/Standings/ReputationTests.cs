using Federation.Silo.Verification.Standings;
using FsCheck;
using FsCheck.Fluent;

namespace Federation.Silo.Tests.Verification.Standings;

/// <summary>P13: the audit rate follows the evidence, never below its floor.</summary>
public sealed class ReputationTests
{
    private const int Peers = 50;

    private static readonly DateTimeOffset Noon = new(2026, 11, 20, 12, 0, 0, TimeSpan.Zero);
    private static readonly StandingOptions Options = new();
    private static readonly Config Thorough = Config.QuickThrowOnFailure.WithMaxTest(Counts.Of(100_000, 2_000));

    private static readonly Gen<Evidence> Audits = Gen.Frequency(
        (90, Gen.Constant(Evidence.AuditPassed)), (4, Gen.Constant(Evidence.AuditUnconfirmed)), (3, Gen.Constant(Evidence.AuditMismatch)), (3, Gen.Constant(Evidence.Abandoned)));

    private static readonly Arbitrary<Evidence[]> Lives = Gen.ArrayOf(Audits).ToArbitrary();

    [Fact]
    public void The_rate_never_rises_with_a_pass() => Check.One(Thorough, Prop.ForAll(Lives, life =>
    {
        var reputation = Live(life, Busy());
        for (var pass = 0; pass < 100; pass++)
        {
            var next = reputation.After(Evidence.AuditPassed, Options);
            Assert.True(next.AuditRate(Options, Peers) <= reputation.AuditRate(Options, Peers), $"{reputation} → {next}");
            reputation = next;
        }
    }));

    [Fact]
    public void The_rate_is_never_below_its_floor_nor_above_one() => Check.One(Thorough, Prop.ForAll(Lives, Gen.Choose(0, 100_000).ToArbitrary(), (life, units) =>
    {
        var reputation = Live(life, Reputation.New(Noon) with { RecentUnits = units });
        Assert.InRange(reputation.AuditRate(Options, Peers), 0.01, 1);
        Assert.InRange(reputation.AuditRate(Options, 4), 0.02, 1);
        Assert.InRange(reputation.Failures, 1, double.MaxValue);
        Assert.InRange(reputation.Passes, 0, 1_000.000001);
    }));

    [Fact]
    public void After_a_confirmed_mismatch_twenty_units_are_all_audited_and_more_than_before_then() => Check.One(Thorough, Prop.ForAll(Lives, life =>
    {
        var before = Live(life, Busy());
        var reputation = before.After(Evidence.AuditMismatch, Options);
        for (var unit = 0; unit < 20; unit++)
        {
            Assert.Equal(1, reputation.AuditRate(Options, Peers));
            reputation = reputation.After(Evidence.AuditPassed, Options);
        }
        Assert.Equal(0, reputation.AuditAllUnits);
        Assert.True(reputation.AuditRate(Options, Peers) >= (before with { AuditAllUnits = 0 }).AuditRate(Options, Peers));
    }));

    [Fact]
    public void A_new_key_is_audited_at_least_as_often_as_any_old_one() => Check.One(Thorough, Prop.ForAll(Lives, life =>
        Assert.True(Reputation.New(Noon).AuditRate(Options, Peers) >= Live(life, Busy()).AuditRate(Options, Peers))));

    [Fact]
    public void The_first_eight_audits_always_come_and_then_about_the_root_of_twenty_times_the_units()
    {
        var random = new Random(20261120);
        var total = 0;
        const int Nodes = 200;
        for (var node = 0; node < Nodes; node++)
        {
            var (reputation, audits) = (Reputation.New(Noon), 0);
            for (var unit = 0; unit < 1_440; unit++)
            {
                reputation = reputation.AfterUnit(Options, Noon.AddMinutes(unit));
                var rate = reputation.AuditRate(Options, Peers);
                if (audits < 8) Assert.Equal(1, rate);
                if (random.NextDouble() >= rate) continue;
                reputation = reputation.After(Evidence.AuditPassed, Options);
                audits++;
            }
            total += audits;
        }
        Assert.InRange(total / (double)Nodes, 160, 185);
    }

    [Fact]
    public void After_a_thousand_clean_audits_the_rate_is_that_of_the_protocol_and_falls_to_the_floor()
    {
        var reputation = Busy();
        for (var audit = 0; audit < 1_000; audit++) reputation = reputation.After(Evidence.AuditPassed, Options);
        Assert.Equal(0.016, reputation.AuditRate(Options, Peers), 0.0005);
        for (var audit = 0; audit < 20_000; audit++) reputation = reputation.After(Evidence.AuditPassed, Options);
        Assert.Equal(0.01, reputation.AuditRate(Options, Peers), 0.0001);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(24)]
    [InlineData(240)]
    public void A_light_node_collects_its_ten_audits_in_three_days(int unitsADay)
    {
        // Clean for long: without the floor for light nodes it would wait for a hundred times as many units.
        var reputation = Reputation.New(Noon) with { Passes = 1_000 };
        var (audits, period) = (0.0, TimeSpan.FromDays(1.0 / unitsADay));
        for (var now = Noon; now < Noon.AddDays(30); now += period)
        {
            reputation = reputation.AfterUnit(Options, now);
            if (now >= Noon.AddDays(27)) audits += reputation.AuditRate(Options, Peers);
        }
        Assert.InRange(audits, Math.Min(3 * unitsADay, 10) - 0.5, double.MaxValue);
    }

    [Fact]
    public void Suspicions_alone_take_no_audit_away_and_count_as_none() => Check.One(Thorough, Prop.ForAll(Lives, life =>
    {
        var reputation = Live(life, Busy());
        var after = reputation.After(Evidence.AuditUnconfirmed, Options);
        Assert.Equal(reputation.Failures + 0.2, after.Failures, 1e-9);
        Assert.Equal(reputation with { Failures = after.Failures }, after);
        Assert.True(after.AuditRate(Options, Peers) >= reputation.AuditRate(Options, Peers));
    }));

    [Theory]
    [InlineData(300, 0.02)]
    [InlineData(5_000, 0.0115)]
    public void Whoever_abandons_a_unit_now_and_then_is_audited_little_more_than_others(int oneIn, double rateMax)
    {
        // Two hundred days of full work, audited as the rate says.
        var random = new Random(oneIn);
        var (reputation, rates) = (Reputation.New(Noon), 0.0);
        const int Units = 288_000;
        const int Mature = 100_000;
        for (var unit = 0; unit < Units; unit++)
        {
            if (random.Next(oneIn) == 0) reputation = reputation.After(Evidence.Abandoned, Options);
            reputation = reputation.AfterUnit(Options, Noon.AddMinutes(unit));
            var rate = reputation.AuditRate(Options, Peers);
            if (random.NextDouble() < rate) reputation = reputation.After(Evidence.AuditPassed, Options);
            if (unit >= Mature) rates += rate;
        }
        var mean = rates / (Units - Mature);
        Assert.InRange(mean, 0.01, rateMax);
        // §3 (5): a canary costs an answer and its scoring, another audit its scoring; challenges and probes cost 0.19 %.
        Assert.True((mean * ((0.3 * 1.15) + (0.7 * 0.15))) + 0.0019 <= 0.02, $"{mean}");
    }

    [Fact]
    public void Whoever_abandons_every_fifth_unit_is_audited_always_or_nearly_so()
    {
        var reputation = Busy() with { Passes = 1_000 };
        for (var unit = 0; unit < 20_000; unit++)
        {
            if (unit % 4 == 0) reputation = reputation.After(Evidence.Abandoned, Options);
            reputation = reputation.AfterUnit(Options, Noon);
        }
        Assert.InRange(reputation.AuditRate(Options, Peers), 0.4, 1);
        // And is forgiven when it stops.
        for (var unit = 0; unit < 10_000; unit++) reputation = reputation.AfterUnit(Options, Noon);
        Assert.Equal(0.01, reputation.AuditRate(Options, Peers), 0.0005);
    }

    private static Reputation Busy() => Reputation.New(Noon) with { RecentUnits = 10_000 };

    private static Reputation Live(Evidence[] life, Reputation from) => life.Aggregate(from, (reputation, evidence) => reputation.After(evidence, Options));
}
