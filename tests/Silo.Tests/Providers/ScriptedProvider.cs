using System.Collections.Concurrent;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Federation.Silo.Tests.Providers;

/// <summary>A cloud on loopback that answers as the test says.</summary>
internal sealed class ScriptedProvider : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly ConcurrentQueue<Func<HttpContext, Task>> _answers = new();

    private ScriptedProvider()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        _app = builder.Build();
        _app.Map("/{**path}", AnswerAsync);
    }

    /// <summary>With what comes before <c>/chat/completions</c>.</summary>
    public string BaseUrl => $"{_app.Urls.Single()}/v1";

    /// <summary>What it was asked: path, key, and body.</summary>
    public ConcurrentQueue<(string Path, string Key, string Body)> Asked { get; } = new();

    /// <summary>Completes when a request was given up by whoever made it.</summary>
    public TaskCompletionSource Left { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public static async Task<ScriptedProvider> StartAsync()
    {
        var provider = new ScriptedProvider();
        await provider._app.StartAsync();
        return provider;
    }

    /// <summary>The next request is answered so; the last answer goes on.</summary>
    public ScriptedProvider Then(Func<HttpContext, Task> answer)
    {
        _answers.Enqueue(answer);
        return this;
    }

    public ScriptedProvider ThenStatus(int status, string body = "", Action<HttpResponse>? also = null) => Then(http =>
    {
        http.Response.StatusCode = status;
        http.Response.ContentType = "application/json";
        also?.Invoke(http.Response);
        return http.Response.WriteAsync(body);
    });

    public ScriptedProvider ThenWhole(string body, string contentType = "application/json") => Then(http =>
    {
        http.Response.ContentType = contentType;
        return http.Response.WriteAsync(body);
    });

    /// <summary>Events, and the end.</summary>
    public ScriptedProvider ThenStream(string events) => Then(http =>
    {
        http.Response.ContentType = "text/event-stream";
        return http.Response.WriteAsync(events);
    });

    /// <summary>Events; then the line breaks, when <paramref name="at"/> completes.</summary>
    public ScriptedProvider ThenBreaks(string events, Task at) => Then(async http =>
    {
        http.Response.ContentType = "text/event-stream";
        await http.Response.WriteAsync(events);
        await http.Response.Body.FlushAsync();
        await at;
        http.Abort();
    });

    /// <summary>Events, and then nothing.</summary>
    public ScriptedProvider ThenFallsSilent(string events, string contentType = "text/event-stream") => Then(async http =>
    {
        http.Response.ContentType = contentType;
        if (events.Length > 0)
        {
            await http.Response.WriteAsync(events);
            await http.Response.Body.FlushAsync();
        }
        await Task.Delay(Timeout.InfiniteTimeSpan, http.RequestAborted).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        Left.TrySetResult();
    });

    public async ValueTask DisposeAsync()
    {
        using var impatience = new CancellationTokenSource(TimeSpan.Zero);
        await _app.StopAsync(impatience.Token);
        await _app.DisposeAsync();
    }

    private async Task AnswerAsync(HttpContext http)
    {
        using var reader = new StreamReader(http.Request.Body);
        Asked.Enqueue((http.Request.Path, http.Request.Headers.Authorization.ToString(), await reader.ReadToEndAsync()));
        if (!(_answers.Count > 1 ? _answers.TryDequeue(out var answer) : _answers.TryPeek(out answer))) throw new InvalidOperationException("The test foresaw no request.");
        await answer(http);
    }
}
