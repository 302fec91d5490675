using System.Text.Json.Nodes;
using Federation.NodeAgent.Engines;
using Federation.NodeAgent.Engines.Builtin;
using Federation.Protocol.OpenAi;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Federation.EndToEnd.Tests.Harness;

/// <summary>A server that runs the demo model for an agent: honestly, at the speed that a test allows it, until it is told to stop computing.</summary>
internal sealed class ModelEngine : IAsyncDisposable
{
    private const string StaleText = "42";

    private readonly WebApplication _app;
    private readonly BuiltinEngine _model = new(
        new BuiltinOptions { Directories = [Places.Models], Slots = 4, Threads = 1 }, TimeProvider.System, new Random(1), NullLogger<BuiltinEngine>.Instance);

    private readonly TimeSpan _pause;
    private volatile bool _computes = true;

    private ModelEngine(WebApplication app, TimeSpan pause) => (_app, _pause) = (app, pause);

    /// <summary>What an agent's configuration calls its URL.</summary>
    public string Url => $"{_app.Urls.Single()}/v1";

    /// <param name="pause">How long it rests before each piece of an answer.</param>
    public static async Task<ModelEngine> StartAsync(TimeSpan pause = default)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        var engine = new ModelEngine(builder.Build(), pause);
        engine._app.MapGet("/v1/models", () => Results.Text(
            new JsonObject { ["object"] = "list", ["data"] = new JsonArray(new JsonObject { ["id"] = AgentProcess.Model, ["object"] = "model", ["created"] = 1, ["owned_by"] = "test" }) }.ToJsonString(),
            "application/json"));
        engine._app.MapPost("/v1/chat/completions", engine.AnswerAsync);
        await engine._app.StartAsync();
        return engine;
    }

    /// <summary>From now on every answer is one that was given before.</summary>
    public void StopComputing() => _computes = false;

    public async ValueTask DisposeAsync()
    {
        using var impatience = new CancellationTokenSource(TimeSpan.Zero);
        await _app.StopAsync(impatience.Token);
        await _app.DisposeAsync();
        await _model.DisposeAsync();
    }

    private async Task AnswerAsync(HttpContext http)
    {
        using var body = new MemoryStream();
        await http.Request.Body.CopyToAsync(body);
        var stream = JsonNode.Parse(body.ToArray())!["stream"]?.GetValue<bool>() is true;
        if (!_computes)
        {
            http.Response.ContentType = stream ? "text/event-stream" : "application/json";
            await http.Response.Body.WriteAsync(stream ? [.. Chats.Piece(StaleText), .. Chats.End()] : Chats.Whole(StaleText, 12, 3));
            return;
        }
        await using var answer = await _model.SendAsync(new EngineRequest(JobKind.Chat, AgentProcess.Model, body.ToArray(), stream), http.RequestAborted);
        http.Response.StatusCode = answer.Status;
        http.Response.ContentType = answer.ContentType;
        var piece = new byte[256];
        while (await answer.Body.ReadAsync(piece, http.RequestAborted) is > 0 and var read)
        {
            await Task.Delay(_pause, http.RequestAborted);
            await http.Response.Body.WriteAsync(piece.AsMemory(0, read), http.RequestAborted);
            await http.Response.Body.FlushAsync(http.RequestAborted);
        }
    }
}
