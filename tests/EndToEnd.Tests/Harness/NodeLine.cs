using System.Collections.Concurrent;
using System.Threading.Channels;
using Federation.Protocol.Identity;
using Federation.Protocol.Receipts;
using Federation.Protocol.V1;
using Google.Protobuf;
using Grpc.Core;

namespace Federation.EndToEnd.Tests.Harness;

/// <summary>One connection of a <see cref="FakeNode"/>: what the hub said on it, kind by kind, and what the test wants said.</summary>
internal sealed class NodeLine : IAsyncDisposable
{
    private readonly FakeNode _node;
    private readonly AsyncDuplexStreamingCall<byte[], byte[]> _call;
    private readonly ConcurrentDictionary<HubMessage.MessageOneofCase, Channel<HubMessage>> _heard = new();
    private readonly Queue<byte[]> _offered = new();
    private readonly Queue<IssuedReceipt> _issued = new();
    private readonly SemaphoreSlim _writing = new(1, 1);
    private readonly CancellationTokenSource _disposed = new();
    private readonly TaskCompletionSource<Status> _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Task _reading;
    private Task _beating = Task.CompletedTask;
    private Task _serving = Task.CompletedTask;
    private Task _ponging = Task.CompletedTask;

    public NodeLine(FakeNode node, AsyncDuplexStreamingCall<byte[], byte[]> call)
    {
        _node = node;
        _call = call;
        _reading = ReadAsync();
    }

    /// <summary>The hub's challenge on this connection.</summary>
    public Challenge Challenge { get; private set; } = new();

    // ------------------------------------------------------------------------------------------------------------ hear

    public async Task<Challenge> NextChallengeAsync() => Challenge = (await NextAsync(HubMessage.MessageOneofCase.Challenge)).Challenge;

    public async Task<Assign> NextAssignAsync() => (await NextAsync(HubMessage.MessageOneofCase.Assign)).Assign;

    public async Task<Cancel> NextCancelAsync() => (await NextAsync(HubMessage.MessageOneofCase.Cancel)).Cancel;

    /// <summary>The payload of the next receipt that is offered, alone or with others.</summary>
    public Task<byte[]> NextReceiptOfferAsync() => NextOfManyAsync(_offered, HubMessage.MessageOneofCase.ReceiptOffers, message => message.ReceiptOffers.Payloads.Select(payload => payload.ToByteArray()));

    /// <summary>The next receipt that is issued, alone or with others.</summary>
    public Task<IssuedReceipt> NextReceiptIssuedAsync() => NextOfManyAsync(_issued, HubMessage.MessageOneofCase.ReceiptsIssued, message => message.ReceiptsIssued.Receipts);

    public async Task<AuditRequest> NextAuditRequestAsync() => (await NextAsync(HubMessage.MessageOneofCase.AuditRequest)).AuditRequest;

    /// <summary>The hub's next request to prove the hardware, as it travelled.</summary>
    public async Task<ReadOnlyMemory<byte>> NextChallengeStartAsync() => (await NextAsync(HubMessage.MessageOneofCase.ChallengeStart)).ChallengeStart.Message.Memory;

    /// <summary>What the hub wants to see of a challenge, as it travelled.</summary>
    public async Task<ReadOnlyMemory<byte>> NextChallengeOpenAsync() => (await NextAsync(HubMessage.MessageOneofCase.ChallengeOpen)).ChallengeOpen.Message.Memory;

    /// <summary>The hub's verdict on a challenge, as it travelled.</summary>
    public async Task<ReadOnlyMemory<byte>> NextChallengeResultAsync() => (await NextAsync(HubMessage.MessageOneofCase.ChallengeResult)).ChallengeResult.Message.Memory;

    /// <summary>The welcome; from then on heartbeats are sent as it asks.</summary>
    public async Task<Welcome> WelcomeAsync()
    {
        var welcome = (await NextAsync(HubMessage.MessageOneofCase.Welcome)).Welcome;
        _beating = BeatAsync(TimeSpan.FromMilliseconds(welcome.HeartbeatMs));
        return welcome;
    }

