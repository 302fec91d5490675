using Federation.NodeAgent.Engines.Builtin.Sampling;

namespace Federation.NodeAgent.Tests.Engines.Builtin;

public sealed class SamplerTests
{
    /// <summary>Probabilities 0.5, 0.25, 0.15, 0.1.</summary>
    private static readonly float[] Logits4 = [.. new[] { 0.15, 0.5, 0.1, 0.25 }.Select(p => (float)Math.Log(p))];

    [Fact]
    public void Temperature_zero_takes_the_likeliest_and_of_equals_the_first()
    {
        Assert.Equal(1, new Sampler(new() { Temperature = 0 }, 1).Next(Logits4));
        Assert.Equal(0, new Sampler(new() { Temperature = 0 }, 1).Next([2f, 2f, 1f]));
    }

    [Theory]
    [InlineData(1, 0, 1, 0, new[] { 0.15, 0.5, 0.1, 0.25 })]
    [InlineData(0.5, 0, 1, 0, new[] { 0.0652, 0.7246, 0.0290, 0.1812 })] // squares
    [InlineData(1, 2, 1, 0, new[] { 0, 0.6667, 0, 0.3333 })]
    [InlineData(1, 0, 0.75, 0, new[] { 0, 0.6667, 0, 0.3333 })]
    [InlineData(1, 0, 0.76, 0, new[] { 0.1667, 0.5556, 0, 0.2778 })]
    [InlineData(1, 0, 1, 0.29, new[] { 0.1667, 0.5556, 0, 0.2778 })]
    [InlineData(1, 1, 1, 0, new[] { 0, 1.0, 0, 0 })]
    [InlineData(1, 99, 0.0001, 1, new[] { 0, 1.0, 0, 0 })]
    public void Tokens_are_drawn_by_their_probabilities(double temperature, int topK, double topP, double minP, double[] expected)
    {
        const int draws = 40_000;
        var sampler = new Sampler(new() { Temperature = temperature, TopK = topK, TopP = topP, MinP = minP }, 42);
        var counts = new int[4];
        for (var i = 0; i < draws; i++)
        {
            counts[sampler.Next(Logits4)]++;
        }

        for (var token = 0; token < 4; token++)
        {
            // Five standard deviations and the rounding of the expected values.
            var slack = (5 * Math.Sqrt(expected[token] * (1 - expected[token]) / draws)) + 0.0002;
            Assert.InRange((double)counts[token] / draws, expected[token] - slack, expected[token] + slack);
        }
    }

    [Fact]
    public void The_same_seed_draws_the_same_tokens_in_every_version()
    {
        var sampler = new Sampler(new(), 7);

        Assert.Equal("1031111101033331", string.Concat(Enumerable.Range(0, 16).Select(_ => sampler.Next(Logits4))));
    }

    [Fact]
    public void Penalties_push_away_what_has_been_said()
    {
        var presence = new Sampler(new() { Temperature = 0, PresencePenalty = 1 }, 1);
        Assert.Equal([1, 3, 1, 1], Enumerable.Range(0, 4).Select(_ => presence.Next(Logits4)));

        var frequency = new Sampler(new() { Temperature = 0, FrequencyPenalty = 2 }, 1);
        Assert.Equal([1, 3, 0, 2, 1], Enumerable.Range(0, 5).Select(_ => frequency.Next(Logits4)));
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.NegativeInfinity)]
    public void Logits_that_are_no_numbers_are_said_to_be_broken(float logit)
    {
        Assert.Throws<BrokenModelException>(() => new Sampler(new(), 1).Next([1, logit, 2]));
        Assert.Throws<BrokenModelException>(() => Logits.Score([1, logit, 2], 0, 0));
    }

    [Fact]
    public void Scores_are_natural_logarithms_and_the_best_come_first()
    {
        var score = Logits.Score(Logits4, 2, 3);

        Assert.Equal(Math.Log(0.1), score.Logprob, 6);
        Assert.Equal([1, 3, 0], score.Top.Select(top => top.Token));
        Assert.Equal(Math.Log(0.5), score.Top[0].Logprob, 6);
        Assert.Equal(4, Logits.Score(Logits4, 0, 20).Top.Length);
    }

    [Fact]
    public void What_is_never_to_be_chosen_is_not_drawn_and_weighs_nothing()
    {
        float[] logits = [9f, 1f, 2f, 8f];
        Assert.Equal(2, new Sampler(new() { Temperature = 0 }, 1, [0, 3]).Next(logits));
        var sampler = new Sampler(new() { Temperature = 2 }, 3, [0, 3]);
        for (var i = 0; i < 1_000; i++)
        {
            Assert.InRange(sampler.Next(logits), 1, 2);
        }

        var weighed = new Sampler(new(), 1, [0, 3]).Weigh(logits, 1, token => token == 3);
        Assert.Equal((2, 1.0, 0.0), (weighed.Choice, weighed.Margin, weighed.EndMass));
        Assert.Equal(1 / (1 + Math.E), weighed.Mass!.Value, 12);
    }
}
