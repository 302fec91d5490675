using System.Text;
using System.Text.Json.Nodes;
using Federation.Protocol.V1;
using Google.Protobuf;
using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests.Harness;

/// <summary>A real agent with the demo model, and the scripted hub it works for.</summary>
public sealed class AgentOfScriptedHub : IAsyncLifetime
{
    private ScriptedHub? _hub;
    private AgentProcess? _agent;
    private HubLine? _line;
    private int _leases;

    internal ScriptedHub Hub => _hub ?? throw new InvalidOperationException("The hub did not start.");

    internal AgentProcess Agent => _agent ?? throw new InvalidOperationException("The agent did not start.");

    /// <summary>The agent's connection.</summary>
    internal HubLine Line => _line ?? throw new InvalidOperationException("The agent did not connect.");

    public async Task InitializeAsync()
    {
        _hub = await ScriptedHub.StartAsync();
        _agent = await AgentProcess.StartAsync(_hub.Api, "jt_any", AgentEngines.Demo());
        await WelcomeAsync();
        // What a process takes once and for all, it has taken.
        await AssertServesAsync();
    }

    /// <summary>Welcomes the agent, which was hung up on, again.</summary>
    internal async Task WelcomeAsync(Welcome? welcome = null) => _line = await Hub.WelcomeAsync(welcome);

    /// <summary>A lease id that was not used before.</summary>
    internal string NextLeaseId() => $"ls_{++_leases}";

    /// <summary>A lease for the demo model.</summary>
    internal static Assign Lease(string id, string question = "17+25=") => new()
    {
        LeaseId = id,
        JobId = $"jb_{id}",
        Kind = "chat",
        Model = AgentProcess.Model,
        Engine = "builtin",
        Body = ByteString.CopyFromUtf8(Chats.Question(AgentProcess.Model, question, stream: false)),
        DeadlineMs = 60_000,
        Attempt = 1,
    };

    /// <summary>Checks that the agent answers a client as ever; gives the lease.</summary>
    internal async Task<Assign> AssertServesAsync()
    {
        Assign? lease = null;
        // Right after a connection the engine may not have been looked at yet.
        await Patience.UntilAsync(
            async () =>
            {
                lease = Lease(NextLeaseId());
                await Line.SendAsync(new HubMessage { Assign = lease });
                // It may begin without having said that it takes the lease.
                return (await Line.NextAsync(message => (message.Accept?.LeaseId ?? message.Head?.LeaseId ?? message.Refuse?.LeaseId) == lease.LeaseId, "an answer to a lease")).Refuse is null;
            },
            "the agent to take a lease");
        var end = await Line.NextAsync(message => message.Done?.LeaseId == lease!.LeaseId || message.Failed?.LeaseId == lease.LeaseId, "the end of a lease");
        Assert.True(end.Done is not null, $"The lease failed: {end.Failed?.Detail}");
        var answer = new StringBuilder();
        while (Line.Count(message => message.Chunk?.LeaseId == lease!.LeaseId) > 0) answer.Append((await Line.NextAsync(message => message.Chunk?.LeaseId == lease!.LeaseId, "a chunk")).Chunk.Data.ToStringUtf8());
        Assert.Equal("42", JsonNode.Parse(answer.ToString())!["choices"]![0]!["message"]!["content"]!.ToString());
        return lease!;
    }

    public async Task DisposeAsync()
    {
        if (_agent is not null) await _agent.DisposeAsync();
        if (_hub is not null) await _hub.DisposeAsync();
    }
}

/// <summary>A test on an agent that it shares: after whatever its hub did, the agent serves, has found no fault with itself, and never took much memory.</summary>
public abstract class ScriptedHubTest(AgentOfScriptedHub shared, ITestOutputHelper output) : IClassFixture<AgentOfScriptedHub>, IAsyncLifetime
{
    /// <summary>
    /// What nothing that a hub says may make an agent take, bytes: a small part of what the worst messages ask for, and several times what the agent has anyway.
    /// </summary>
    private const long PeakMax = 400L << 20;

    private readonly int _linesBefore = shared.Agent.Process.Lines.Count;

    private protected ScriptedHub Hub => shared.Hub;

    private protected AgentProcess Agent => shared.Agent;

    private protected HubLine Line => shared.Line;

    /// <summary>What the agent wrote in this test.</summary>
    private protected IEnumerable<string> Said => Agent.Process.Lines.Skip(_linesBefore);

    public async Task InitializeAsync()
    {
        // A test that failed may have left no connection.
        if (Line.IsOver) await WelcomeAsync();
        Agent.Process.ForgetPeak();
    }

    public async Task DisposeAsync()
    {
        foreach (var line in Said) output.WriteLine(line.Length < 1_000 ? line : line[..1_000]);
        await shared.AssertServesAsync();
        Assert.False(Agent.Process.HasExited);
        Assert.DoesNotContain(Said, line => line.Contains(" fail: ", StringComparison.Ordinal) || line.Contains(" crit: ", StringComparison.Ordinal) || line.StartsWith("Unhandled", StringComparison.Ordinal));
        Assert.InRange(Agent.Process.PeakBytes(), 1, PeakMax);
    }

    /// <inheritdoc cref="AgentOfScriptedHub.WelcomeAsync"/>
    private protected Task WelcomeAsync(Welcome? welcome = null) => shared.WelcomeAsync(welcome);

    private protected string NextLeaseId() => shared.NextLeaseId();

    private protected Task<Assign> AssertServesAsync() => shared.AssertServesAsync();

    /// <summary>The agent says no to this lease, in these words.</summary>
    private protected async Task ExpectRefusalAsync(Assign lease, RefuseReason reason, string words)
    {
        await Line.SendAsync(new HubMessage { Assign = lease });
        var answer = await Line.NextAsync(message => (message.Refuse?.LeaseId ?? message.Accept?.LeaseId ?? message.Done?.LeaseId) == lease.LeaseId, "an answer to a lease");
        Assert.True(answer.Refuse is not null, "The agent took the lease.");
        Assert.Equal((reason, words), (answer.Refuse.Reason, answer.Refuse.Detail));
    }

    /// <summary>The agent writes this to its log.</summary>
    private protected async Task ExpectLogAsync(string words)
        => await Patience.UntilAsync(() => Task.FromResult(Said.Any(line => line.Contains(words, StringComparison.Ordinal))), $"\"{words}\" in the agent's log:\n{Agent.Process.Tail()}");

    /// <summary>The agent hangs up, says why, comes back, and is welcomed.</summary>
    private protected async Task ExpectRedialAsync(string words)
    {
        await ExpectLogAsync($"No connection to the hub: {words}");
        await WelcomeAsync();
    }
}
