using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Federation.EndToEnd.Tests.Harness;

/// <summary>A server that speaks OpenAI's API to an agent and has one model; what it answers is its heirs' affair.</summary>
internal abstract class ModelServer : IAsyncDisposable
{
    private readonly WebApplication _app;

    /// <param name="model">What it claims to run.</param>
    protected ModelServer(string model)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        Model = model;
        _app = builder.Build();
        _app.MapGet("/v1/models", () => Results.Text(
            new JsonObject { ["object"] = "list", ["data"] = new JsonArray(new JsonObject { ["id"] = model, ["object"] = "model", ["created"] = 1, ["owned_by"] = Owner }) }.ToJsonString(), "application/json"));
        _app.MapPost("/v1/chat/completions", AnswerAsync);
        _app.MapPost("/v1/embeddings", AnswerAsync);
    }

    /// <summary>What it claims to run.</summary>
    public string Model { get; }

    /// <summary>Which server it passes for: agents know by it whether it goes on with an answer that another began.</summary>
    protected virtual string Owner => "test";

    /// <summary>What an agent's configuration calls its URL.</summary>
    public string Url => $"{_app.Urls.Single()}/v1";

    public virtual async ValueTask DisposeAsync()
    {
        using var impatience = new CancellationTokenSource(TimeSpan.Zero);
        await _app.StopAsync(impatience.Token);
        await _app.DisposeAsync();
    }

    /// <summary>Answers one request.</summary>
    protected abstract Task AnswerAsync(HttpContext http);

    /// <summary>Listens from now on.</summary>
    protected static async Task<TServer> StartedAsync<TServer>(TServer server)
        where TServer : ModelServer
    {
        await server._app.StartAsync();
        return server;
    }
}