    /// <summary>With what status the hub ended the connection.</summary>
    public Task<Status> EndAsync() => _ended.Task.Soon("the hub to end the connection");

    /// <summary>Checks that the hub ended the connection with this status and these words.</summary>
    public async Task ExpectEndAsync(StatusCode code, string words)
    {
        var status = await EndAsync();
        Assert.True(status.StatusCode == code, $"Expected {code}, got {status}");
        Assert.Contains(words, status.Detail, StringComparison.Ordinal);
    }

    // ------------------------------------------------------------------------------------------------------------- say

    public Task SendAsync(NodeMessage message) => SendGarbageAsync(message.ToByteArray());

    /// <summary>Sends bytes in the place of a message.</summary>
    public async Task SendGarbageAsync(byte[] message)
    {
        await _writing.WaitAsync();
        try
        {
            await _call.RequestStream.WriteAsync(message).Soon("the hub to take a message");
        }
        finally
        {
            _writing.Release();
        }
    }

    /// <summary>Sends although the hub may hang up on it: how it ends is what <see cref="EndAsync"/> tells.</summary>
    public async Task<bool> TrySendAsync(NodeMessage message)
    {
        try
        {
            await SendAsync(message);
            return true;
        }
        catch (Exception exception) when (exception is RpcException or InvalidOperationException or OperationCanceledException or IOException)
        {
            return false;
        }
    }

    /// <summary>A hello that is right, for this connection's challenge.</summary>
    public Hello Hello(string model, uint slots = 4, params string[] capabilities)
    {
        var engine = new Engine { Name = "fake", Kind = "openai", Version = "1", Slots = slots };
        engine.Models.Add(new Model { Name = model, SizeBytes = 1_000_000_000, Loaded = true, Capabilities = { capabilities.Length > 0 ? capabilities : ["chat"] } });
        return new Hello
        {
            NodeId = _node.Id.ToString(),
            Signature = ByteString.CopyFrom(_node.Key.Sign(Proofs.Connection(HubId.Parse(Challenge.HubId), Challenge.Nonce.Span, _node.Id))),
            AgentVersion = "fake",
            Inventory = new Inventory { Engines = { engine } },
        };
    }

    /// <summary>Accepts a lease and begins its answer.</summary>
    public async Task BeginAsync(Assign lease)
    {
        await SendAsync(new NodeMessage { Accept = new Accept { LeaseId = lease.LeaseId } });
        await SendAsync(new NodeMessage { Head = new Head { LeaseId = lease.LeaseId, Status = 200, ContentType = lease.Stream ? "text/event-stream" : "application/json" } });
    }

    public Task ChunkAsync(string leaseId, ulong sequence, byte[] data)
        => SendAsync(new NodeMessage { Chunk = new Chunk { LeaseId = leaseId, Sequence = sequence, Data = ByteString.CopyFrom(data) } });

    public Task DoneAsync(string leaseId, uint promptTokens = 7, uint completionTokens = 2)
        => SendAsync(new NodeMessage { Done = new Done { LeaseId = leaseId, Usage = new Usage { PromptTokens = promptTokens, CompletionTokens = completionTokens }, FinishReason = "stop" } });

    /// <summary>Answers a lease as an honest node does.</summary>
    public async Task AnswerAsync(Assign lease, string text)
    {
        await BeginAsync(lease);
        if (lease.Stream)
        {
            ulong sequence = 0;
            foreach (var piece in text.Chunk(2)) await ChunkAsync(lease.LeaseId, sequence++, Chats.Piece(new string(piece)));
            await ChunkAsync(lease.LeaseId, sequence, Chats.End());
        }
        else
        {
            await ChunkAsync(lease.LeaseId, 0, Chats.Whole(text, 7, 2));
        }
        await DoneAsync(lease.LeaseId);
    }

    /// <summary>The node's signature over a batch of these receipts.</summary>
    public byte[] SignatureOf(params byte[][] payloads) => _node.Key.Sign(ReceiptBatch.OfNode([.. payloads.Select(payload => ReceiptCodec.IdOf(payload))]).SigningBytes);

