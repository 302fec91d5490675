using System.Text.Json.Nodes;
using Federation.NodeAgent.Engines;
using Federation.NodeAgent.Engines.Builtin;
using Federation.Protocol.OpenAi;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging.Abstractions;

namespace Federation.EndToEnd.Tests.Harness;

/// <summary>A server that runs the demo model for an agent: honestly, at the speed that a test allows it, until it is told to stop computing.</summary>
internal sealed class ModelEngine(TimeSpan pause) : ModelServer(AgentProcess.Model)
{
    private const string StaleText = "42";

    private readonly BuiltinEngine _model = new(
        new BuiltinOptions { Directories = [Places.Models], Slots = 4, Threads = 1 }, TimeProvider.System, new Random(1), NullLogger<BuiltinEngine>.Instance);

    private volatile bool _computes = true;

    /// <param name="pause">How long it rests before each piece of an answer.</param>
    public static Task<ModelEngine> StartAsync(TimeSpan pause = default) => StartedAsync(new ModelEngine(pause));

    /// <summary>From now on every answer is one that was given before.</summary>
    public void StopComputing() => _computes = false;

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        await _model.DisposeAsync();
    }

    /// <summary>It goes on with an assistant's message at the end.</summary>
    protected override string Owner => "llamacpp";

    protected override async Task AnswerAsync(HttpContext http)
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
            await Task.Delay(pause, http.RequestAborted);
            await http.Response.Body.WriteAsync(piece.AsMemory(0, read), http.RequestAborted);
            await http.Response.Body.FlushAsync(http.RequestAborted);
        }
    }
}
