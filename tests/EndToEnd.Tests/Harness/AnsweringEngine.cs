using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Federation.EndToEnd.Tests.Harness;

/// <summary>A server that speaks OpenAI's API to an agent and answers whatever it is asked with what the test made up: a worker that lies.</summary>
internal sealed class AnsweringEngine : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly string _model;
    private readonly Func<string, (string Text, int Tokens)> _answer;

    private AnsweringEngine(WebApplication app, string model, Func<string, (string Text, int Tokens)> answer) => (_app, _model, _answer) = (app, model, answer);

    /// <summary>What an agent's configuration calls its URL.</summary>
    public string Url => $"{_app.Urls.Single()}/v1";

    /// <param name="model">What it claims to run.</param>
    /// <param name="answer">The text, and the tokens it claims, for the last message.</param>
    public static async Task<AnsweringEngine> StartAsync(string model, Func<string, (string Text, int Tokens)> answer)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        var engine = new AnsweringEngine(builder.Build(), model, answer);
        engine._app.MapGet("/v1/models", () => Results.Text(
            new JsonObject { ["object"] = "list", ["data"] = new JsonArray(new JsonObject { ["id"] = model, ["object"] = "model", ["created"] = 1, ["owned_by"] = "test" }) }.ToJsonString(), "application/json"));
        engine._app.MapPost("/v1/chat/completions", engine.AnswerAsync);
        await engine._app.StartAsync();
        return engine;
    }

    public async ValueTask DisposeAsync()
    {
        using var impatience = new CancellationTokenSource(TimeSpan.Zero);
        await _app.StopAsync(impatience.Token);
        await _app.DisposeAsync();
    }

    private async Task AnswerAsync(HttpContext http)
    {
        var request = (await JsonNode.ParseAsync(http.Request.Body))!;
        var (text, tokens) = _answer(request["messages"]!.AsArray().Last()!["content"]!.ToString());
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
        ["model"] = _model,
        ["choices"] = usage is not null && part == "delta"
            ? new JsonArray()
            : new JsonArray(new JsonObject { ["index"] = 0, [part] = new JsonObject { ["role"] = "assistant", ["content"] = text }, ["finish_reason"] = finishReason }),
        ["usage"] = usage,
    }.ToJsonString();
}
