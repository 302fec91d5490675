using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests.Harness;

/// <summary>
/// A test with processes of its own. They stop when it ends, their logs go to its output, and it fails if a hub said that
/// something is wrong with itself.
/// </summary>
public abstract class EndToEndTest(ITestOutputHelper output) : IAsyncLifetime
{
    private readonly List<IAsyncDisposable> _started = [];
    private readonly List<(string Name, ChildProcess Process)> _logs = [];
    private readonly List<HubProcess> _hubs = [];
    private readonly List<string> _expectedComplaints = [];

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        foreach (var (name, process) in _logs) output.WriteLine($"--- {name}\n{process.Tail(200)}");
        foreach (var one in Enumerable.Reverse(_started)) await one.DisposeAsync();
        foreach (var hub in _hubs) HubProcess.AssertNoComplaints(hub.Process.Lines, [.. _expectedComplaints]);
    }

    /// <summary>Says something beside the logs, as what was measured.</summary>
    private protected void Note(string line) => output.WriteLine(line);

    /// <summary>The hub may say this of itself in this test.</summary>
    private protected void ExpectComplaint(string part) => _expectedComplaints.Add(part);

    /// <summary>Stops with the test.</summary>
    private protected T Keep<T>(T disposable)
        where T : IAsyncDisposable
    {
        _started.Add(disposable);
        return disposable;
    }

    private protected async Task<HubProcess> StartHubAsync(
        IReadOnlyDictionary<string, string>? settings = null, IEnumerable<string>? arguments = null, string? data = null, string listen = "127.0.0.1:0")
    {
        var hub = Keep(await HubProcess.StartAsync(settings, arguments, data, listen));
        _hubs.Add(hub);
        _logs.Add(("hub", hub.Process));
        return hub;
    }

    private protected async Task<AgentProcess> StartAgentAsync(HubProcess hub, AgentEngines engines, string? account = null, IReadOnlyDictionary<string, string>? environment = null, HttpMessageHandler? handler = null)
    {
        var agent = Keep(await AgentProcess.StartAsync(hub, engines, account, environment, handler));
        _logs.Add(("agent", agent.Process));
        return agent;
    }

    private protected async Task<ScriptedEngine> StartEngineAsync(string model) => Keep(await ScriptedEngine.StartAsync(model));

    private protected async Task<FakeNode> JoinedNodeAsync(HubProcess hub, string? account = null) => Keep(await FakeNode.JoinedAsync(hub, account));

    private protected async Task<NodeLine> ConnectedNodeAsync(HubProcess hub, string model, uint slots = 4)
        => Keep(await (await JoinedNodeAsync(hub)).ConnectAsync(hub, model, slots));
}
