using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Json.Serialization;
using Federation.Protocol.Challenges;

namespace Federation.Silo.Verification.Challenges;

/// <summary>What stays on record of a challenge.</summary>
internal sealed record ChallengeEvidence(string Challenge, ChallengeOutcome Outcome, string Sentence, long ElapsedMicroseconds, long PerSecond, ImmutableArray<string> Messages)
{
    /// <summary>How it went; of a fraud also the messages as they travelled, so that anybody can come to the verdict again.</summary>
    public static string JsonOf(ChallengeVerdict verdict) => JsonSerializer.Serialize(
        new ChallengeEvidence(
            verdict.Result.Id.ToString(),
            verdict.Outcome,
            verdict.Result.Sentence,
            verdict.Result.ElapsedMicroseconds,
            verdict.Result.PerSecond,
            verdict.IsFraud ? [.. verdict.Evidence.Select(message => Convert.ToBase64String(message.Span))] : []),
        ChallengeJson.Default.ChallengeEvidence);
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, UseStringEnumConverter = true)]
[JsonSerializable(typeof(ChallengeEvidence))]
internal sealed partial class ChallengeJson : JsonSerializerContext;
