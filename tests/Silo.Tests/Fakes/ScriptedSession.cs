using System.Threading.Channels;
using Federation.Contracts.Models;
using Federation.Contracts.Nodes;
using Federation.Protocol.OpenAi;
using Federation.Protocol.V1;
using Federation.Silo.Models;
using Federation.Silo.Nodes;
using Google.Protobuf;
using Grpc.Core;
using Microsoft.Extensions.Logging.Abstractions;

namespace Federation.Silo.Tests.Fakes;

/// <summary>A node's session on a stream that the test writes and reads by hand.</summary>
internal sealed class ScriptedSession : IAsyncDisposable
{
    public const string Model = "llama";
    public const string Engine = "ollama";

    private readonly Channel<NodeMessage> _inbound = Channel.CreateUnbounded<NodeMessage>();
    private readonly Channel<HubMessage> _outbound = Channel.CreateUnbounded<HubMessage>();
    private readonly CancellationTokenSource _aborted = new();
    private readonly Writer _writer;

    public ScriptedSession(string node = "a", NodeLinkOptions? options = null, FakeGrains? grains = null, TestClock? clock = null, int slots = 2, PoolOptions? pool = null, HeardBytes? bytes = null)
    {
        Options = options ?? new NodeLinkOptions();
        Options.Gather = TimeSpan.Zero;
        Grains = grains ?? new FakeGrains();
        Clock = clock ?? new TestClock();
        NodeId = $"nd_{node}";
        Session = new NodeSession(
            NodeId, $"ns_{node}", ReportOf(slots, Model), Options, Grains.ForSessions(pool), Clock, NullLogger<NodeSession>.Instance)
        { Bytes = bytes };
        Session.Reference = Session;
        _writer = new Writer(_outbound.Writer);
    }

    public string NodeId { get; }

    public NodeSession Session { get; }

    public NodeLinkOptions Options { get; }

    public FakeGrains Grains { get; }

    public TestClock Clock { get; }

    /// <summary>The running session; faults when the hub ends it.</summary>
    public Task Running { get; private set; } = Task.CompletedTask;

    /// <summary>Whose answers compare with this node's.</summary>
    public const string DeterminismClass = "sha256:weights/ollama/1/cuda/sm_89/np2";

    /// <summary>What the pool gives out for this session.</summary>
    public PoolMember Member => new(Session.SessionId, 1, NodeId, Engine, 2, 2, new ModelReport(Model, "sha256:weights", 1_000, true, 0, [], "") { DeterminismClass = DeterminismClass }, Session);

    /// <summary>While not completed, the node takes no messages.</summary>
    public Task TakesMessages
    {
        set => _writer.Gate = value;
    }

    public static NodeReport ReportOf(int slots, params string[] models) => new(
        "1.0", [], [new EngineReport(Engine, "ollama", "1", slots, [.. models.Select(name => new ModelReport(name, "", 0, true, 0, [], "") { DeterminismClass = name })])], 0, true, "", []);

    public ScriptedSession Start()
    {
        Running = Session.RunAsync(new Reader(_inbound.Reader), _writer, _aborted.Token);
        return this;
    }

    /// <summary>The node says something.</summary>
    public void Say(params NodeMessage[] messages)
    {
        foreach (var message in messages) Assert.True(_inbound.Writer.TryWrite(message));
    }

    /// <summary>The node hangs up, as a node that leaves does.</summary>
    public void HangUp() => _inbound.Writer.TryComplete();

    /// <summary>The connection breaks.</summary>
    public void Break() => _aborted.Cancel();

    /// <summary>The hub's next message of a kind; others before it are passed over.</summary>
    public async Task<HubMessage> NextAsync(HubMessage.MessageOneofCase kind)
    {
        while (true)
        {
            var message = await _outbound.Reader.ReadAsync().AsTask().WithinPatienceAsync();
            if (message.MessageCase == kind) return message;
        }
    }

    /// <summary>How the hub ended the session.</summary>
    public async Task<Status> EndAsync() => (await Assert.ThrowsAsync<RpcException>(() => Running.WithinPatienceAsync())).Status;

    /// <summary>Lets the session deal with all that was said.</summary>
    public async Task HeardAsync()
    {
        // A pull's progress shows in the report, and the session reads in order.
        var mark = $"mark {Guid.NewGuid():N}";
        Say(new NodeMessage { PullProgress = new PullProgress { Engine = "mark", Model = mark } });
        await Eventually.TrueAsync(() => Running.IsCompleted || Session.Report.Pulls.Any(pull => pull.Model == mark), "the session to hear what was said");
    }

    public static LeaseAssignment Assignment(string leaseId = "job_1.1", string engine = Engine) => new(
        leaseId, leaseId.Split('.')[0], JobKind.Chat, Model, engine, "{}"u8.ToArray(), true, TimeSpan.FromMinutes(1), 1);

