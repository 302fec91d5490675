using System.Collections.Concurrent;
using System.Net;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;

namespace Federation.NodeAgent.Tests.Engines;

/// <summary>A real HTTP server on the loopback that answers as its script says.</summary>
internal sealed class FakeServer : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly ConcurrentDictionary<string, Func<HttpContext, Task>> _script = new();

    private FakeServer(WebApplication app) => _app = app;

    public Uri Address { get; private set; } = null!;

    /// <summary>"POST /v1/chat/completions" and the like, with body and authorization, in order of arrival.</summary>
    public ConcurrentQueue<(string Line, string Body, string? Authorization)> Requests { get; } = new();

    /// <summary>Completes when a client closed its connection before the answer's end.</summary>
    public TaskCompletionSource ClientGone { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public static async Task<FakeServer> StartAsync(int port = 0)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, port, listen => listen.Protocols = HttpProtocols.Http1));
        var server = new FakeServer(builder.Build());
        server._app.Run(server.AnswerAsync);
        await server._app.StartAsync();
        server.Address = new Uri(server._app.Urls.Single());
        return server;
    }

    /// <summary>Answers a request line ("GET /v1/models") with JSON.</summary>
    public FakeServer On(string line, string json, int status = 200) => On(line, async context =>
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = "application/json";
        await context.Response.WriteAsync(json);
    });

    public FakeServer On(string line, Func<HttpContext, Task> answer)
    {
        _script[line] = answer;
        return this;
    }

    /// <summary>Answers with an event stream, written and flushed piece by piece.</summary>
    public FakeServer OnStream(string line, params string[] pieces) => On(line, async context =>
    {
        context.Response.ContentType = "text/event-stream";
        foreach (var piece in pieces)
        {
            await context.Response.Body.WriteAsync(Encoding.UTF8.GetBytes(piece));
            await context.Response.Body.FlushAsync();
        }
    });

    public async ValueTask DisposeAsync() => await _app.DisposeAsync();

    private async Task AnswerAsync(HttpContext context)
    {
        // Scripts may read it again.
        context.Request.EnableBuffering();
        using var reader = new StreamReader(context.Request.Body, Encoding.UTF8, leaveOpen: true);
        var line = $"{context.Request.Method} {context.Request.Path}";
        Requests.Enqueue((line, await reader.ReadToEndAsync(context.RequestAborted), context.Request.Headers.Authorization));
        using var gone = context.RequestAborted.Register(() => ClientGone.TrySetResult());
        if (_script.TryGetValue(line, out var answer))
        {
            await answer(context);
            return;
        }

        context.Response.StatusCode = 404;
    }
}
