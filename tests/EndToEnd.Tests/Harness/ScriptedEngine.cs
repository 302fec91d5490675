using System.Text.Json.Nodes;
using System.Threading.Channels;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Federation.EndToEnd.Tests.Harness;

/// <summary>A server that speaks OpenAI's API to an agent and answers when and how the test says.</summary>
internal sealed class ScriptedEngine : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly Channel<ScriptedAnswer> _asked = Channel.CreateUnbounded<ScriptedAnswer>();

    private ScriptedEngine(WebApplication app) => _app = app;

    /// <summary>What an agent's configuration calls its URL.</summary>
    public string Url => $"{_app.Urls.Single()}/v1";

    public static async Task<ScriptedEngine> StartAsync(string model)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        var engine = new ScriptedEngine(builder.Build());
        engine._app.MapGet("/v1/models", () => Results.Text(new JsonObject
        {
            ["object"] = "list",
            ["data"] = new JsonArray(new JsonObject { ["id"] = model, ["object"] = "model", ["created"] = 1, ["owned_by"] = "test" }),
        }.ToJsonString(), "application/json"));
        engine._app.MapPost("/v1/chat/completions", engine.TakeAsync);
        await engine._app.StartAsync();
        return engine;
    }

    /// <summary>The next request that an agent sent.</summary>
    public Task<ScriptedAnswer> NextAsync() => _asked.Reader.ReadAsync().AsTask().Soon("a request to the engine");

    public async ValueTask DisposeAsync()
    {
        using var impatience = new CancellationTokenSource(TimeSpan.Zero);
        await _app.StopAsync(impatience.Token);
        await _app.DisposeAsync();
    }

    private async Task TakeAsync(HttpContext http)
    {
        var answer = new ScriptedAnswer(http);
        _asked.Writer.TryWrite(answer);
        await answer.Finished.Task.WaitAsync(http.RequestAborted).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }
}

/// <summary>One request to a <see cref="ScriptedEngine"/>, to be answered by the test.</summary>
internal sealed class ScriptedAnswer
{
    private readonly HttpContext _http;
    private readonly TaskCompletionSource _gone = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public ScriptedAnswer(HttpContext http)
    {
        _http = http;
        http.RequestAborted.Register(() => _gone.TrySetResult());
    }

    public TaskCompletionSource Finished { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>The agent hung up: the engine would stop its work here.</summary>
    public Task GoneAsync() => _gone.Task.Soon("the agent to stop the engine's work");

    /// <summary>Begins a stream, or goes on with it.</summary>
    public async Task WriteAsync(string text)
    {
        if (!_http.Response.HasStarted) _http.Response.ContentType = "text/event-stream";
        await _http.Response.Body.WriteAsync(Chats.Piece(text));
        await _http.Response.Body.FlushAsync();
    }

    /// <summary>Ends a stream as it should end.</summary>
    public async Task EndAsync()
    {
        await _http.Response.Body.WriteAsync(Chats.End());
        await _http.Response.Body.FlushAsync();
        Finished.TrySetResult();
    }

    /// <summary>Answers a request that is not streamed.</summary>
    public async Task EndWholeAsync(string text)
    {
        _http.Response.ContentType = "application/json";
        await _http.Response.Body.WriteAsync(Chats.Whole(text, 7, 2));
        Finished.TrySetResult();
    }
}
