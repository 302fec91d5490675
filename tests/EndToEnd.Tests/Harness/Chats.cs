using System.Text;
using System.Text.Json.Nodes;

namespace Federation.EndToEnd.Tests.Harness;

/// <summary>OpenAI's JSON, as clients write it and engines answer it.</summary>
internal static class Chats
{
    /// <summary>A client's question.</summary>
    public static string Question(string model, string question, bool stream, bool includeUsage = false)
    {
        var body = new JsonObject
        {
            ["model"] = model,
            ["messages"] = new JsonArray(new JsonObject { ["role"] = "user", ["content"] = question }),
            ["temperature"] = 0,
        };
        if (stream) body["stream"] = true;
        if (includeUsage) body["stream_options"] = new JsonObject { ["include_usage"] = true };
        return body.ToJsonString();
    }

    /// <summary>The text in one event of a stream.</summary>
    public static string Delta(string data)
    {
        var json = JsonNode.Parse(data)!;
        Assert.Null(json["error"]);
        return json["choices"]!.AsArray().FirstOrDefault()?["delta"]?["content"]?.ToString() ?? string.Empty;
    }

    /// <summary>An engine's event with a piece of text.</summary>
    public static byte[] Piece(string text) => Event(new JsonObject { ["content"] = text }, null);

    /// <summary>An engine's last events: the reason, the usage if asked for, and the mark of the end.</summary>
    public static byte[] End() => [.. Event([], "stop"), .. "data: [DONE]\n\n"u8];

    /// <summary>An engine's answer that is not streamed.</summary>
    public static byte[] Whole(string text, int promptTokens, int completionTokens) => Encoding.UTF8.GetBytes(new JsonObject
    {
        ["id"] = "chatcmpl-fake",
        ["object"] = "chat.completion",
        ["created"] = 1,
        ["model"] = "fake",
        ["choices"] = new JsonArray(new JsonObject
        {
            ["index"] = 0,
            ["message"] = new JsonObject { ["role"] = "assistant", ["content"] = text },
            ["finish_reason"] = "stop",
        }),
        ["usage"] = new JsonObject { ["prompt_tokens"] = promptTokens, ["completion_tokens"] = completionTokens, ["total_tokens"] = promptTokens + completionTokens },
    }.ToJsonString());

    private static byte[] Event(JsonObject delta, string? reason) => Encoding.UTF8.GetBytes($"data: {new JsonObject
    {
        ["id"] = "chatcmpl-fake",
        ["object"] = "chat.completion.chunk",
        ["created"] = 1,
        ["model"] = "fake",
        ["choices"] = new JsonArray(new JsonObject { ["index"] = 0, ["delta"] = delta, ["finish_reason"] = reason }),
    }.ToJsonString()}\n\n");
}
