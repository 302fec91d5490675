using System.Buffers;
using System.Buffers.Binary;
using System.Net;
using System.Text.Json.Nodes;
using System.Threading.Channels;
using Federation.Protocol.Identity;
using Federation.Protocol.V1;
using Google.Protobuf;
using Grpc.Core;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;

namespace Federation.EndToEnd.Tests.Harness;

/// <summary>
/// A hub that says to a real agent what a test has it say, right or wrong. It speaks the node link in bytes, since no gRPC server would send some of it, and lets any key in.
/// </summary>
internal sealed class ScriptedHub : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly Channel<HubLine> _lines = Channel.CreateUnbounded<HubLine>();
    private readonly CancellationTokenSource _stopped = new();
    private Uri _nodes = null!;

    private ScriptedHub(WebApplication app) => _app = app;

    public SigningKey Key { get; } = SigningKey.Create();

    public HubId Id => HubId.FromPublicKey(Key.PublicKey.Span);

    /// <summary>The key of the node that joined last, SubjectPublicKeyInfo.</summary>
    public ReadOnlyMemory<byte> NodeKey { get; private set; }

    /// <summary>Where agents ask who it is.</summary>
    public Uri Api { get; private set; } = null!;

    /// <summary>What it says of where nodes dial; none: the truth.</summary>
    public string? ClaimedNodeLink { get; set; }

    public static async Task<ScriptedHub> StartAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            // A node that has nothing to do says little.
            kestrel.Limits.MinRequestBodyDataRate = null;
            kestrel.Limits.MinResponseDataRate = null;
            kestrel.Limits.MaxRequestBodySize = null;
            kestrel.Listen(IPAddress.Loopback, 0, endpoint => endpoint.Protocols = HttpProtocols.Http1);
            kestrel.Listen(IPAddress.Loopback, 0, endpoint => endpoint.Protocols = HttpProtocols.Http2);
        });
        var hub = new ScriptedHub(builder.Build());
        hub._app.MapGet("/v1/hub", () => Results.Text(new JsonObject { ["id"] = hub.Id.ToString(), ["node_link_url"] = hub.ClaimedNodeLink ?? hub._nodes.ToString() }.ToJsonString(), "application/json"));
        hub._app.MapPost($"/{NodeLink.Descriptor.FullName}/Enrol", hub.EnrolAsync);
        hub._app.MapPost($"/{NodeLink.Descriptor.FullName}/Connect", hub.ConnectAsync);
        await hub._app.StartAsync();
        (hub.Api, hub._nodes) = (new Uri(hub._app.Urls.First()), new Uri(hub._app.Urls.Last()));
        return hub;
    }

    /// <summary>The next connection of an agent; nothing is said on it yet.</summary>
    public async Task<HubLine> NextLineAsync() => await _lines.Reader.ReadAsync().AsTask().Soon("an agent's connection");

    /// <summary>The next connection, greeted as an honest hub does, or with other limits.</summary>
    public async Task<HubLine> WelcomeAsync(Welcome? welcome = null)
    {
        var line = await NextLineAsync();
        await line.ChallengeAsync();
        await line.HelloAsync();
        await line.SendAsync(new HubMessage { Welcome = welcome ?? HubLine.RightWelcome() });
        return line;
    }

    public async ValueTask DisposeAsync()
    {
        await _stopped.CancelAsync();
        using var impatience = new CancellationTokenSource(TimeSpan.Zero);
        await _app.StopAsync(impatience.Token);
        await _app.DisposeAsync();
        _stopped.Dispose();
        Key.Dispose();
    }

    private async Task EnrolAsync(HttpContext http)
    {
        await using var line = new HubLine(this, http, _stopped.Token);
        await line.SendRawAsync(RawLink.Frame(new EnrolResponse { Challenge = line.RightChallenge() }.ToByteArray()));
        var request = EnrolRequest.Parser.ParseFrom(await line.ReadAsync() ?? throw new IOException("The agent did not enrol."));
        NodeKey = request.PublicKey.Memory;
        await line.SendRawAsync(RawLink.Frame(new EnrolResponse { Enrolled = new Enrolled { NodeId = NodeId.FromPublicKey(request.PublicKey.Span).ToString(), AccountId = "ac_test" } }.ToByteArray()));
        line.End(StatusCode.OK, string.Empty);
    }

    private async Task ConnectAsync(HttpContext http)
    {
        await using var line = new HubLine(this, http, _stopped.Token);
        _lines.Writer.TryWrite(line);
        await line.ListenAsync();
    }
}

