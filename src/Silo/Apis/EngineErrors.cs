using System.Text.Json;
using Federation.Silo.Gateway;

namespace Federation.Silo.Apis;

/// <summary>Reads an engine's own words about what went wrong, so that they can be said in another API's shape.</summary>
internal static class EngineErrors
{
    private const int WordsMax = 2048;

    /// <summary>The engine answered with something that is no answer.</summary>
    public static OpenAiError Unreadable() => new(StatusCodes.Status502BadGateway, "server_error", "bad_answer", "The engine's answer could not be read.");

    /// <summary>The error in an engine's whole answer.</summary>
    /// <param name="status">The engine's HTTP status.</param>
    /// <param name="body">Its bytes.</param>
    public static OpenAiError Read(int status, ReadOnlyMemory<byte> body)
    {
        try
        {
            using var document = JsonDocument.Parse(body);
            if (document.RootElement.ValueKind is JsonValueKind.Object && Find(document.RootElement, status) is { } error) return error;
        }
        catch (JsonException)
        {
            // No words, then: the status says what there is to say.
        }
        return new OpenAiError(status, status < 500 ? "invalid_request_error" : "server_error", null, $"The engine refused the request with status {status}.");
    }

    /// <summary>The error in an answer or an event; null where there is none.</summary>
    public static OpenAiError? Find(JsonElement root, int status)
    {
        if (!root.TryGetProperty("error", out var error) || error.ValueKind is JsonValueKind.Null) return null;
        return error.ValueKind is JsonValueKind.Object
            ? new OpenAiError(status, Text(error, "type") ?? "server_error", Text(error, "code"), Text(error, "message") ?? "The engine failed.", Text(error, "param"))
            : new OpenAiError(status, "server_error", null, error.ValueKind is JsonValueKind.String ? Text(root, "error")! : "The engine failed.");
    }

    private static string? Text(JsonElement json, string name)
    {
        if (!json.TryGetProperty(name, out var value) || value.ValueKind is not JsonValueKind.String) return null;
        var text = new StreamedText();
        var words = text.Add(value) + text.End();
        return words.Length <= WordsMax ? words : string.Concat(words.AsSpan(0, char.IsHighSurrogate(words[WordsMax - 1]) ? WordsMax - 1 : WordsMax), "…");
    }
}
