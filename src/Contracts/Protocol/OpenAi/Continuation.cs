using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Federation.Protocol.OpenAi;

/// <summary>
/// How one node is asked to go on with an answer that another one began. The request stays the client's, with one field more that holds what was said so far; an engine of ours reads it, for any other
/// the agent says the same in the engine's own words. What is hashed, signed and audited is the body with this field.
/// </summary>
public static class Continuation
{
    /// <summary>The field: an array of the texts that have reached the client, in the pieces in which they came, which are a token each where the engine streams tokens.</summary>
    public const string Field = "federation_continues";

    private static readonly JsonWriterOptions Relaxed = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>The client's request, to be answered from where the answer has come to.</summary>
    /// <param name="body">The client's: a JSON object.</param>
    /// <param name="said">What it has of the answer.</param>
    /// <param name="tokens">Of that: so many fewer are left of the request's limit, at least one.</param>
    public static byte[] Ask(ReadOnlyMemory<byte> body, IEnumerable<string> said, long tokens)
    {
        using var document = JsonDocument.Parse(body);
        return Write(document.RootElement, (json, field) =>
        {
            if (field.Name is "max_tokens" or "max_completion_tokens" && field.Value.ValueKind is JsonValueKind.Number && field.Value.TryGetInt64(out var limit))
            {
                json.WriteNumber(field.Name, Math.Max(1, limit - tokens));
                return true;
            }

            return false;
        }, json =>
        {
            json.WriteStartArray(Field);
            foreach (var piece in said)
            {
                json.WriteStringValue(piece);
            }

            json.WriteEndArray();
        });
    }

    /// <summary>Whether a body may be one; a cheap look, for what is asked of an engine with every request.</summary>
    public static bool IsLikely(ReadOnlySpan<byte> body) => body.IndexOf("\"federation_continues\""u8) >= 0;

    /// <summary>What was said so far, in one text; <see langword="null"/> for a request that goes on with nothing.</summary>
    public static string? TextOf(JsonElement body) => PiecesOf(body) is { } pieces ? string.Concat(pieces) : null;

    /// <summary>What was said so far; <see langword="null"/> for a request that goes on with nothing, or whose field is not an array of texts.</summary>
    public static IReadOnlyList<string>? PiecesOf(JsonElement body)
    {
        if (body.ValueKind is not JsonValueKind.Object || !body.TryGetProperty(Field, out var said) || said.ValueKind is not JsonValueKind.Array)
        {
            return null;
        }

        var pieces = new List<string>(said.GetArrayLength());
        foreach (var piece in said.EnumerateArray())
        {
            if (piece.ValueKind is not JsonValueKind.String)
            {
                return null;
            }

            pieces.Add(piece.GetString()!);
        }

        return pieces;
    }

    /// <summary>
    /// The same in words that other engines understand: a chat ends with the assistant's message so far, which llama-server and Ollama go on with by themselves and vLLM when told to; a completion's
    /// prompt ends with the text so far. A body that continues nothing, or nothing readable, stays as it is.
    /// </summary>
    public static ReadOnlyMemory<byte> Spell(ReadOnlyMemory<byte> body, JobKind kind)
    {
        if (!IsLikely(body.Span))
        {
            return body;
        }

        try
        {
            using var document = JsonDocument.Parse(body);
            return TextOf(document.RootElement) is { } text
                ? Write(document.RootElement, (json, field) => field.Name is Field || (kind is JobKind.Chat ? TryMessages(json, field, text) : TryPrompt(json, field, text)), json =>
                {
                    if (kind is JobKind.Chat)
                    {
                        json.WriteBoolean("continue_final_message", true);
                        json.WriteBoolean("add_generation_prompt", false);
                    }
                })
                : body;
        }
        catch (Exception e) when (e.IsBadJson())
        {
            // What is wrong with it the engine will say.
            return body;
        }
    }

    private static bool TryMessages(Utf8JsonWriter json, JsonProperty field, string text)
    {
        if (field.Name is not "messages" || field.Value.ValueKind is not JsonValueKind.Array)
        {
            return false;
        }

        json.WriteStartArray(field.Name);
        foreach (var message in field.Value.EnumerateArray())
        {
            message.WriteTo(json);
        }

        json.WriteStartObject();
        json.WriteString("role", "assistant");
        json.WriteString("content", text);
        json.WriteEndObject();
        json.WriteEndArray();
        return true;
    }

    private static bool TryPrompt(Utf8JsonWriter json, JsonProperty field, string text)
    {
        if (field.Name is not "prompt" || field.Value.ValueKind is not JsonValueKind.String)
        {
            return false;
        }

        json.WriteString(field.Name, field.Value.GetString() + text);
        return true;
    }

    /// <summary>Writes a body anew: a field is left to <paramref name="replace"/> if that takes it, and <paramref name="add"/> writes what comes behind.</summary>
    private static byte[] Write(JsonElement body, Func<Utf8JsonWriter, JsonProperty, bool> replace, Action<Utf8JsonWriter> add)
    {
        var written = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(written, Relaxed))
        {
            json.WriteStartObject();
            foreach (var field in body.EnumerateObject())
            {
                if (!replace(json, field))
                {
                    field.WriteTo(json);
                }
            }

            add(json);
            json.WriteEndObject();
        }

        return written.WrittenSpan.ToArray();
    }
}
