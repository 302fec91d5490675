using System.Collections.Frozen;
using System.Text.Json;
using Federation.Protocol.OpenAi;
using Federation.Silo.Verification.Audits;

namespace Federation.Silo.Gateway.Rescue;

/// <summary>Whether an answer to a request can be gone on with in its middle.</summary>
/// <param name="MayGoOn">It is one text, of which any beginning is a beginning: no grammar, no tools, no log-probabilities, no several answers.</param>
/// <param name="TokensMax">The request's limit of tokens; <see langword="null"/>: none.</param>
internal sealed record RescueTerms(bool MayGoOn, long? TokensMax)
{
    /// <summary>Fields that bind the text to a form whose beginning an engine would not know again, or that ask for more than text.</summary>
    private static readonly FrozenSet<string> Binding = FrozenSet.Create(
        StringComparer.Ordinal,
        "tools", "functions", "grammar", "json_schema", "guided_json", "guided_regex", "guided_choice", "guided_grammar", "structured_outputs", "format", "suffix", "audio", "continue_final_message", Continuation.Field);

    /// <summary>Reads an OpenAI body that a gateway has taken.</summary>
    public static RescueTerms Of(JobKind kind, ReadOnlyMemory<byte> body)
    {
        using var json = JsonDocument.Parse(body);
        var root = json.RootElement;
        var asked = kind is JobKind.Chat ? RequestedSampling.Number(root, "max_completion_tokens") ?? RequestedSampling.Number(root, "max_tokens") : RequestedSampling.Number(root, "max_tokens");
        long? limit = asked is { } number ? (long)Math.Clamp(number, 0, int.MaxValue) : null;
        return new RescueTerms(MayGo(kind, root, limit), limit);
    }

    private static bool MayGo(JobKind kind, JsonElement body, long? limit)
    {
        if (Binding.Any(name => RequestedSampling.Has(body, name)) || RequestedSampling.Number(body, "n") > 1 || RequestedSampling.Number(body, "best_of") > 1 || RequestedSampling.Number(body, "top_logprobs") > 0) return false;
        if (IsSet(body, "echo") || IsSet(body, "logprobs")) return false;
        if (body.TryGetProperty("response_format", out var format) && format.ValueKind is JsonValueKind.Object && !(format.TryGetProperty("type", out var type) && type.ValueKind is JsonValueKind.String && type.ValueEquals("text"))) return false;
        return kind switch
        {
            // Engines differ in what they make of an assistant's message at the end.
            JobKind.Chat => body.TryGetProperty("messages", out var messages) && messages.ValueKind is JsonValueKind.Array && messages.GetArrayLength() > 0 && !IsAssistants(messages[messages.GetArrayLength() - 1]),
            // They differ in the limit of a completion that names none, too.
            JobKind.Completion => limit is not null && body.TryGetProperty("prompt", out var prompt) && prompt.ValueKind is JsonValueKind.String,
            _ => false,
        };
    }

    private static bool IsSet(JsonElement body, string name) => body.TryGetProperty(name, out var value) && value.ValueKind is not (JsonValueKind.False or JsonValueKind.Null);

    private static bool IsAssistants(JsonElement message)
        => message.ValueKind is JsonValueKind.Object && message.TryGetProperty("role", out var role) && role.ValueKind is JsonValueKind.String && role.ValueEquals("assistant");
}