/// <summary>One connection of an agent to a <see cref="ScriptedHub"/>: what the agent said on it, kind by kind, and what the test wants said.</summary>
internal sealed class HubLine : IAsyncDisposable
{
    private const int FrameHead = 5;

    private readonly ScriptedHub _hub;
    private readonly HttpContext _http;
    private readonly CancellationTokenSource _over;
    private readonly SemaphoreSlim _writing = new(1, 1);
    private readonly Lock _gate = new();
    private readonly List<NodeMessage> _heard = [];
    private readonly List<(Func<NodeMessage, bool> Matches, TaskCompletionSource<NodeMessage> Seen)> _watches = [];
    private readonly TaskCompletionSource _gone = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public HubLine(ScriptedHub hub, HttpContext http, CancellationToken stopped)
    {
        (_hub, _http) = (hub, http);
        _over = CancellationTokenSource.CreateLinkedTokenSource(stopped, http.RequestAborted);
        http.Response.ContentType = "application/grpc";
    }

    /// <summary>Who called; known after its hello.</summary>
    public NodeId Node { get; private set; }

    /// <summary>What an honest hub welcomes a node with.</summary>
    public static Welcome RightWelcome() => new() { HeartbeatMs = 1_000, InitialWindowBytes = 256 * 1024, MaxChunkBytes = 64 * 1024 };

    /// <summary>What an honest hub begins with.</summary>
    public Challenge RightChallenge() => new() { Nonce = ByteString.CopyFrom(new byte[Proofs.NonceBytes]), HubId = _hub.Id.ToString(), HubPublicKey = ByteString.CopyFrom(_hub.Key.PublicKey.Span) };

    // ------------------------------------------------------------------------------------------------------------- say

    public Task ChallengeAsync(Action<Challenge>? change = null)
    {
        var challenge = RightChallenge();
        change?.Invoke(challenge);
        return TrySendAsync(new HubMessage { Challenge = challenge });
    }

    public Task SendAsync(HubMessage message) => SendRawAsync(RawLink.Frame(message.ToByteArray()));

    /// <summary>Sends bytes, whatever they are: a frame, a part of one, or none.</summary>
    public async Task SendRawAsync(byte[] bytes)
    {
        await _writing.WaitAsync();
        try
        {
            await _http.Response.Body.WriteAsync(bytes, _over.Token).AsTask().Soon("the agent to take a message");
            await _http.Response.Body.FlushAsync(_over.Token);
        }
        finally
        {
            _writing.Release();
        }
    }

    /// <inheritdoc cref="TrySendRawAsync"/>
    public Task TrySendAsync(HubMessage message) => TrySendRawAsync(RawLink.Frame(message.ToByteArray()));

    /// <summary>Sends although the agent may hang up on it.</summary>
    public async Task TrySendRawAsync(byte[] bytes)
    {
        try
        {
            await SendRawAsync(bytes);
        }
        catch (Exception exception) when (exception is IOException or OperationCanceledException or InvalidOperationException)
        {
            // What matters is what the agent does next.
        }
    }

    /// <summary>Ends the call with this status.</summary>
    public void End(StatusCode status, string detail)
    {
        _http.Response.AppendTrailer("grpc-status", ((int)status).ToString(System.Globalization.CultureInfo.InvariantCulture));
        _http.Response.AppendTrailer("grpc-message", Uri.EscapeDataString(detail));
        _ended.TrySetResult();
    }