    public Lease Assign(string leaseId = "job_1.1")
    {
        Assert.Equal(AssignStatus.Sent, Session.TryAssign(Assignment(leaseId), out var lease));
        return lease!;
    }

    public async ValueTask DisposeAsync()
    {
        HangUp();
        await Running.ContinueWith(_ => { }, TaskScheduler.Default).WithinPatienceAsync();
        _aborted.Dispose();
    }

    private sealed class Reader(ChannelReader<NodeMessage> messages) : IAsyncStreamReader<NodeMessage>
    {
        public NodeMessage Current { get; private set; } = new();

        public async Task<bool> MoveNext(CancellationToken cancellationToken)
        {
            if (!await messages.WaitToReadAsync(cancellationToken)) return false;
            Current = await messages.ReadAsync(cancellationToken);
            return true;
        }
    }

    private sealed class Writer(ChannelWriter<HubMessage> messages) : IServerStreamWriter<HubMessage>
    {
        public Task Gate { get; set; } = Task.CompletedTask;

        public WriteOptions? WriteOptions { get; set; }

        public Task WriteAsync(HubMessage message) => WriteAsync(message, CancellationToken.None);

        public async Task WriteAsync(HubMessage message, CancellationToken cancellationToken)
        {
            await Gate.WaitAsync(cancellationToken);
            await messages.WriteAsync(message, cancellationToken);
        }
    }
}

/// <summary>What a node says, in short.</summary>
internal static class Says
{
    public static NodeMessage Accept(string lease) => new() { Accept = new Accept { LeaseId = lease } };

    public static NodeMessage Refuse(string lease, RefuseReason reason = RefuseReason.Unspecified) => new() { Refuse = new Refuse { LeaseId = lease, Reason = reason } };

    public static NodeMessage Head(string lease, uint status = 200, string contentType = "text/event-stream") => new() { Head = new Head { LeaseId = lease, Status = status, ContentType = contentType } };

    public static NodeMessage Chunk(string lease, ulong sequence, string text) => Chunk(lease, sequence, System.Text.Encoding.UTF8.GetBytes(text));

    public static NodeMessage Chunk(string lease, ulong sequence, byte[] data) => new() { Chunk = new Chunk { LeaseId = lease, Sequence = sequence, Data = ByteString.CopyFrom(data) } };

    public static NodeMessage Done(string lease, uint prompt = 0, uint completion = 0, string finish = "", byte[]? hash = null, byte[]? commitment = null)
        => new() { Done = new Done { LeaseId = lease, Usage = new Usage { PromptTokens = prompt, CompletionTokens = completion }, FinishReason = finish, OutputSha256 = ByteString.CopyFrom(hash ?? []), LogprobCommitment = ByteString.CopyFrom(commitment ?? []) } };

    public static NodeMessage Bundle(params NodeMessage[] messages) => new() { Bundle = new Bundle { Messages = { messages } } };

    public static NodeMessage Failed(string lease, FailReason reason = FailReason.EngineError) => new() { Failed = new Failed { LeaseId = lease, Reason = reason, Detail = "it broke" } };

    public static NodeMessage Reveal(string lease, uint count, params RevealedToken[] tokens) => new() { AuditReveal = new AuditReveal { LeaseId = lease, Count = count, Tokens = { tokens } } };

    public static RevealedToken Token(uint position, byte[] content, byte[] path) => new() { Position = position, Content = ByteString.CopyFrom(content), Path = ByteString.CopyFrom(path) };

    public static NodeMessage Heartbeat() => new() { Heartbeat = new Heartbeat() };

    public static NodeMessage Paused(bool paused = true) => new() { Policy = new Policy { Paused = paused, PausedReason = "the owner plays" } };

    public static NodeMessage Signature(byte[] signature, params byte[][] receiptIds) => Answers(signature, receiptIds);

    public static NodeMessage Objection(byte[] receiptId, string words) => Answers([], [], (receiptId, words));

    public static NodeMessage Answers(byte[] signature, byte[][] receiptIds, params (byte[] ReceiptId, string Words)[] objections)
    {
        var answers = new ReceiptAnswers { Signature = ByteString.CopyFrom(signature) };
        answers.Signed.AddRange(receiptIds.Select(id => ByteString.CopyFrom(id)));
        answers.Objections.AddRange(objections.Select(objection => new ReceiptObjection { ReceiptId = ByteString.CopyFrom(objection.ReceiptId), Objection = objection.Words }));
        return new NodeMessage { ReceiptAnswers = answers };
    }

    public static NodeMessage Inventory(uint slots, params string[] models)
    {
        var engine = new Engine { Name = ScriptedSession.Engine, Kind = "ollama", Slots = slots };
        engine.Models.AddRange(models.Select(name => new Model { Name = name }));
        return Inventory(engine);
    }

    public static NodeMessage Inventory(params Engine[] engines)
    {
        var inventory = new Inventory();
        inventory.Engines.AddRange(engines);
        return new NodeMessage { Inventory = inventory };
    }
}
