using System.Text;
using Federation.NodeAgent.Engines;
using Federation.Protocol.OpenAi;
using Federation.Protocol.Verification;

namespace Federation.NodeAgent.Tests.Engines.Builtin;

/// <summary>What the builtin engine, as a verifier, says of answers that were really drawn, and of answers that were not.</summary>
public sealed class TextScorerTests
{
    private const string Count = "Count from 3 to 12";

    [Theory]
    [InlineData("\"temperature\":0")]
    [InlineData("\"temperature\":0,\"presence_penalty\":1.5,\"frequency_penalty\":0.7")]
    public async Task A_greedy_answer_has_no_margin_anywhere_penalties_or_not(string fields)
    {
        await using var demo = DemoEngine.Start();
        var request = DemoEngine.Chat(Count, fields + ",\"max_tokens\":60");
        var answer = await demo.AskAsync(request);

        var score = await demo.Engine.ScoreAsync(DemoEngine.Score(request, answer.Text, answer.FinishReason!), CancellationToken.None);

        Assert.NotEmpty(score.Positions);
        Assert.All(score.Positions, position => Assert.Equal(0.0, position.Margin));
        Assert.All(score.Positions, position => Assert.Null(position.Mass));
        Assert.Equal(answer.Usage!.Value.CompletionTokens, score.AnswerTokens);
        Assert.Equal(answer.Usage.Value.PromptTokens, score.PromptTokens);
        Assert.Equal(512, score.ContextTokens);
    }

    [Theory]
    [InlineData("\"temperature\":1")]
    [InlineData("\"temperature\":1.7")]
    [InlineData("\"temperature\":1.5,\"top_k\":12,\"top_p\":0.9,\"min_p\":0.02,\"frequency_penalty\":0.4")]
    public async Task Drawn_tokens_fill_the_samplers_distribution_evenly(string fields)
    {
        await using var demo = DemoEngine.Start();
        var random = new Random(5);
        var places = new List<double>();
        for (var i = 0; i < 40; i++)
        {
            var request = DemoEngine.Chat($"Say {i} words", $"{fields},\"max_tokens\":40,\"seed\":{i}");
            var answer = await demo.AskAsync(request);
            var score = await demo.Engine.ScoreAsync(DemoEngine.Score(request, answer.Text, answer.FinishReason!), CancellationToken.None);
            Assert.All(score.Positions, position => Assert.True(position.Mass > 0, $"a drawn token has no probability at byte {position.Offset} of \"{answer.Text}\""));
            places.AddRange(score.Positions.Select(position => position.Below!.Value + (random.NextDouble() * position.Mass!.Value)));
        }

        places.Sort();
        var distance = places.Select((place, i) => Math.Abs(place - ((i + 0.5) / places.Count))).Max();
        Assert.InRange(places.Count, 200, 2000);
        Assert.True(distance < 1.95 / Math.Sqrt(places.Count), $"{places.Count} places lie {distance} from even; chance below 0.001");
    }

    [Fact]
    public async Task A_token_the_sampler_cuts_off_has_no_probability()
    {
        await using var demo = DemoEngine.Start();

        var score = await demo.Engine.ScoreAsync(DemoEngine.Score(DemoEngine.Chat("17+25=", "\"temperature\":1,\"top_k\":1"), "43"), CancellationToken.None);

        Assert.Equal((0.0, 1.0), (score.Positions[0].Below!.Value, score.Positions[0].Mass!.Value));
        Assert.Equal((1.0, 0.0), (score.Positions[1].Below!.Value, score.Positions[1].Mass!.Value));
        Assert.True(score.Positions[1].Margin > 1 && score.Positions[1].Rank > 1);
    }

    [Fact]
    public async Task An_answer_that_goes_on_past_the_end_or_stops_short_of_it_shows()
    {
        await using var demo = DemoEngine.Start();

        var on = await demo.Engine.ScoreAsync(DemoEngine.Score(DemoEngine.Chat("17+25="), "42 42"), CancellationToken.None);
        Assert.True(on.Positions[2].LikeliestIsEnd && on.Positions[2].Margin > 1);

        var short_ = await demo.Engine.ScoreAsync(DemoEngine.Score(DemoEngine.Chat("17+25="), "4"), CancellationToken.None);
        Assert.True(short_.Positions[1] is { IsEnd: true, LikeliestIsEnd: false, Margin: > 1 });

        var cut = await demo.Engine.ScoreAsync(DemoEngine.Score(DemoEngine.Chat("17+25="), "4", "length"), CancellationToken.None);
        Assert.False(Assert.Single(cut.Positions).IsEnd);
    }

    [Fact]
    public async Task An_answer_ended_by_a_stop_text_is_the_models_if_the_stop_text_would_have_come()
    {
        await using var demo = DemoEngine.Start();
        var request = DemoEngine.Chat("17+25=", "\"temperature\":0,\"stop\":[\"2\"]");
        var answer = await demo.AskAsync(request);
        Assert.Equal("4", answer.Text);

        var score = await demo.Engine.ScoreAsync(DemoEngine.Score(request, answer.Text), CancellationToken.None);

        Assert.Equal((true, true, 0.0), (score.Positions[^1].IsEnd, score.Positions[^1].LikeliestIsEnd, score.Positions[^1].Margin));
        Assert.Null(score.AnswerTokens);
    }

    [Fact]
    public async Task Only_the_places_asked_for_are_told_and_they_are_those_of_the_whole()
    {
        await using var demo = DemoEngine.Start();
        var whole = DemoEngine.Score(DemoEngine.Chat(Count), "3 4 5 6 7 8 9 10 11 12", top: 3);
        var all = await demo.Engine.ScoreAsync(whole, CancellationToken.None);

        var some = await demo.Engine.ScoreAsync(whole with { Offsets = [0, 3, 7, 22] }, CancellationToken.None);

        Assert.Equal([0, 3, 7, 22], some.Positions.Select(position => position.Offset));
        Assert.Equal(
            Encoding.UTF8.GetString(ScoreCodec.Write(all with { Positions = [.. all.Positions.Where(position => position.Offset is 0 or 3 or 7 or 22)] })),
            Encoding.UTF8.GetString(ScoreCodec.Write(some)));
    }

    [Fact]
    public async Task What_follows_a_replaced_character_is_not_judged()
    {
        await using var demo = DemoEngine.Start();

        var score = await demo.Engine.ScoreAsync(DemoEngine.Score(DemoEngine.Chat("17+25="), "4\uFFFD2"), CancellationToken.None);

        Assert.Equal(0, Assert.Single(score.Positions).Offset);
        Assert.Null(score.AnswerTokens);
    }

    [Fact]
    public async Task The_samplers_settings_may_be_told_apart_from_the_body()
    {
        await using var demo = DemoEngine.Start();
        var request = DemoEngine.Score(DemoEngine.Request(JobKind.Chat, """{"model":"federation-demo","messages":[{"role":"user","content":"17+25="}]}"""), "42");

        var told = await demo.Engine.ScoreAsync(request with { Sampler = new ScoreSampler(0) }, CancellationToken.None);
        var defaults = await demo.Engine.ScoreAsync(request, CancellationToken.None);

        Assert.Null(told.Positions[0].Mass);
        Assert.NotNull(defaults.Positions[0].Mass);
        await Assert.ThrowsAsync<ScoringException>(() => demo.Engine.ScoreAsync(request with { Kind = "embedding" }, CancellationToken.None));
    }
}
