using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Federation.Protocol.OpenAi;

namespace Federation.Protocol.Verification;

/// <summary>Writes and reads what hub and verifier say to each other about a score. What it reads is within bounds, or refused in words.</summary>
public static class ScoreCodec
{
    /// <summary>A request's JSON at most: the largest body a gateway takes by default, and an answer.</summary>
    public const int RequestBytesMax = 16 << 20;

    /// <summary>An answer's JSON at most.</summary>
    public const int AnswerBytesMax = 16 << 20;

    /// <summary>Bytes of UTF-8 in the text to score.</summary>
    public const int TextBytesMax = 1 << 20;

    /// <summary>Positions a probe may be asked for.</summary>
    public const int OffsetsMax = 64;

    /// <summary>Positions an answer may hold.</summary>
    public const int PositionsMax = 1 << 15;

    /// <summary>Likeliest tokens at one position: what engines tell at most.</summary>
    public const int TopMax = 20;

    private const int NameLengthMax = 512;
    private const int TokenBytesMax = 1024;

    /// <summary>A log-probability is at most 0; engines round.</summary>
    private const double LogprobMax = 1e-3;
    private const double LogprobMin = -1e6;

    /// <summary>The request as JSON.</summary>
    public static byte[] Write(ScoreRequest request) => JsonSerializer.SerializeToUtf8Bytes(request, ScoreJson.Default.ScoreRequest);

    /// <summary>The answer as JSON.</summary>
    public static byte[] Write(ScoreAnswer answer) => JsonSerializer.SerializeToUtf8Bytes(answer, ScoreJson.Default.ScoreAnswer);

    /// <summary>Reads a request; false with the reason when it is none, or out of its bounds.</summary>
    public static bool TryRead(ReadOnlySpan<byte> json, [NotNullWhen(true)] out ScoreRequest? request, [NotNullWhen(false)] out string? fault) =>
        TryRead(json, "a score request", RequestBytesMax, ScoreJson.Default.ScoreRequest, Fault, out request, out fault);

    /// <summary>Reads an answer; false with the reason when it is none, or out of its bounds.</summary>
    public static bool TryRead(ReadOnlySpan<byte> json, [NotNullWhen(true)] out ScoreAnswer? answer, [NotNullWhen(false)] out string? fault) =>
        TryRead(json, "a score answer", AnswerBytesMax, ScoreJson.Default.ScoreAnswer, Fault, out answer, out fault);

    private static bool TryRead<T>(
        ReadOnlySpan<byte> json, string what, int bytesMax, JsonTypeInfo<T> type, Func<T, string?> whyNot, [NotNullWhen(true)] out T? message, [NotNullWhen(false)] out string? fault)
        where T : class
    {
        message = null;
        try
        {
            if (json.Length > bytesMax)
            {
                fault = $"it has more than {bytesMax} bytes";
            }
            else if (JsonSerializer.Deserialize(json, type) is not { } read)
            {
                fault = "it is null";
            }
            else if ((fault = whyNot(read)) is null)
            {
                message = read;
                return true;
            }
        }
        catch (Exception e) when (e.IsBadJson() || e is FormatException)
        {
            fault = $"it is not the JSON of {what}";
        }

        return false;
    }

    private static string? Fault(ScoreRequest request)
    {
        if (!JobKinds.TryParse(request.Kind, out var kind) || kind == JobKind.Embedding) return "kind is neither chat nor completion";
        if (request.Model.Length is 0 or > NameLengthMax) return $"model has not 1 to {NameLengthMax} characters";
        if (request.Request.ValueKind != JsonValueKind.Object) return "request is no object";
        if (request.FinishReason.Length > NameLengthMax) return $"finish_reason has more than {NameLengthMax} characters";
        if (request.Top is < 0 or > TopMax) return $"top is not 0 to {TopMax}";
        var bytes = Encoding.UTF8.GetByteCount(request.AnswerText);
        if (bytes > TextBytesMax) return $"answer_text has more than {TextBytesMax} bytes";
        if (request.Offsets is { IsDefault: false } offsets && (offsets.Length > OffsetsMax || !AreAscending(offsets, bytes)))
        {
            return $"offsets are not at most {OffsetsMax} ascending places in the answer";
        }

        return request.Sampler is { } sampler ? Fault(sampler) : null;
    }

    private static string? Fault(ScoreSampler sampler) =>
        sampler is { Temperature: >= 0 and <= 2, TopK: >= 0, TopP: > 0 and <= 1, MinP: >= 0 and <= 1, PresencePenalty: >= -2 and <= 2, FrequencyPenalty: >= -2 and <= 2 }
            ? null
            : "sampler is out of its ranges";

    private static string? Fault(ScoreAnswer answer)
    {
        if (answer.Method is not ("whole" or "probe")) return "method is neither whole nor probe";
        if (answer.ModelDigest.Length > NameLengthMax) return $"model_digest has more than {NameLengthMax} characters";
        if (answer.PromptTokens < 0 || answer.AnswerTokens < 0 || answer.ContextTokens < 0) return "a count is negative";
        if (answer.Positions.IsDefault || answer.Positions.Length > PositionsMax) return $"positions are not 0 to {PositionsMax}";
        var least = 0;
        foreach (var position in answer.Positions)
        {
            if (position is null || Fault(position) is not null) return $"the position after byte {least} is out of its bounds";
            if (position.Offset < least) return "positions are not ascending";
            least = position.Offset;
        }

        return null;
    }

    private static string? Fault(ScorePosition position) =>
        position.Offset is >= 0 and <= TextBytesMax
        && position.Token.Length <= TokenBytesMax
        && position.LikeliestLogprob is null or (>= LogprobMin and <= LogprobMax)
        && (position.Logprob is null) == (position.Rank is null)
        && position.Logprob is null or (>= LogprobMin and <= LogprobMax)
        && position.LogprobAtMost is null or (>= LogprobMin and <= LogprobMax)
        && position.Rank is null or >= 1
        && position.Margin is null or (>= 0 and <= -LogprobMin)
        && (position.Below is null) == (position.Mass is null)
        && IsShare(position.Below) && IsShare(position.Mass) && IsShare(position.EndMass)
        && position.Top.Length <= TopMax
        && position.Top.All(top => top is not null && top.Token.Length <= TokenBytesMax && IsLogprob(top.Logprob))
            ? null
            : "out of bounds";

    private static bool IsLogprob(double value) => value is >= LogprobMin and <= LogprobMax;

    private static bool IsShare(double? value) => value is null or (>= 0 and <= 1.000001);

    private static bool AreAscending(ImmutableArray<int> offsets, int last)
    {
        var before = -1;
        foreach (var offset in offsets)
        {
            if (offset <= before || offset > last) return false;
            before = offset;
        }

        return true;
    }
}