    // ------------------------------------------------------------------------------------------------------------ hear

    public async Task<Hello> HelloAsync()
    {
        var hello = (await NextAsync(NodeMessage.MessageOneofCase.Hello)).Hello;
        Node = NodeId.Parse(hello.NodeId);
        return hello;
    }

    /// <summary>The agent's next message of this kind.</summary>
    public Task<NodeMessage> NextAsync(NodeMessage.MessageOneofCase kind) => NextAsync(message => message.MessageCase == kind, $"a {kind}");

    /// <summary>The agent's first message, past or future, for which this is so and that nobody had.</summary>
    public async Task<NodeMessage> NextAsync(Func<NodeMessage, bool> matches, string what)
    {
        var seen = new TaskCompletionSource<NodeMessage>(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_gate)
        {
            if (_heard.FindIndex(message => matches(message)) is >= 0 and var at)
            {
                seen.SetResult(_heard[at]);
                _heard.RemoveAt(at);
            }
            else
            {
                _watches.Add((matches, seen));
            }
        }
        return await Task.WhenAny(seen.Task, _gone.Task).Soon($"{what} from the agent") == seen.Task || seen.Task.IsCompleted ? await seen.Task : throw new InvalidOperationException($"The agent hung up before {what}.");
    }

    /// <summary>How many messages like this came that nobody had.</summary>
    public int Count(Func<NodeMessage, bool> matches)
    {
        lock (_gate) return _heard.Count(matches);
    }

    /// <summary>The connection is over.</summary>
    public bool IsOver => _gone.Task.IsCompleted || _ended.Task.IsCompleted;

    /// <summary>Reads what the agent says until it hangs up or the test ends the call.</summary>
    public async Task ListenAsync()
    {
        var listening = HearAsync();
        await Task.WhenAny(listening, _ended.Task);
        if (!_ended.Task.IsCompleted) await listening;
    }

    /// <summary>The next message, as it travelled; null at the end.</summary>
    public async Task<byte[]?> ReadAsync()
    {
        while (true)
        {
            var read = await _http.Request.BodyReader.ReadAsync(_over.Token);
            if (TryTake(read.Buffer, out var message, out var consumed))
            {
                _http.Request.BodyReader.AdvanceTo(consumed);
                return message;
            }
            _http.Request.BodyReader.AdvanceTo(read.Buffer.Start, read.Buffer.End);
            if (read.IsCompleted) return null;
        }
    }

    public ValueTask DisposeAsync()
    {
        _gone.TrySetResult();
        _over.Dispose();
        _writing.Dispose();
        return ValueTask.CompletedTask;
    }

    private async Task HearAsync()
    {
        try
        {
            while (await ReadAsync() is { } bytes)
            {
                Take(NodeMessage.Parser.ParseFrom(bytes));
            }
        }
        catch (Exception exception) when (exception is OperationCanceledException or IOException)
        {
            // Hung up, or the test is over.
        }
        _gone.TrySetResult();
    }

    private void Take(NodeMessage message)
    {
        lock (_gate)
        {
            if (_watches.FindIndex(watch => watch.Matches(message)) is not (>= 0 and var at))
            {
                _heard.Add(message);
                return;
            }
            _watches[at].Seen.SetResult(message);
            _watches.RemoveAt(at);
        }
    }

    private static bool TryTake(ReadOnlySequence<byte> buffer, out byte[] message, out SequencePosition consumed)
    {
        (message, consumed) = ([], buffer.Start);
        if (buffer.Length < FrameHead) return false;
        Span<byte> head = stackalloc byte[FrameHead];
        buffer.Slice(0, FrameHead).CopyTo(head);
        var length = BinaryPrimitives.ReadUInt32BigEndian(head[1..]);
        if (buffer.Length < FrameHead + length) return false;
        message = buffer.Slice(FrameHead, length).ToArray();
        consumed = buffer.GetPosition(FrameHead + length);
        return true;
    }
}
