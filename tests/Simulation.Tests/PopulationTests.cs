using Xunit.Abstractions;

namespace Federation.Simulation.Tests;

/// <summary>The targets of §5 as far as ten days of 500 nodes can show them, within what so few leave to chance.</summary>
[Collection(nameof(SmallExperiment))]
public sealed class PopulationTests(SmallExperiment small, ITestOutputHelper output)
{
    private readonly SeedResult _seed = small.Experiment.Seeds[0];

    [Fact]
    public void Whoever_always_cheats_is_banned_within_a_day_and_cashes_nothing()
    {
        Assert.Equal(1, Figures.BannedWithinADay(_seed));
        var always = _seed.Lives.Where(life => life.Strategy.IsAlwaysOn).ToArray();
        Assert.True(always.Length >= 20, $"{always.Length} identities");
        Assert.Equal(0, always.Sum(life => life.CheatedCashed));
    }

    [Fact]
    public void Skipping_cells_ends_at_enrolment_and_a_claim_alone_gains_nothing()
    {
        var skipping = _seed.Lives.Where(life => life.Strategy.Trick == HardwareTrick.SkipsCells).ToArray();
        Assert.NotEmpty(skipping);
        Assert.All(skipping, life => Assert.True(life is { BannedHour: not null, CreditedMicrocredits: 0 }));
        Assert.All(_seed.Lives.Where(life => life.Strategy.Trick == HardwareTrick.ClaimsMore), life => Assert.True(life is { BannedHour: null, GainMicrocredits: 0 }));
    }

    [Fact]
    public void Another_card_after_enrolment_is_found_by_the_next_challenges()
    {
        var swapped = _seed.Lives.Where(life => life.Strategy.Trick == HardwareTrick.SwapsCard && life.HoursSinceStart > 48).ToArray();
        Assert.NotEmpty(swapped);
        Assert.All(swapped, life => Assert.InRange(life.DetectedHour!.Value - life.StartHour, 0, 48));
    }

    [Fact]
    public void Cheats_cash_little_of_all_that_is_credited()
    {
        output.WriteLine($"{Figures.CashedShareWithoutShift(_seed):P4}");
        Assert.True(Figures.CashedShareWithoutShift(_seed) <= 0.002, $"{Figures.CashedShareWithoutShift(_seed)}");
    }

    [Fact]
    public void Honest_nodes_earn_are_not_banned_and_lose_little()
    {
        var honest = _seed.Lives.Where(life => life.Strategy.IsHonest).ToArray();
        Assert.DoesNotContain(honest, life => life.BannedHour is not null);
        Assert.True(honest.Count(life => life.Forfeitures > 0) <= 5, "more than five of about 360 forfeited something");
        Assert.InRange(Figures.HonestLost(_seed), 0, 0.01);
        Assert.True(honest.Sum(life => life.CreditedMicrocredits) > 0);
        Assert.All(honest, life => Assert.True(life.IncomeMicrocredits <= life.CreditedMicrocredits));
    }

    [Fact]
    public void Overhead_of_the_first_week_is_about_a_twentieth_and_falls_with_age()
    {
        Assert.InRange(Figures.Overhead(_seed, life => life.FirstWeek), 0.02, 0.06);
        var rates = _seed.Statistics.Rates(Statistics.Line.Honest);
        Assert.True(rates[0] > 0.1, $"first day {rates[0]}");
        Assert.True(rates[9] < rates[3] && rates[3] < rates[0], string.Join(", ", rates));
        Assert.True(rates[9] >= 0.01, $"below the floor: {rates[9]}");
    }

    [Fact]
    public void Identities_that_share_a_card_under_one_account_earn_no_more_than_one()
    {
        var ratio = Figures.IdentityIncome(_seed, HardwareTrick.SharesCardInAccount);
        output.WriteLine($"{ratio:0.00}");
        Assert.True(ratio <= 1.4, $"{ratio}");
    }

    [Fact]
    public void Being_away_costs_more_than_it_brings()
    {
        // Only what matured is gain, and of these ten days that is little; what absence costs is there from the first hour.
        var summaries = Strategy.Others.Where(strategy => strategy.AbsenceMinutes > 0).Select(strategy => Figures.Summary(strategy, [_seed])).ToArray();
        Assert.Equal(2, summaries.Length);
        Assert.All(summaries, summary => Assert.True(summary.LossToGain > 1, $"{summary.Strategy.Name}: {summary.LossToGain}"));
    }

    [Fact]
    public void The_single_statistics_reach_their_targets()
    {
        var experiment = small.Experiment;
        Assert.True(experiment.Classes.Far.Worst < 1e-6);
        Assert.True(experiment.Classes.Near.Worst < 1e-3);
        Assert.InRange(experiment.Classes.HonestRejected, 0, 0.005);
        Assert.InRange(experiment.Alarm(0.5).Audits, 20, 100);
        Assert.True(experiment.Alarm(0).Audits > 10_000, $"{experiment.Alarm(0).Audits}");
        // 1 − 0.95^100 and 1 − 0.99^100, within four standard deviations of 200 hubs.
        Assert.InRange(experiment.Hubs.AtFive.CaughtInADay, 0.97, 1);
        Assert.InRange(experiment.Hubs.AtOne.CaughtInADay, 0.634 - 0.14, 0.634 + 0.14);
    }

    [Fact]
    public void The_same_seed_gives_the_same_lives_and_another_seed_others()
    {
        var scenario = new Scenario { Nodes = 100, Days = 3 };
        string Fingerprint(ulong seed) => string.Join(' ', new World(scenario, small.Experiment.Powers, seed).Run()
            .Select(life => $"{life.Strategy.Name}:{life.IncomeMicrocredits}:{life.DetectedHour}:{life.HonestLost}"));
        Assert.Equal(Fingerprint(8), Fingerprint(8));
        Assert.NotEqual(Fingerprint(8), Fingerprint(9));
    }
}
