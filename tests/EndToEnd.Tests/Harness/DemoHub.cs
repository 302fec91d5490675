using System.Diagnostics;
using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests.Harness;

/// <summary>One hub for all tests of a class, with one real agent that serves the demo model.</summary>
public sealed class DemoHub : IAsyncLifetime
{
    /// <summary>Tokens of "17+25=" and of its answer, as the model's reference has them.</summary>
    public const int PromptTokens = 12;

    /// <inheritdoc cref="PromptTokens"/>
    public const int CompletionTokens = 3;

    private HubProcess? _hub;
    private AgentProcess? _agent;

    internal HubProcess Hub => _hub ?? throw new InvalidOperationException("The hub did not start.");

    internal AgentProcess Agent => _agent ?? throw new InvalidOperationException("The agent did not start.");

    public async Task InitializeAsync()
    {
        _hub = await HubProcess.StartAsync();
        _agent = await AgentProcess.StartAsync(_hub, AgentEngines.Demo());
    }

    public async Task DisposeAsync()
    {
        if (_agent is not null) await _agent.DisposeAsync();
        if (_hub is not null) await _hub.DisposeAsync();
    }
}

/// <summary>A test on a demo hub that it shares: after it, the hub has no complaint.</summary>
public abstract class DemoHubTest(DemoHub demo, ITestOutputHelper output) : IClassFixture<DemoHub>, IAsyncLifetime
{
    private readonly int _linesBefore = demo.Hub.Process.Lines.Count;

    private protected HubProcess Hub => demo.Hub;

    private protected AgentProcess Agent => demo.Agent;

    public Task InitializeAsync() => Task.CompletedTask;

    public Task DisposeAsync()
    {
        var said = Hub.Process.Lines.Skip(_linesBefore).ToList();
        foreach (var line in said) output.WriteLine(line);
        output.WriteLine($"--- agent\n{Agent.Process.Tail()}");
        HubProcess.AssertNoComplaints(said);
        return Task.CompletedTask;
    }

    /// <summary>
    /// Has a client abort a stream of an endless answer after its third piece, and checks that the engine is told to stop
    /// within a second. A node of ours gives the answer: the demo model would be done before anybody could abort.
    /// </summary>
    private protected async Task AssertAbortStopsTheEngineAsync(Func<string, Task> askAndAbortAfterThreePieces)
    {
        const string model = "endless";
        await using var node = await FakeNode.JoinedAsync(Hub);
        await using var line = await node.ConnectAsync(Hub, model);
        var asking = askAndAbortAfterThreePieces(model);
        var lease = await line.NextAssignAsync();
        await line.BeginAsync(lease);
        for (ulong sequence = 0; sequence < 2; sequence++) await line.ChunkAsync(lease.LeaseId, sequence, Chats.Piece("word "));
        // The client aborts on what comes next, so the clock starts before it.
        var clock = Stopwatch.StartNew();
        await line.ChunkAsync(lease.LeaseId, 2, Chats.Piece("word "));
        var cancel = await line.NextCancelAsync();
        Assert.Equal(lease.LeaseId, cancel.LeaseId);
        Assert.Equal("client_gone", cancel.Reason);
        Assert.True(clock.Elapsed < TimeSpan.FromSeconds(1), $"The engine was told to stop only after {clock.Elapsed}.");
        await asking.Soon("the client to end");
        using var admin = Hub.Client();
        await Patience.UntilAsync(async () => (await admin.NodeAsync(node.Id.ToString()))["running_leases"]!.GetValue<int>() == 0, "the node to be idle");
    }
}
