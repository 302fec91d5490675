using Federation.NodeAgent.Engines.Scoring;
using Federation.Protocol.Verification;

namespace Federation.NodeAgent.Tests.Engines.Scoring;

public sealed class ListedDistributionTests
{
    /// <summary>Half, a quarter, an eighth; the last eighth is not listed.</summary>
    private static readonly double[] Halves = [Math.Log(0.5), Math.Log(0.25), Math.Log(0.125)];

    [Theory]
    [InlineData(0, 0, 0.5)]
    [InlineData(1, 0.5, 0.25)]
    [InlineData(2, 0.75, 0.125)]
    [InlineData(-1, 0.875, 0.125)]
    public void At_temperature_one_the_unlisted_are_one_place_at_the_end(int at, double below, double mass) =>
        AssertClose(below, mass, ListedDistribution.Weigh(Halves, at, new ScoreSampler(1)));

    [Theory]
    [InlineData(0, 0, 2.0 / 3)]
    [InlineData(1, 2.0 / 3, 1.0 / 3)]
    [InlineData(2, 1, 0)]
    [InlineData(-1, 1, 0)]
    public void What_is_cut_off_has_no_probability(int at, double below, double mass)
    {
        AssertClose(below, mass, ListedDistribution.Weigh(Halves, at, new ScoreSampler(1, TopK: 2)));
        AssertClose(below, mass, ListedDistribution.Weigh(Halves, at, new ScoreSampler(1, TopP: 0.7)));
        AssertClose(below, mass, ListedDistribution.Weigh(Halves, at, new ScoreSampler(1, MinP: 0.4)));
    }

    [Fact]
    public void A_low_temperature_is_known_once_the_unlisted_are_negligible()
    {
        double[] sure = [Math.Log(0.9), Math.Log(0.0999), Math.Log(0.0001)];
        var weights = sure.Select(logprob => Math.Exp(logprob / 0.5)).ToArray();
        AssertClose(weights[0] / weights.Sum(), weights[1] / weights.Sum(), ListedDistribution.Weigh(sure, 1, new ScoreSampler(0.5)));
        Assert.Null(ListedDistribution.Weigh(Halves, 1, new ScoreSampler(0.9)));
    }

    [Fact]
    public void What_does_not_follow_from_the_list_is_not_guessed()
    {
        Assert.Null(ListedDistribution.Weigh(Halves, 0, new ScoreSampler(0)));
        Assert.Null(ListedDistribution.Weigh(Halves, 0, new ScoreSampler(1.5)));
        Assert.Null(ListedDistribution.Weigh(Halves, 0, new ScoreSampler(1, PresencePenalty: 0.1)));
        Assert.Null(ListedDistribution.Weigh(Halves, 0, new ScoreSampler(0.5, TopP: 0.9)));
        Assert.Null(ListedDistribution.Weigh(Halves, 0, new ScoreSampler(1, TopK: 40)));
        Assert.Null(ListedDistribution.Weigh(Halves, 0, new ScoreSampler(1, TopP: 0.95)));
        Assert.Null(ListedDistribution.Weigh(Halves, 0, new ScoreSampler(1, MinP: 0.1)));
        Assert.Null(ListedDistribution.Weigh([], -1, new ScoreSampler(1)));
    }

    private static void AssertClose(double below, double mass, ListedDistribution? found)
    {
        Assert.NotNull(found);
        Assert.Equal(below, found.Below, 9);
        Assert.Equal(mass, found.Mass, 9);
    }
}