    /// <summary>Answers an offer with this signature; with none it objects.</summary>
    public Task SignAsync(byte[] signature, params byte[][] payloads)
    {
        var answers = new ReceiptAnswers { Signature = ByteString.CopyFrom(signature) };
        foreach (var id in payloads.Select(payload => ByteString.CopyFrom(ReceiptCodec.IdOf(payload).AsSpan())))
        {
            if (signature.Length > 0) answers.Signed.Add(id);
            else answers.Objections.Add(new ReceiptObjection { ReceiptId = id, Objection = "that was not me" });
        }
        return SendAsync(new NodeMessage { ReceiptAnswers = answers });
    }

    /// <summary>Signs receipts as an honest node does, and waits until they are issued.</summary>
    public async Task AgreeAsync(params byte[][] payloads)
    {
        await SignAsync(SignatureOf(payloads), payloads);
        foreach (var _ in payloads) await NextReceiptIssuedAsync();
    }

    /// <summary>Answers every lease with this text from now on.</summary>
    public void Serve(string text) => _serving = ServeAsync(text);

    /// <summary>Answers every ping from now on.</summary>
    public void AnswerPings() => _ponging = PongAsync();

    public async ValueTask DisposeAsync()
    {
        await _disposed.CancelAsync();
        _call.Dispose();
        await Task.WhenAll(_reading, _beating, _serving, _ponging).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _disposed.Dispose();
        _writing.Dispose();
    }

    // --------------------------------------------------------------------------------------------------------- details

    private async Task<HubMessage> NextAsync(HubMessage.MessageOneofCase kind)
    {
        var next = HeardOf(kind).Reader.ReadAsync().AsTask();
        if (await Task.WhenAny(next, _ended.Task).Soon($"a {kind} from the hub") == next) return await next;
        throw new InvalidOperationException($"The hub ended the connection before a {kind}: {await _ended.Task}");
    }

    private async Task<T> NextOfManyAsync<T>(Queue<T> left, HubMessage.MessageOneofCase kind, Func<HubMessage, IEnumerable<T>> parts)
    {
        if (left.Count == 0)
        {
            foreach (var part in parts(await NextAsync(kind))) left.Enqueue(part);
        }
        return left.Dequeue();
    }

    private Channel<HubMessage> HeardOf(HubMessage.MessageOneofCase kind) => _heard.GetOrAdd(kind, _ => Channel.CreateUnbounded<HubMessage>());

    private async Task ReadAsync()
    {
        try
        {
            while (await _call.ResponseStream.MoveNext(CancellationToken.None))
            {
                var message = HubMessage.Parser.ParseFrom(_call.ResponseStream.Current);
                if (message.Ping is { Number: 0 })
                {
                    // Any agent that is alive says so.
                    _ = TrySendAsync(new NodeMessage { Pong = new Pong() });
                    continue;
                }
                HeardOf(message.MessageCase).Writer.TryWrite(message);
            }
            _ended.TrySetResult(_call.GetStatus());
        }
        catch (RpcException exception)
        {
            _ended.TrySetResult(exception.Status);
        }
    }

    private async Task BeatAsync(TimeSpan period)
    {
        using var timer = new PeriodicTimer(period);
        while (await timer.WaitForNextTickAsync(_disposed.Token) && await TrySendAsync(new NodeMessage { Heartbeat = new Heartbeat { FreeSlots = 1 } }))
        {
        }
    }

    private async Task PongAsync()
    {
        while (!_disposed.IsCancellationRequested)
            await TrySendAsync(new NodeMessage { Pong = new Pong { Number = (await NextAsync(HubMessage.MessageOneofCase.Ping)).Ping.Number } });
    }

    private async Task ServeAsync(string text)
    {
        while (!_disposed.IsCancellationRequested) await AnswerAsync((await NextAsync(HubMessage.MessageOneofCase.Assign)).Assign, text);
    }
}
