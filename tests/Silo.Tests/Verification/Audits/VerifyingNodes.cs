using System.Collections.Immutable;
using System.Reflection;
using System.Text;
using Federation.Contracts.Hubs;
using Federation.Contracts.Jobs;
using Federation.Contracts.Nodes;
using Federation.Protocol.OpenAi;
using Federation.Protocol.V1;
using Federation.Silo.Gateway;
using Federation.Silo.Hubs;
using Federation.Silo.Nodes;
using Federation.Silo.Tests.Fakes;
using Federation.Silo.Verification.Audits;
using Microsoft.Extensions.Logging.Abstractions;
using static Microsoft.Extensions.Options.Options;

namespace Federation.Silo.Tests.Verification.Audits;

/// <summary>Nodes that may judge others, and answer by the test's hand.</summary>
internal sealed class VerifyingNodes : IAsyncDisposable
{
    private readonly Dictionary<string, ScriptedSession> _nodes = [];
    private readonly HubDirectoryView _directory;
    private readonly NodeSessions _sessions = new(Create(new NodeLinkOptions()));

    public VerifyingNodes()
    {
        var grains = DispatchProxy.Create<IGrainFactory, GrainFactoryProxy>();
        ((GrainFactoryProxy)grains).Find = (kind, key) => kind == typeof(IHubGrain) ? new VerifyingHub(this) : _nodes.Values.Single(node => node.NodeId == (string)key).Grains.Node;
        _directory = new HubDirectoryView(grains, Create(new HubOptions { DirectoryAge = TimeSpan.Zero }), Clock, NullLogger<HubDirectoryView>.Instance);
        var leases = new DirectLeases(grains, new LeaseDispatcher(_sessions, grains, Clock, NullLogger<LeaseDispatcher>.Instance), Clock, NullLogger<DirectLeases>.Instance);
        Verifiers = new Verifiers(_directory, leases, Create(new AuditOptions()), Clock, NullLogger<Verifiers>.Instance);
    }

    public TestClock Clock { get; } = new();

    public Verifiers Verifiers { get; }

    /// <summary>A connected node.</summary>
    public ScriptedSession this[string name]
    {
        get
        {
            if (_nodes.TryGetValue(name, out var known)) return known;
            var node = _nodes[name] = new ScriptedSession(name, clock: Clock).Start();
            Assert.True(_sessions.TryAdd(node.Session));
            node.Grains.Node.Connections.Enqueue(new NodeConnection(node.Session.SessionId, node.Session, node.Session.Report));
            return node;
        }
    }

    /// <summary>Some of them, to be asked in this order.</summary>
    public ImmutableArray<Verifier> Of(params string[] names)
        => [.. names.Select(name => this[name]).Select(node => new Verifier(ViewOf(node), node.Session.Report.Engines[0], node.Session.Report.Engines[0].Models[0]))];

    /// <summary>A node answers what it is asked next of a kind.</summary>
    public Task AnswerAsync(string name, JobKind kind, string body) => AnswerAsync(name, kind, _ => Encoding.UTF8.GetBytes(body));

    /// <summary>The same, by what it is asked.</summary>
    public async Task AnswerAsync(string name, JobKind kind, Func<ReadOnlyMemory<byte>, byte[]> answer)
    {
        Assign assign;
        do assign = (await this[name].NextAsync(HubMessage.MessageOneofCase.Assign)).Assign;
        while (assign.LeaseId == "job_1.1");
        Assert.Equal(kind.Word(), assign.Kind);
        this[name].Say(Says.Head(assign.LeaseId, contentType: "application/json"), Says.Chunk(assign.LeaseId, 0, answer(assign.Body.Memory)), Says.Done(assign.LeaseId));
    }

    /// <summary>What a worker was asked and has answered, in two pieces.</summary>
    public static KeptAnswer Kept(JobKind kind, string request, string answer)
    {
        var outcome = new JobOutcome("job_1", 1, "acct", "key", kind, ScriptedSession.Model, "", 0, "nd_worker", JobStatus.Succeeded, "", 3, 0, [], [], 0, 0, 0, 0, "dc");
        var bytes = Encoding.UTF8.GetBytes(answer);
        return new KeptAnswer(outcome, "engine", Encoding.UTF8.GetBytes(request), [bytes.AsMemory(0, 5), bytes.AsMemory(5)]);
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var node in _nodes.Values) await node.DisposeAsync();
        _directory.Dispose();
    }

    private static NodeView ViewOf(ScriptedSession node) => new(node.NodeId, "acct_other", "", Standing.Trusted, "cpu", true, null, node.Session.Report);

    /// <summary>Everybody is known.</summary>
    private sealed class VerifyingHub(VerifyingNodes nodes) : IHubGrain
    {
        public Task ReportNode(NodeView node) => throw new NotSupportedException();

        public Task RemoveNode(string nodeId) => throw new NotSupportedException();

        public Task<HubDirectory?> GetDirectory(long knownVersion) => Task.FromResult<HubDirectory?>(new HubDirectory(knownVersion + 1, [.. nodes._nodes.Values.Select(ViewOf)], []));
    }
}
