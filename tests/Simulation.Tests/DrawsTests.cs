namespace Federation.Simulation.Tests;

public sealed class DrawsTests
{
    private const int Samples = 100_000;

    [Theory]
    [InlineData(60, 0.016)]
    [InlineData(60, 0.5)]
    [InlineData(60, 0.97)]
    [InlineData(3, 0.3)]
    [InlineData(2_000, 0.25)]
    public void Counts_of_equal_trials_have_the_binomial_mean_and_variance(int trials, double chance)
    {
        var draws = new Draws(1);
        var counts = Enumerable.Range(0, Samples).Select(_ => draws.Binomial(trials, chance)).ToArray();

        var mean = counts.Average();
        var variance = counts.Average(count => (count - mean) * (count - mean));
        var expected = trials * chance * (1 - chance);
        Assert.All(counts, count => Assert.InRange(count, 0, trials));
        Assert.InRange(mean, (trials * chance) - (5 * Math.Sqrt(expected / Samples)), (trials * chance) + (5 * Math.Sqrt(expected / Samples)));
        Assert.InRange(variance, 0.95 * expected, 1.05 * expected);
    }

    [Fact]
    public void Rare_counts_have_the_binomial_distribution()
    {
        var draws = new Draws(2);
        var counts = new int[4];
        for (var i = 0; i < Samples; i++) counts[Math.Min(3, draws.Binomial(60, 0.016))]++;

        for (var k = 0; k < 3; k++)
        {
            var ways = k == 0 ? 1 : k == 1 ? 60 : 60 * 59 / 2;
            var expected = Samples * ways * Math.Pow(0.016, k) * Math.Pow(0.984, 60 - k);
            Assert.InRange(counts[k], expected - (5 * Math.Sqrt(expected)), expected + (5 * Math.Sqrt(expected)));
        }
    }

    [Fact]
    public void Normal_and_exponential_numbers_have_their_moments()
    {
        var draws = new Draws(3);
        var normal = Enumerable.Range(0, Samples).Select(_ => draws.Normal()).ToArray();
        Assert.InRange(normal.Average(), -0.02, 0.02);
        Assert.InRange(normal.Average(x => x * x), 0.97, 1.03);
        Assert.InRange(normal.Count(x => x > 2) / (double)Samples, 0.0207, 0.0248);
        Assert.InRange(Enumerable.Range(0, Samples).Average(_ => draws.Exponential(7)), 6.85, 7.15);
    }

    [Fact]
    public void A_seed_gives_the_same_numbers_and_its_neighbour_others()
    {
        var (a, again, neighbour) = (new Draws(Draws.Seed(5, 1)), new Draws(Draws.Seed(5, 1)), new Draws(Draws.Seed(5, 2)));
        var first = a.Bits();
        Assert.Equal(first, again.Bits());
        Assert.NotEqual(first, neighbour.Bits());
        Assert.NotEqual(Draws.Seed(5, 1), Draws.Seed(6, 1));
    }

    [Fact]
    public void Whoever_is_away_half_of_the_time_is_away_half_of_the_time()
    {
        var absence = new Absence(0.25, new Draws(4));
        var away = Enumerable.Range(0, Samples).Count(i => absence.At(i * 0.1).IsAway);
        Assert.InRange(away / (double)Samples, 0.48, 0.52);
        var (_, total) = absence.At(Samples * 0.1);
        Assert.InRange(total / (Samples * 0.1), 0.48, 0.52);
    }
}
