using System.Collections.Concurrent;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;

namespace Federation.EndToEnd.Tests.Harness;

/// <summary>
/// A server that speaks OpenAI's API to an agent as real engines do: it streams texts and the arguments of tool calls in small pieces, tells usage at the end when asked, and answers what the test makes
/// of each request.
/// </summary>
internal sealed class ReplyingEngine(string model, Func<JsonNode, JsonObject> reply) : ModelServer(model)
{
    private const int PieceLength = 3;

    /// <summary>The requests that came, the first first.</summary>
    public ConcurrentQueue<JsonNode> Requests { get; } = new();

    /// <param name="model">What it claims to run.</param>
    /// <param name="reply">The assistant's message: <c>content</c>, <c>tool_calls</c>, <c>reasoning_content</c>.</param>
    public static Task<ReplyingEngine> StartAsync(string model, Func<JsonNode, JsonObject> reply) => StartedAsync(new ReplyingEngine(model, reply));

    /// <summary>A call of a tool, as the reply of an engine.</summary>
    public static JsonObject Call(string name, string arguments) => new()
    {
        ["content"] = null,
        ["tool_calls"] = new JsonArray(new JsonObject
        {
            ["id"] = "call_1",
            ["type"] = "function",
            ["function"] = new JsonObject { ["name"] = name, ["arguments"] = arguments },
        }),
    };

    protected override async Task AnswerAsync(HttpContext http)
    {
        var request = (await JsonNode.ParseAsync(http.Request.Body))!;
        Requests.Enqueue(request);
        var message = reply(request);
        var finish = message["tool_calls"] is null ? "stop" : "tool_calls";
        if (request["stream"]?.GetValue<bool>() is not true)
        {
            message["role"] = "assistant";
            http.Response.ContentType = "application/json";
            await http.Response.WriteAsync(Body("chat.completion", new JsonObject { ["index"] = 0, ["message"] = message.DeepClone(), ["finish_reason"] = finish }, Usage()));
            return;
        }
        http.Response.ContentType = "text/event-stream";
        foreach (var delta in Deltas(message)) await SendAsync(http, Body("chat.completion.chunk", Choice(delta, null), null));
        await SendAsync(http, Body("chat.completion.chunk", Choice([], finish), null));
        if (request["stream_options"]?["include_usage"]?.GetValue<bool>() is true) await SendAsync(http, Body("chat.completion.chunk", null, Usage()));
        await SendAsync(http, "[DONE]");
    }

    private static IEnumerable<JsonObject> Deltas(JsonObject message)
    {
        yield return new JsonObject { ["role"] = "assistant", ["content"] = string.Empty };
        foreach (var piece in Pieces(message["reasoning_content"]?.ToString())) yield return new JsonObject { ["reasoning_content"] = piece };
        foreach (var piece in Pieces(message["content"]?.ToString())) yield return new JsonObject { ["content"] = piece };
        var calls = message["tool_calls"]?.AsArray() ?? [];
        for (var i = 0; i < calls.Count; i++)
        {
            var (id, function) = (calls[i]!["id"]!.ToString(), calls[i]!["function"]!);
            yield return Call(new JsonObject { ["index"] = i, ["id"] = id, ["type"] = "function", ["function"] = new JsonObject { ["name"] = function["name"]!.ToString(), ["arguments"] = string.Empty } });
            foreach (var piece in Pieces(function["arguments"]!.ToString())) yield return Call(new JsonObject { ["index"] = i, ["function"] = new JsonObject { ["arguments"] = piece } });
        }

        static JsonObject Call(JsonObject call) => new() { ["tool_calls"] = new JsonArray(call) };
    }

    private static IEnumerable<string> Pieces(string? text) => (text ?? string.Empty).Chunk(PieceLength).Select(piece => new string(piece));

    private static JsonObject Choice(JsonObject delta, string? finish) => new() { ["index"] = 0, ["delta"] = delta, ["finish_reason"] = finish };

    private static JsonObject Usage() => new() { ["prompt_tokens"] = 7, ["completion_tokens"] = 5, ["total_tokens"] = 12 };

    private static async Task SendAsync(HttpContext http, string data)
    {
        await http.Response.WriteAsync($"data: {data}\n\n");
        await http.Response.Body.FlushAsync();
    }

    private string Body(string kind, JsonObject? choice, JsonObject? usage) => new JsonObject
    {
        ["id"] = "chatcmpl-1",
        ["object"] = kind,
        ["created"] = 1,
        ["model"] = Model,
        ["choices"] = choice is null ? new JsonArray() : new JsonArray(choice),
        ["usage"] = usage,
    }.ToJsonString();
}
