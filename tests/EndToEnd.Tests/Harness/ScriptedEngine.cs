using System.Text.Json.Nodes;
using System.Threading.Channels;
using Microsoft.AspNetCore.Http;

namespace Federation.EndToEnd.Tests.Harness;

/// <summary>A server that speaks OpenAI's API to an agent and answers when and how the test says.</summary>
internal sealed class ScriptedEngine(string model) : ModelServer(model)
{
    private readonly Channel<ScriptedAnswer> _asked = Channel.CreateUnbounded<ScriptedAnswer>();
    private Task<ScriptedAnswer>? _expected;

    public static Task<ScriptedEngine> StartAsync(string model) => StartedAsync(new ScriptedEngine(model));

    /// <summary>The next request that an agent sent.</summary>
    public Task<ScriptedAnswer> NextAsync() => Interlocked.Exchange(ref _expected, null) ?? _asked.Reader.ReadAsync().AsTask().Soon("a request to the engine");

    /// <summary>Somebody waited for the next request, and leaves it to whoever asks for it now.</summary>
    public void Expect(Task<ScriptedAnswer> next) => _expected = next;

    /// <summary>It goes on with an assistant's message at the end.</summary>
    protected override string Owner => "llamacpp";

    protected override async Task AnswerAsync(HttpContext http)
    {
        using var body = new MemoryStream();
        await http.Request.Body.CopyToAsync(body);
        var answer = new ScriptedAnswer(http, JsonNode.Parse(body.ToArray())!);
        _asked.Writer.TryWrite(answer);
        await answer.Finished.Task.WaitAsync(http.RequestAborted).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }
}

/// <summary>One request to a <see cref="ScriptedEngine"/>, to be answered by the test.</summary>
internal sealed class ScriptedAnswer
{
    private readonly HttpContext _http;
    private readonly TaskCompletionSource _gone = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public ScriptedAnswer(HttpContext http, JsonNode request)
    {
        _http = http;
        Request = request;
        http.RequestAborted.Register(() => _gone.TrySetResult());
    }

    /// <summary>What was asked.</summary>
    public JsonNode Request { get; }

    public TaskCompletionSource Finished { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>The agent hung up: the engine would stop its work here.</summary>
    public Task GoneAsync() => _gone.Task.Soon("the agent to stop the engine's work");

    /// <summary>Begins a stream, or goes on with it.</summary>
    public Task WriteAsync(string text) => WriteAsync(Chats.Piece(text));

    /// <summary>The same with bytes that need not make sense.</summary>
    public async Task WriteAsync(byte[] bytes)
    {
        if (!_http.Response.HasStarted) _http.Response.ContentType = "text/event-stream";
        await _http.Response.Body.WriteAsync(bytes);
        await _http.Response.Body.FlushAsync();
    }

    /// <summary>The engine crashes: its connection breaks.</summary>
    public void Crash()
    {
        _http.Abort();
        Finished.TrySetResult();
    }

    /// <summary>The engine refuses.</summary>
    public async Task RefuseAsync(int status)
    {
        _http.Response.StatusCode = status;
        _http.Response.ContentType = "application/json";
        await _http.Response.WriteAsync("""{"error":{"message":"no"}}""");
        Finished.TrySetResult();
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
