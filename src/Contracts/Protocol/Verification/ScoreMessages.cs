using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Federation.Protocol.Verification;

/// <summary>
/// Asks a verifier how likely its model finds an answer that another node gave: everywhere, or at some positions. JSON, the body of a lease
/// of kind "score"; see <see cref="ScoreCodec"/> for its bounds.
/// </summary>
public sealed record ScoreRequest
{
    /// <summary>"chat" or "completion".</summary>
    public required string Kind { get; init; }

    /// <summary>What the verifier's engine calls the model.</summary>
    public required string Model { get; init; }

    /// <summary>The OpenAI body that the worker answered, as the client sent it.</summary>
    public required JsonElement Request { get; init; }

    /// <summary>The answer's text.</summary>
    public required string AnswerText { get; init; }

    /// <summary>Why the answer ended: "stop" (the end is then scored too), "length", or another word of the engine's.</summary>
    public required string FinishReason { get; init; }

    /// <summary>
    /// Where the tokens to score begin: bytes of UTF-8 into the answer, ascending, and the answer's length for its end. Null or empty: all
    /// tokens, which only an engine that scores whole texts can do.
    /// </summary>
    public ImmutableArray<int>? Offsets { get; init; }

    /// <summary>How the worker drew its tokens, where that is not what the body says by the builtin engine's defaults.</summary>
    public ScoreSampler? Sampler { get; init; }

    /// <summary>Likeliest tokens wanted at each place, 0 to 20; they are kept as evidence. Default none.</summary>
    public int Top { get; init; }
}

/// <summary>How tokens were drawn. The names and neutral values are those of OpenAI's fields.</summary>
/// <param name="Temperature">0 to 2; 0: always the likeliest.</param>
/// <param name="TopK">Only this many of the likeliest; 0: all.</param>
/// <param name="TopP">Only the likeliest that together have this probability, above 0 to 1.</param>
/// <param name="MinP">Only those with at least this share of the likeliest one's probability, 0 to 1.</param>
/// <param name="PresencePenalty">-2 to 2.</param>
/// <param name="FrequencyPenalty">-2 to 2.</param>
public sealed record ScoreSampler(double Temperature, int TopK = 0, double TopP = 1, double MinP = 0, double PresencePenalty = 0, double FrequencyPenalty = 0);

/// <summary>What a verifier found. JSON, the answer of a lease of kind "score".</summary>
public sealed record ScoreAnswer
{
    /// <summary>"whole": the text was read as one and every token scored. "probe": one short generation for each position.</summary>
    public required string Method { get; init; }

    /// <summary>"sha256:…" of the weights that judged; empty where the engine does not tell.</summary>
    public required string ModelDigest { get; init; }

    /// <summary>Tokens of the prompt; null where the engine does not tell.</summary>
    public int? PromptTokens { get; init; }

    /// <summary>Tokens of the answer in the verifier's own cut, the end token with them; null for probes.</summary>
    public int? AnswerTokens { get; init; }

    /// <summary>Tokens the model's context holds; null where the engine does not tell.</summary>
    public int? ContextTokens { get; init; }

    /// <summary>In the order of the answer.</summary>
    public required ImmutableArray<ScorePosition> Positions { get; init; }
}

/// <summary>One position of a scored answer. Log-probabilities are natural, of the model's own logits before any sampling.</summary>
public sealed record ScorePosition
{
    /// <summary>Where the token begins, bytes of UTF-8 into the answer.</summary>
    public required int Offset { get; init; }

    /// <summary>The answer's token; empty for its end, and where a probe listed no token that the text goes on with.</summary>
    public ReadOnlyMemory<byte> Token { get; init; }

    /// <summary>This is the answer's end: the token that ended it is what is scored.</summary>
    public bool IsEnd { get; init; }

    /// <summary>Of the answer's token; null when the token is not among those a probe lists.</summary>
    public double? Logprob { get; init; }

    /// <summary>1 for the likeliest; null as <see cref="Logprob"/>.</summary>
    public int? Rank { get; init; }

    /// <summary>Where the token is not listed: it is no likelier than this, the least likely listed one. Null otherwise.</summary>
    public double? LogprobAtMost { get; init; }

    /// <summary>Of the likeliest token; null where a probe ended at once and told nothing else.</summary>
    public double? LikeliestLogprob { get; init; }

    /// <summary>The model would rather have ended here.</summary>
    public bool LikeliestIsEnd { get; init; }

    /// <summary>
    /// How far below the sampler's first choice the answer's token is, logits after penalties; 0 when it is the first choice. Null: not known,
    /// and then the log-probabilities above decide.
    /// </summary>
    public double? Margin { get; init; }

    /// <summary>Probability, under the sampler's distribution, of the tokens that are likelier than the answer's. Null: not known.</summary>
    public double? Below { get; init; }

    /// <summary>Probability of the answer's token under the sampler's distribution; of all unlisted ones together for one of them. Null as <see cref="Below"/>.</summary>
    public double? Mass { get; init; }

    /// <summary>Probability of ending here under the sampler's distribution. Null: not known.</summary>
    public double? EndMass { get; init; }

    /// <summary>The likeliest tokens, best first; as many as were asked for and are known.</summary>
    public ImmutableArray<ScoreAlternative> Top { get => field.IsDefault ? [] : field; init; }
}

/// <summary>A token that could have stood at a place.</summary>
/// <param name="Token">What it adds to the text; empty for an end or control token.</param>
/// <param name="Logprob">Natural logarithm of its probability.</param>
public sealed record ScoreAlternative(ReadOnlyMemory<byte> Token, double Logprob);

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    RespectNullableAnnotations = true,
    MaxDepth = 64)]
[JsonSerializable(typeof(ScoreRequest))]
[JsonSerializable(typeof(ScoreAnswer))]
internal sealed partial class ScoreJson : JsonSerializerContext;
