using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Text;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;

namespace Federation.Bench;

/// <summary>An OpenAI-compatible server that answers at once, or a token at a time, so that what is left to measure is the way there and back.</summary>
internal sealed class FakeEngine : IAsyncDisposable
{
    public const string Model = "bench";
    public const string PacedModel = "bench-paced";
    public const string EndlessModel = "bench-endless";

    /// <summary>Writes <see cref="LongTokens"/> at once.</summary>
    public const string LongModel = "bench-long";

    /// <summary>Never ends, and is silent but for a token each <see cref="SlowPace"/>.</summary>
    public const string SlowModel = "bench-slow";
    public const int Tokens = 64;
    public const int LongTokens = 4_096;

    /// <summary>Between two tokens of <see cref="PacedModel"/> and <see cref="EndlessModel"/>.</summary>
    public static readonly TimeSpan Pace = TimeSpan.FromMilliseconds(5);

    public static readonly TimeSpan SlowPace = TimeSpan.FromSeconds(5);

    private const string Stamp = " t=";

    private static readonly byte[] Whole = Encoding.UTF8.GetBytes(
        """{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"bench","choices":[{"index":0,"message":{"role":"assistant","content":"Hello there."},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":3,"total_tokens":13}}""");

    private static readonly byte[] Token = Encoding.UTF8.GetBytes(
        """data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"bench","choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}]}""" + "\n\n");

    private static readonly byte[] End = Encoding.UTF8.GetBytes(
        """data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"bench","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":64,"total_tokens":74}}""" + "\n\ndata: [DONE]\n\n");

    private readonly WebApplication _app;

    private FakeEngine(WebApplication app) => _app = app;

    public Uri Url => UrlOf(_app);

    public static Uri UrlOf(WebApplication app) => new(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First());

    /// <summary>When a token was sent, as <see cref="Stopwatch"/> counts: one clock for all processes of a machine.</summary>
    public static long? SentAt(string line)
        => line.IndexOf(Stamp, StringComparison.Ordinal) is >= 0 and var at && long.TryParse(line.AsSpan(at + Stamp.Length, 20), NumberStyles.None, CultureInfo.InvariantCulture, out var sent) ? sent : null;

    public static async Task<FakeEngine> StartAsync()
    {
        var app = Create();
        await app.StartAsync();
        return new FakeEngine(app);
    }

    public static WebApplication Create()
    {
        var closings = new ConcurrentQueue<long>();
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        var app = builder.Build();
        var models = string.Join(",", new[] { Model, PacedModel, EndlessModel, LongModel, SlowModel }.Select(model => $$"""{"id":"{{model}}","object":"model"}"""));
        app.MapGet("/v1/models", () => Results.Text($$"""{"object":"list","data":[{{models}}]}""", "application/json"));
        app.MapGet("/closings", () => closings.ToArray());
        app.MapPost("/v1/chat/completions", http => AnswerAsync(http, closings));
        return app;
    }

    public async ValueTask DisposeAsync() => await _app.DisposeAsync();

    private static async Task AnswerAsync(HttpContext http, ConcurrentQueue<long> closings)
    {
        using var body = new MemoryStream();
        await http.Request.Body.CopyToAsync(body);
        var request = body.GetBuffer().AsSpan(0, (int)body.Length);
        var isPaced = request.IndexOf("\"bench-paced\""u8) >= 0;
        var isEndless = request.IndexOf("\"bench-endless\""u8) >= 0;
        var isSlow = request.IndexOf("\"bench-slow\""u8) >= 0;
        var isLong = request.IndexOf("\"bench-long\""u8) >= 0;
        if (request.IndexOf("\"stream\":true"u8) < 0)
        {
            http.Response.ContentType = "application/json";
            http.Response.ContentLength = Whole.Length;
            await http.Response.Body.WriteAsync(Whole);
            return;
        }
        http.Response.ContentType = "text/event-stream";
        try
        {
            if (isPaced) await PacedAsync(http, Pace, Tokens);
            else if (isEndless) await PacedAsync(http, Pace, int.MaxValue);
            else if (isSlow) await PacedAsync(http, SlowPace, int.MaxValue);
            else await AtOnceAsync(http, isLong ? LongTokens : Tokens);
            await http.Response.Body.WriteAsync(End);
        }
        catch (Exception exception) when (exception is OperationCanceledException or IOException)
        {
            closings.Enqueue(Stopwatch.GetTimestamp());
        }
    }

    private static async Task AtOnceAsync(HttpContext http, int tokens)
    {
        for (var i = 0; i < tokens; i++)
        {
            await http.Response.Body.WriteAsync(Token);
            await http.Response.Body.FlushAsync();
        }
    }

    private static async Task PacedAsync(HttpContext http, TimeSpan pace, int tokens)
    {
        using var period = new PeriodicTimer(pace);
        for (var i = 0; i < tokens && ((i == 0 && pace == SlowPace) || await period.WaitForNextTickAsync(http.RequestAborted)); i++)
        {
            var stamp = Stopwatch.GetTimestamp().ToString("D20", CultureInfo.InvariantCulture);
            await http.Response.WriteAsync($$$"""data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"bench","choices":[{"index":0,"delta":{"content":"{{{Stamp}}}{{{stamp}}}"},"finish_reason":null}]}""" + "\n\n", http.RequestAborted);
            await http.Response.Body.FlushAsync(http.RequestAborted);
        }
    }
}
