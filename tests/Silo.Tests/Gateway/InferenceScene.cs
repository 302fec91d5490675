using System.Text;
using Federation.Contracts.Accounts;
using Federation.Protocol.OpenAi;
using Federation.Silo.Accounts;
using Federation.Silo.Gateway;
using Federation.Silo.Gateway.Rescue;
using Federation.Silo.Gateway.Routing;
using Federation.Silo.Models;
using Federation.Silo.Nodes;
using Federation.Silo.Tests.Fakes;
using Federation.Silo.Verification.Audits;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging.Abstractions;

namespace Federation.Silo.Tests.Gateway;

/// <summary>One request on its way through the gateway: its client, the pool that grants, the nodes that answer.</summary>
internal sealed class InferenceScene : IAsyncDisposable
{
    public const string JobId = "job_1";

    private readonly Dictionary<string, ScriptedSession> _nodes = [];
    private readonly NodeSessions _sessions;
    private readonly CancellationTokenSource _clientGone = new();
    private readonly Client _client = new();
    private readonly NodeLinkOptions _link = new();
    private InferenceRun? _run;

    public InferenceScene(bool stream = true, Action<GatewayOptions>? configure = null, string body = """{"model":"llama","messages":[{"content":"hi"}]}""", JobKind kind = JobKind.Chat)
    {
        configure?.Invoke(Options);
        _sessions = new NodeSessions(Microsoft.Extensions.Options.Options.Create(_link));
        Audited = new AnswerBuffer(Microsoft.Extensions.Options.Options.Create(new AuditOptions()), new Random(1), Clock);
        Room = new PieceRoom(Microsoft.Extensions.Options.Options.Create(Options));
        Traces = new RequestTraces(Microsoft.Extensions.Options.Options.Create(new RequestTraceOptions()), Clock);
        Settlements = new Settlements(Grains.Grains, Microsoft.Extensions.Options.Options.Create(Options), Clock, NullLogger<Settlements>.Instance);
        Http = new DefaultHttpContext { Request = { Path = "/v1/chat/completions" }, Response = { Body = _client }, RequestAborted = _clientGone.Token };
        Request = new InferenceRequest(
            JobId,
            kind,
            new RequestHead(ScriptedSession.Model, stream),
            Encoding.UTF8.GetBytes(body),
            new ApiCaller("acct_ann", "key_1", []),
            new Admission(true, Tier.Pro, 4, 1));
    }

    public GatewayOptions Options { get; } = new();

    public PoolOptions PoolOptions { get; } = new();

    public FakeGrains Grains { get; } = new();

    public FakePool Pool => Grains.Pool(ScriptedSession.Model);

    public TestClock Clock { get; } = new();

    public Settlements Settlements { get; }

    /// <summary>Why requests went where they went.</summary>
    public RequestTraces Traces { get; }

    /// <summary>What may be audited.</summary>
    public AnswerBuffer Audited { get; }

    /// <summary>For what is kept of answers under way.</summary>
    public PieceRoom Room { get; }

    public DefaultHttpContext Http { get; }

    public InferenceRequest Request { get; set; }

    /// <summary>What the client has received.</summary>
    public string Received => _client.Text;

    public Task Running { get; private set; } = Task.CompletedTask;

    /// <summary>What was answered is on record.</summary>
    public Task Settled => _run!.Settled;

    /// <summary>A node that the pool will grant next.</summary>
    public ScriptedSession GrantNext(string name = "a")
    {
        var node = Node(name);
        Pool.ThenGrant(node.Member);
        return node;
    }

    /// <summary>A connected node.</summary>
    public ScriptedSession Node(string name)
    {
        if (_nodes.TryGetValue(name, out var known)) return known;
        var node = _nodes[name] = new ScriptedSession(name, _link, Grains, Clock);
        Assert.True(_sessions.TryAdd(node.Session));
        return node.Start();
    }

    public InferenceScene Start()
    {
        var dispatcher = new LeaseDispatcher(_sessions, Grains.Grains, Clock, NullLogger<LeaseDispatcher>.Instance);
        _run = new InferenceRun(Request, new OpenAiSink(Http), Grains.Grains, dispatcher, Settlements, new Abandonments(Grains.Grains, NullLogger<Abandonments>.Instance), Audited, Room, Traces, Options, PoolOptions, Clock, NullLogger.Instance);
        Running = _run.ExecuteAsync();
        return this;
    }

    public Task EndAsync() => Running.WithinPatienceAsync();

    public Task ReceivesAsync(string text) => Eventually.TrueAsync(() => Running.IsCompleted || Received.Contains(text, StringComparison.Ordinal), $"the client to receive {text}");

    /// <summary>The client closes its connection.</summary>
    public void Leave() => _clientGone.Cancel();

    public async ValueTask DisposeAsync()
    {
        Leave();
        await Running.ContinueWith(_ => { }, TaskScheduler.Default).WithinPatienceAsync();
        foreach (var node in _nodes.Values) await node.DisposeAsync();
        Settlements.Dispose();
        _clientGone.Dispose();
    }

    /// <summary>The client's end of the connection.</summary>
    private sealed class Client : MemoryStream
    {
        private readonly Lock _gate = new();

        public string Text
        {
            get
            {
                lock (_gate) return Encoding.UTF8.GetString(ToArray());
            }
        }

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            cancellationToken.ThrowIfCancellationRequested();
            lock (_gate) Write(buffer.Span);
            return ValueTask.CompletedTask;
        }
    }
}
