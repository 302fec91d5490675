using System.Text.Json;
using System.Text.Json.Nodes;
using Federation.NodeAgent.Engines.Builtin;
using Federation.Protocol.Verification;
using Federation.Silo.Verification.Inference;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit.Abstractions;

namespace Federation.Silo.Tests.Verification.Inference.RealModels;

/// <summary>The judge on real logits, at its start values: the demo model as sold, and other models sold as it. <c>bench calibrate</c> has the whole table.</summary>
public sealed class RealModelTests(ITestOutputHelper output)
{
    private const int Tokens = 256;

    private static readonly int Scale = Environment.GetEnvironmentVariable("FEDERATION_TESTS_FULL") == "1" ? 20 : 1;
    private static readonly InferenceJudge Judge = new(new InferenceCheckOptions());

    [Theory]
    [InlineData(nameof(Drawing.Greedy))]
    [InlineData(nameof(Drawing.Sampled))]
    public async Task An_honest_worker_with_another_order_of_sums_is_never_accused(string drawing)
    {
        Assert.Equal(0, (await AuditAsync("honest", Enum.Parse<Drawing>(drawing), 8 * Scale)).Accused);
    }

    [Theory]
    [InlineData("impostor")]
    [InlineData("q3")]
    public async Task A_smaller_model_and_one_of_three_bits_are_found_in_one_greedy_audit(string worker)
    {
        var audits = 5 * Scale;
        var (accused, _) = await AuditAsync(worker, Drawing.Greedy, audits);
        Assert.True(accused >= 0.99 * audits, $"{accused} of {audits}");
    }

    [Fact]
    public async Task Rounding_to_four_bits_is_found_within_a_few_greedy_audits()
    {
        var (_, first) = await AuditAsync("q4", Drawing.Greedy, 10);
        Assert.InRange(first, 1, 5);
    }

    [Fact]
    public async Task A_smaller_model_is_found_in_drawn_answers()
    {
        var audits = 5 * Scale;
        var (accused, _) = await AuditAsync("impostor", Drawing.Sampled, audits);
        Assert.True(accused >= 0.99 * audits, $"{accused} of {audits}");
    }

    [Fact]
    public async Task Another_engine_with_the_same_model_is_honest()
    {
        var reference = JsonNode.Parse(await File.ReadAllTextAsync(PathOf("reference.json")))!["cases"]!.AsArray();
        await using var engine = new BuiltinEngine(
            new BuiltinOptions { Directories = [Path.GetDirectoryName(PathOf("federation-demo.gguf"))!] }, TimeProvider.System, new Random(1), NullLogger<BuiltinEngine>.Instance);
        var positions = new List<ScoredPosition>();
        foreach (var answered in reference)
        {
            var body = new JsonObject
            {
                ["messages"] = new JsonArray(new JsonObject { ["role"] = "user", ["content"] = answered!["prompt"]!.GetValue<string>() }),
                ["temperature"] = 0,
            };
            var text = answered["answer"]!.GetValue<string>();
            var own = LogprobCommitment.InOrder(answered["tokens"]!.AsArray().Select(token => new CommittedToken(
                token!["bytes"]!.AsArray().Select(value => (byte)value!.GetValue<int>()).ToArray(), LogprobCommitment.ToMilliNats(token["logprob"]!.GetValue<double>()), [])));
            var scored = await engine.ScoreAsync(
                new ScoreRequest { Kind = "chat", Model = "federation-demo", Request = JsonElement.Parse(body.ToJsonString()), AnswerText = text, FinishReason = "stop" }, CancellationToken.None);
            positions.AddRange(ScoredPosition.Of(scored, text, endIsTheModels: true, own));
        }

        var answer = new AuditedAnswer { Drawing = Drawing.Greedy, Positions = [.. positions], FinishReason = "stop", CompletionTokens = positions.Count };
        var (verdict, _) = Judge.Judge(answer, InferenceHistory.Empty, new Random(1));

        output.WriteLine($"llama.cpp's own answers: {verdict.Figures}");
        Assert.Equal(InferenceOutcome.Ok, verdict.Outcome);
        Assert.Equal((verdict.Figures.Scored, 1.0), (verdict.Figures.Compared, verdict.Figures.ExactRate));
        Assert.InRange(verdict.Figures.MeanDelta!.Value, 0, 0.005);
    }

    private static string PathOf(string file) => Path.Combine(AppContext.BaseDirectory, "Models", file);

    private async Task<(int Accused, int First)> AuditAsync(string worker, Drawing drawing, int count)
    {
        await using var audits = new ModelAudits(PathOf("federation-demo.gguf"), PathOf("impostor.gguf"));
        var history = InferenceHistory.Empty;
        var (accused, first) = (0, 0);
        for (var i = 0; i < count; i++)
        {
            (var verdict, history) = Judge.Judge(await audits.AuditAsync(worker, drawing, Tokens, seed: i), history, new Random(i));
            output.WriteLine($"{worker}, {drawing}: {verdict.Outcome} {string.Join(' ', verdict.Reasons)}");
            if (verdict.Outcome != InferenceOutcome.SoftMismatch) continue;
            accused++;
            first = first == 0 ? i + 1 : first;
        }

        return (accused, first);
    }
}
