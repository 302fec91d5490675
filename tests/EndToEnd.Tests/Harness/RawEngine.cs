using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;

namespace Federation.EndToEnd.Tests.Harness;

/// <summary>
/// A server that an agent takes for an engine, and a hub for a cloud, until it is asked to chat: then it says the bytes that the test wants said, HTTP or not, and hangs up.
/// </summary>
internal sealed class RawEngine : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _stopped = new();
    private readonly Task _accepting;

    private RawEngine(string model)
    {
        Model = model;
        _listener.Start();
        _accepting = AcceptAsync();
    }

    /// <summary>What it claims to run.</summary>
    public string Model { get; }

    /// <summary>What an agent's configuration calls its URL.</summary>
    public string Url => string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{((IPEndPoint)_listener.LocalEndpoint).Port}/v1");

    /// <summary>How it answers a chat from now on.</summary>
    public Func<RawAsked, Task> Answer { get; set; } = RawAsked.WellAsync;

    public static RawEngine Start(string model) => new(model);

    public async ValueTask DisposeAsync()
    {
        await _stopped.CancelAsync();
        _listener.Stop();
        await _accepting.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _stopped.Dispose();
    }

    private async Task AcceptAsync()
    {
        while (true) _ = ServeAsync(await _listener.AcceptTcpClientAsync(_stopped.Token));
    }

    private async Task ServeAsync(TcpClient client)
    {
        using (client)
        {
            client.NoDelay = true;
            var line = client.GetStream();
            try
            {
                if (await ReadAsync(line) is { } request)
                {
                    if (request.Path.EndsWith("/chat/completions", StringComparison.Ordinal))
                    {
                        await Answer(new RawAsked(line, JsonNode.Parse(request.Body)!, _stopped.Token));
                        return;
                    }
                    var list = new JsonObject { ["object"] = "list", ["data"] = new JsonArray(new JsonObject { ["id"] = Model, ["object"] = "model", ["created"] = 1, ["owned_by"] = "test" }) };
                    await line.WriteAsync(RawAsked.Whole(Encoding.UTF8.GetBytes(list.ToJsonString())), _stopped.Token);
                    return;
                }
            }
            catch (Exception exception) when (exception is IOException or OperationCanceledException or SocketException)
            {
                // Whoever asked hung up, which is what most of these answers are for.
            }
        }
    }

    private async Task<(string Path, byte[] Body)?> ReadAsync(NetworkStream line)
    {
        var head = new List<byte>();
        var one = new byte[1];
        while (head.Count < 4 || !IsEnd(head))
        {
            if (await line.ReadAsync(one, _stopped.Token) == 0) return null;
            head.Add(one[0]);
        }
        var lines = Encoding.ASCII.GetString([.. head]).Split("\r\n");
        const string Name = "Content-Length:";
        var length = lines.FirstOrDefault(field => field.StartsWith(Name, StringComparison.OrdinalIgnoreCase)) is { } said ? int.Parse(said[Name.Length..], CultureInfo.InvariantCulture) : 0;
        var body = new byte[length];
        await line.ReadExactlyAsync(body, _stopped.Token);
        return (lines[0].Split(' ')[1], body);
    }

    private static bool IsEnd(List<byte> head) => head[^1] == '\n' && head[^2] == '\r' && head[^3] == '\n' && head[^4] == '\r';
}

/// <summary>One chat that a <see cref="RawEngine"/> was asked for.</summary>
/// <param name="Line">To whoever asked.</param>
/// <param name="Request">What.</param>
/// <param name="Stopped">The test is over.</param>
internal sealed record RawAsked(NetworkStream Line, JsonNode Request, CancellationToken Stopped)
{
    public bool Streams => Request["stream"]?.GetValue<bool>() is true;

    /// <summary>The head of an answer as it should be: of a stream, or of JSON whose end is the end of the line.</summary>
    public Task HeadAsync() => SayAsync($"HTTP/1.1 200 OK\r\nContent-Type: {(Streams ? "text/event-stream" : "application/json")}\r\nConnection: close\r\n\r\n");

    public Task SayAsync(string text) => SayAsync(Encoding.UTF8.GetBytes(text));

    public async Task SayAsync(byte[] bytes)
    {
        await Line.WriteAsync(bytes, Stopped);
        await Line.FlushAsync(Stopped);
    }

    /// <summary>The same without end: until whoever asked hangs up.</summary>
    public async Task FloodAsync(byte[] bytes)
    {
        while (true) await Line.WriteAsync(bytes, Stopped);
    }

    /// <summary>Not a word more, until whoever asked hangs up.</summary>
    public async Task StallAsync() => await Line.ReadAtLeastAsync(new byte[1], 1, throwOnEndOfStream: false, Stopped);

    /// <summary>An answer as it should be: "42".</summary>
    public static async Task WellAsync(RawAsked asked)
    {
        if (!asked.Streams)
        {
            await asked.SayAsync(Whole(Chats.Whole("42", 7, 2)));
            return;
        }
        await asked.HeadAsync();
        await asked.SayAsync([.. Chats.Piece("4"), .. Chats.Piece("2"), .. Chats.End()]);
    }

    /// <summary>JSON with its head.</summary>
    public static byte[] Whole(byte[] json) => [.. Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {json.Length}\r\nConnection: close\r\n\r\n")), .. json];
}
