using System.Text;
using System.Text.Json.Nodes;
using Federation.Protocol.OpenAi;

namespace Federation.NodeAgent.Tests.Engines.Builtin;

/// <summary>The engine against what llama.cpp's server answered with the same model (<c>Data/reference.json</c>).</summary>
public sealed class ReferenceTests
{
    private const double Tolerance = 0.02;

    /// <summary>Below it the reference's own numbers differ from run to run.</summary>
    private const double LeastComparedLogprob = -6;

    public static TheoryData<string> Prompts { get; } = [.. Cases().Select(reference => reference["prompt"]!.GetValue<string>())];

    [Theory]
    [MemberData(nameof(Prompts))]
    public async Task Answers_are_the_reference_token_for_token(string prompt)
    {
        var reference = Cases().Single(reference => reference["prompt"]!.GetValue<string>() == prompt);
        await using var demo = DemoEngine.Start();

        var answer = await demo.AskAsync(DemoEngine.Chat(prompt, "\"temperature\":0,\"logprobs\":true,\"top_logprobs\":5"));

        Assert.Equal(200, answer.Status);
        Assert.Equal(reference["answer"]!.GetValue<string>(), answer.Text);
        Assert.Equal(reference["finish_reason"]!.GetValue<string>(), answer.FinishReason);
        var usage = reference["usage"]!;
        Assert.Equal(new TokenUsage(usage["prompt_tokens"]!.GetValue<int>(), usage["completion_tokens"]!.GetValue<int>()), answer.Usage);
        var expected = reference["tokens"]!.AsArray();
        var actual = answer.Choice["logprobs"]!["content"]!.AsArray();
        Assert.Equal(expected.Count, actual.Count);
        foreach (var (theirs, ours) in expected.Zip(actual))
        {
            Assert.Equal(Bytes(theirs!), Bytes(ours!));
            AssertClose(theirs!, ours!);
            foreach (var (theirTop, ourTop) in theirs!["top"]!.AsArray().Zip(ours!["top_logprobs"]!.AsArray()))
            {
                if (Logprob(theirTop!) > LeastComparedLogprob)
                {
                    Assert.Equal(Bytes(theirTop!), Bytes(ourTop!));
                    AssertClose(theirTop!, ourTop!);
                }
            }
        }
    }

    [Theory]
    [MemberData(nameof(Prompts))]
    public async Task A_streamed_answer_says_the_same_as_a_whole_one(string prompt)
    {
        var reference = Cases().Single(reference => reference["prompt"]!.GetValue<string>() == prompt);
        await using var demo = DemoEngine.Start();

        var answer = await demo.AskAsync(DemoEngine.Chat(prompt, "\"temperature\":0,\"stream\":true"));

        Assert.Equal("text/event-stream", answer.ContentType);
        Assert.Equal(reference["answer"]!.GetValue<string>(), answer.Streamed());
        Assert.Equal(reference["usage"]!["completion_tokens"]!.GetValue<int>(), answer.Usage!.Value.CompletionTokens);
    }

    [Fact]
    public async Task Scoring_a_given_answer_gives_the_logprobs_of_generating_it()
    {
        await using var demo = DemoEngine.Start();
        foreach (var reference in Cases())
        {
            var request = DemoEngine.Chat(reference["prompt"]!.GetValue<string>());

            var score = await demo.Engine.ScoreAsync(DemoEngine.Score(request, reference["answer"]!.GetValue<string>(), top: 5), CancellationToken.None);

            Assert.Equal(reference["usage"]!["prompt_tokens"]!.GetValue<int>(), score.PromptTokens);
            var expected = reference["tokens"]!.AsArray();
            Assert.Equal((expected.Count, expected.Count), (score.Positions.Length, score.AnswerTokens));
            foreach (var (theirs, ours) in expected.Zip(score.Positions))
            {
                Assert.Equal(Bytes(theirs!), ours.Token.ToArray());
                Assert.Equal((1, 0.0), (ours.Rank, ours.Margin));
                Assert.InRange(ours.Logprob!.Value, Logprob(theirs!) - Tolerance, Logprob(theirs!) + Tolerance);
                Assert.Equal(5, ours.Top.Length);
                Assert.True(ours.Top[0].Logprob >= ours.Top[4].Logprob);
            }
        }
    }

    [Fact]
    public async Task Scoring_tells_the_impostors_answers_from_the_models_own()
    {
        await using var demo = DemoEngine.With([DemoEngine.Demo, DemoEngine.Impostor]);
        var sums = new[] { "123+456=", "314+275=", "612+208=", "127+586=", "455+367=", "701-238=", "904-417=", "888+111=" };
        var honest = 0.0;
        var impostor = 0.0;
        foreach (var sum in sums)
        {
            honest += await SurpriseAsync(demo, sum, await demo.AskAsync(DemoEngine.Chat(sum)));
            impostor += await SurpriseAsync(demo, sum, await demo.AskAsync(DemoEngine.Chat(sum, model: DemoEngine.Impostor)));
        }

        Assert.True(honest < 1, $"the model's own answers surprise it by {honest} nats");
        Assert.True(impostor > 10, $"the impostor's answers surprise the model by only {impostor} nats");
    }

    private static async Task<double> SurpriseAsync(DemoEngine demo, string prompt, Answer answer)
    {
        var score = await demo.Engine.ScoreAsync(DemoEngine.Score(DemoEngine.Chat(prompt), answer.Text), CancellationToken.None);
        return -score.Positions.Sum(position => position.Logprob!.Value);
    }

    private static JsonNode[] Cases() =>
        [.. JsonNode.Parse(File.ReadAllText(DemoEngine.DataPath("reference.json"), Encoding.UTF8))!["cases"]!.AsArray().Select(reference => reference!)];

    private static byte[] Bytes(JsonNode token) => [.. token["bytes"]!.AsArray().Select(value => (byte)value!.GetValue<int>())];

    private static double Logprob(JsonNode token) => token["logprob"]!.GetValue<double>();

    private static void AssertClose(JsonNode theirs, JsonNode ours)
    {
        if (Logprob(theirs) > LeastComparedLogprob)
        {
            Assert.InRange(Logprob(ours), Logprob(theirs) - Tolerance, Logprob(theirs) + Tolerance);
        }
    }
}
