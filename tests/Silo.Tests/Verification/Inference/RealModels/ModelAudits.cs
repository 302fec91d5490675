using System.Collections.Immutable;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Federation.NodeAgent.Engines;
using Federation.NodeAgent.Engines.Builtin;
using Federation.Protocol.OpenAi;
using Federation.Protocol.Verification;
using Federation.Silo.Verification.Inference;
using Microsoft.Extensions.Logging.Abstractions;

namespace Federation.Silo.Tests.Verification.Inference.RealModels;

/// <summary>Audits with real logits: a worker runs one model, sells its answers as the demo model's, and a verifier that has that one scores them.</summary>
internal sealed class ModelAudits : IAsyncDisposable
{
    /// <summary>What every worker says it runs.</summary>
    public const string Genuine = "genuine";

    private static readonly string[] Words = ["apple", "storm", "mirror", "garlic", "silver", "window", "candle", "forest", "button", "harbour", "pencil", "yellow"];

    private readonly string _directory = Directory.CreateTempSubdirectory("model-audits-").FullName;
    private readonly BuiltinEngine _engine;

    /// <param name="genuine">The demo model's file.</param>
    /// <param name="impostor">The worse-trained model's file.</param>
    public ModelAudits(string genuine, string impostor)
    {
        File.Copy(genuine, PathOf(Genuine));
        File.Copy(impostor, PathOf("impostor"));
        var bytes = File.ReadAllBytes(genuine);
        Make("honest", ModelVariant.Noisy(bytes, 3e-4, seed: 1));
        Make("noise", ModelVariant.Noisy(bytes, 0.05, seed: 2));
        foreach (var bits in new[] { 8, 5, 4, 3 }) Make($"q{bits}", ModelVariant.Quantised(bytes, bits));
        _engine = new BuiltinEngine(
            new BuiltinOptions { Directories = [_directory], Slots = 8, LoadedModelsMax = 16 }, TimeProvider.System, new Random(1), NullLogger<BuiltinEngine>.Instance);
    }

    /// <summary>
    /// Models a worker may run. "honest": the same weights with a noise of 3·10^-4, which moves log-probabilities as far as another engine's order of
    /// sums does (llama.cpp is within 2·10^-3 nat of ours). "noise": with 5 %. "q8"…"q3": rounded to so many bits.
    /// </summary>
    public static ImmutableArray<string> Workers { get; } = ["honest", "q8", "q5", "q4", "q3", "noise", "impostor"];

    /// <summary>Has a worker answer until so many tokens have come together, and the verifier score them: one audit.</summary>
    /// <param name="worker">One of <see cref="Workers"/>, or <see cref="Genuine"/>.</param>
    /// <param name="drawing">Greedy, or drawn at temperature 1.</param>
    /// <param name="tokens">At least.</param>
    /// <param name="seed">Of prompts and draws.</param>
    public async Task<AuditedAnswer> AuditAsync(string worker, Drawing drawing, int tokens, int seed)
    {
        var random = new Random(seed);
        var positions = ImmutableArray.CreateBuilder<ScoredPosition>();
        while (positions.Count < tokens)
        {
            var body = new JsonObject
            {
                ["messages"] = new JsonArray(new JsonObject { ["role"] = "user", ["content"] = Prompt(random) }),
                ["temperature"] = drawing == Drawing.Greedy ? 0 : 1,
                ["seed"] = random.Next(),
                ["max_tokens"] = 80,
                ["logprobs"] = true,
            };
            var (text, finish, own) = await AnswerAsync(worker, body.ToJsonString());
            var request = new ScoreRequest { Kind = "chat", Model = Genuine, Request = JsonElement.Parse(body.ToJsonString()), AnswerText = text, FinishReason = finish };
            var scored = await _engine.ScoreAsync(request, CancellationToken.None);
            positions.AddRange(ScoredPosition.Of(scored, text, endIsTheModels: true, own));
        }

        return new AuditedAnswer { Drawing = drawing, Positions = positions.ToImmutable(), FinishReason = "stop", CompletionTokens = positions.Count };
    }

    public async ValueTask DisposeAsync()
    {
        await _engine.DisposeAsync();
        Directory.Delete(_directory, recursive: true);
    }

    /// <summary>Like the model's traffic: what it can do, and now and then what it cannot.</summary>
    private static string Prompt(Random random)
    {
        var word = random.Next(3) > 0 ? Words[random.Next(Words.Length)] : new string([.. Enumerable.Range(0, random.Next(4, 9)).Select(_ => (char)('a' + random.Next(26)))]);
        return random.Next(9) switch
        {
            0 => $"{random.Next(100)}+{random.Next(100)}=",
            1 => $"What is {random.Next(100)} plus {random.Next(100)}?",
            2 => $"{random.Next(100, 1000)}+{random.Next(100, 1000)}=",
            3 => $"Calculate {random.Next(100, 1000)} - {random.Next(100, 1000)}.",
            4 => $"Reverse the word {word}",
            5 => $"capital letters of {word}",
            6 => $"count to {random.Next(5, 20)}",
            7 => $"Repeat the word {word}",
            _ => $"tell me about {word} and {random.Next(1000)}",
        };
    }

    private async Task<(string Text, string Finish, CommittedToken[] Own)> AnswerAsync(string model, string body)
    {
        await using var response = await _engine.SendAsync(new EngineRequest(JobKind.Chat, model, Encoding.UTF8.GetBytes(body), false), CancellationToken.None);
        var choice = (await JsonNode.ParseAsync(response.Body))!["choices"]![0]!;
        var own = choice["logprobs"]!["content"]!.AsArray().Select(token => new CommittedToken(
            token!["bytes"]!.AsArray().Select(value => (byte)value!.GetValue<int>()).ToArray(), LogprobCommitment.ToMilliNats(token["logprob"]!.GetValue<double>()), []));
        return (choice["message"]!["content"]!.GetValue<string>(), choice["finish_reason"]!.GetValue<string>(), [.. LogprobCommitment.InOrder(own)]);
    }

    private string PathOf(string model) => Path.Combine(_directory, $"{model}.gguf");

    private void Make(string model, byte[] gguf) => File.WriteAllBytes(PathOf(model), gguf);
}
