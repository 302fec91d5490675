using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;

namespace Federation.EndToEnd.Tests.Harness;

/// <summary>A server that speaks OpenAI's API to an agent and answers whatever it is asked with what the test made up: a worker that lies.</summary>
internal sealed class AnsweringEngine(string model, Func<string, (string Text, int Tokens)> answer) : ModelServer(model)
{
    /// <param name="model">What it claims to run.</param>
    /// <param name="answer">The text, and the tokens it claims, for the last message.</param>
    public static Task<AnsweringEngine> StartAsync(string model, Func<string, (string Text, int Tokens)> answer) => StartedAsync(new AnsweringEngine(model, answer));

    protected override async Task AnswerAsync(HttpContext http)
    {
        var request = (await JsonNode.ParseAsync(http.Request.Body))!;
        var (text, tokens) = answer(request["messages"]!.AsArray().Last()!["content"]!.ToString());
        var usage = new JsonObject { ["prompt_tokens"] = 12, ["completion_tokens"] = tokens, ["total_tokens"] = 12 + tokens };
        if (request["stream"]?.GetValue<bool>() is true)
        {
            http.Response.ContentType = "text/event-stream";
            await http.Response.WriteAsync($"data: {Chunk("delta", text, "stop", null)}\n\ndata: {Chunk("delta", string.Empty, null, usage)}\n\ndata: [DONE]\n\n");
            return;
        }
        http.Response.ContentType = "application/json";
        await http.Response.WriteAsync(Chunk("message", text, "stop", usage));
    }

    private string Chunk(string part, string text, string? finishReason, JsonNode? usage) => new JsonObject
    {
        ["id"] = "chatcmpl-1",
        ["object"] = part == "delta" ? "chat.completion.chunk" : "chat.completion",
        ["created"] = 1,
        ["model"] = Model,
        ["choices"] = usage is not null && part == "delta"
            ? new JsonArray()
            : new JsonArray(new JsonObject { ["index"] = 0, [part] = new JsonObject { ["role"] = "assistant", ["content"] = text }, ["finish_reason"] = finishReason }),
        ["usage"] = usage,
    }.ToJsonString();
}
