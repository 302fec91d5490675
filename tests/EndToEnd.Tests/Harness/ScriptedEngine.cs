using System.Threading.Channels;
using Microsoft.AspNetCore.Http;

namespace Federation.EndToEnd.Tests.Harness;

/// <summary>A server that speaks OpenAI's API to an agent and answers when and how the test says.</summary>
internal sealed class ScriptedEngine(string model) : ModelServer(model)
{
    private readonly Channel<ScriptedAnswer> _asked = Channel.CreateUnbounded<ScriptedAnswer>();

    public static Task<ScriptedEngine> StartAsync(string model) => StartedAsync(new ScriptedEngine(model));

    /// <summary>The next request that an agent sent.</summary>
    public Task<ScriptedAnswer> NextAsync() => _asked.Reader.ReadAsync().AsTask().Soon("a request to the engine");

    protected override async Task AnswerAsync(HttpContext http)
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
