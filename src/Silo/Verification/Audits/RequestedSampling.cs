using System.Text;
using System.Text.Json;
using Federation.Protocol.OpenAi;
using Federation.Silo.Verification.Inference;

namespace Federation.Silo.Verification.Audits;

/// <summary>How a request asked for its tokens to be chosen, as far as an audit must know.</summary>
/// <param name="Drawing">Greedy, drawn, or bound to a grammar.</param>
/// <param name="CompletionTokensMax">The request's limit; <see langword="null"/>: none.</param>
/// <param name="HasStop">A stop text may have ended the answer in the model's place.</param>
internal sealed record RequestedSampling(Drawing Drawing, long? CompletionTokensMax, bool HasStop)
{
    /// <summary>Reads a body that an engine has answered; what it does not say is OpenAI's default.</summary>
    public static RequestedSampling Of(JobKind kind, JsonElement body)
    {
        var temperature = Number(body, "temperature") ?? 1;
        return new RequestedSampling(
            IsConstrained(body) ? Drawing.Constrained : temperature == 0 ? Drawing.Greedy : Drawing.Sampled,
            (long?)(kind is JobKind.Chat ? Number(body, "max_completion_tokens") ?? Number(body, "max_tokens") : Number(body, "max_tokens")),
            Has(body, "stop"));
    }

    private static bool IsConstrained(JsonElement body)
        => Has(body, "tools") || Has(body, "functions") || Has(body, "grammar") || Has(body, "logit_bias")
            || (body.TryGetProperty("response_format", out var format) && format.ValueKind is JsonValueKind.Object && format.TryGetProperty("type", out var type) && !type.ValueEquals("text"));

    /// <summary>Bytes of the longest stop text of a body; 0 where there is none.</summary>
    public static int StopBytes(JsonElement body) => !body.TryGetProperty("stop", out var stop) ? 0 : stop.ValueKind switch
    {
        JsonValueKind.String => Encoding.UTF8.GetByteCount(stop.GetString()!),
        JsonValueKind.Array => stop.EnumerateArray().Where(static text => text.ValueKind is JsonValueKind.String).Select(static text => Encoding.UTF8.GetByteCount(text.GetString()!)).DefaultIfEmpty().Max(),
        _ => 0,
    };

    /// <summary>Whether a field says anything.</summary>
    internal static bool Has(JsonElement body, string name) => body.TryGetProperty(name, out var value) && value.ValueKind switch
    {
        JsonValueKind.Null => false,
        JsonValueKind.Array => value.GetArrayLength() > 0,
        _ => true,
    };

    /// <summary>A field's number; null when it has none.</summary>
    internal static double? Number(JsonElement body, string name)
        => body.TryGetProperty(name, out var value) && value.ValueKind is JsonValueKind.Number && value.TryGetDouble(out var number) ? number : null;
}
