using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests.Harness;

/// <summary>One hub for all tests of a class, with a bystander: an honest node with the model <see cref="SteadyModel"/>.</summary>
public class SharedHub : IAsyncLifetime
{
    public const string SteadyModel = "steady";

    private const string SteadyAnswer = "as ever";

    private HubProcess? _hub;
    private FakeNode? _bystander;
    private NodeLine? _bystanderLine;

    internal HubProcess Hub => _hub ?? throw new InvalidOperationException("The hub did not start.");

    /// <summary>What the hub is started with.</summary>
    private protected virtual Dictionary<string, string> Settings() => new()
    {
        // Short enough that a test can wait for it, long enough for a busy machine.
        ["NodeLink__HandshakeTimeout"] = "00:00:05",
        // Many a test leaves a client without a node.
        ["Pool__Patience"] = "00:00:02",
        // What has changed shows at once.
        ["Hub__DirectoryAge"] = "00:00:00",
    };

    public async Task InitializeAsync()
    {
        _hub = await HubProcess.StartAsync(Settings());
        _bystander = await FakeNode.JoinedAsync(_hub);
        _bystanderLine = await _bystander.ConnectAsync(_hub, SteadyModel, 64);
        _bystanderLine.Serve(SteadyAnswer);
    }

    /// <summary>Checks that whoever is not to blame is served as ever.</summary>
    internal async Task AssertServesOthersAsync()
    {
        using var client = Hub.Client();
        using var stream = await client.StreamChatAsync(SteadyModel);
        Assert.Equal(SteadyAnswer, await stream.TextAsync());
        Assert.Equal(SteadyAnswer, (await client.ChatAsync(SteadyModel)).Content);
    }

    public async Task DisposeAsync()
    {
        if (_bystanderLine is not null) await _bystanderLine.DisposeAsync();
        if (_bystander is not null) await _bystander.DisposeAsync();
        if (_hub is not null) await _hub.DisposeAsync();
    }
}

/// <summary>A hub that challenges its nodes' hardware, all the time and with as little work as a challenge can have.</summary>
public sealed class ChallengingHub : SharedHub
{
    /// <summary>How long the hub waits for a proof, and for a commitment a little more.</summary>
    public static readonly TimeSpan Window = TimeSpan.FromSeconds(4);

    private protected override Dictionary<string, string> Settings() => new(base.Settings())
    {
        ["ChallengeSchedule__Enabled"] = "true",
        ["ChallengeSchedule__FirstAfter"] = "00:00:00.1",
        ["ChallengeSchedule__AgainAfter"] = "00:00:00.2",
        ["ChallengeSchedule__Slot"] = "00:00:00.01",
        ["ChallengeSchedule__PingTimeout"] = "00:00:00.2",
        ["ChallengeSchedule__CpuMemoryBytes"] = "1048576",
        ["Challenges__SmallMatrix"] = "128",
        ["Challenges__MatrixTime"] = "00:00:00.001",
        ["Challenges__MemoryTime"] = "00:00:00.001",
        ["Challenges__DeadlineMargin"] = Window.ToString(),
        ["Challenges__ProofWindow"] = Window.ToString(),
    };
}

/// <inheritdoc cref="SharedHubTest{THub}"/>
public abstract class SharedHubTest(SharedHub shared, ITestOutputHelper output) : SharedHubTest<SharedHub>(shared, output);

/// <summary>A test on a hub that it shares: after whatever it did, the hub has no complaint and serves others.</summary>
public abstract class SharedHubTest<THub>(THub shared, ITestOutputHelper output) : IClassFixture<THub>, IAsyncLifetime
    where THub : SharedHub
{
    private readonly List<IAsyncDisposable> _started = [];
    private readonly int _linesBefore = shared.Hub.Process.Lines.Count;

    private protected HubProcess Hub => shared.Hub;

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        foreach (var one in Enumerable.Reverse(_started)) await one.DisposeAsync();
        await shared.AssertServesOthersAsync();
        var said = Hub.Process.Lines.Skip(_linesBefore).ToList();
        foreach (var line in said) output.WriteLine(line);
        HubProcess.AssertNoComplaints(said);
    }

    private protected T Keep<T>(T disposable)
        where T : IAsyncDisposable
    {
        _started.Add(disposable);
        return disposable;
    }

    private protected async Task<FakeNode> JoinedNodeAsync(string? account = null) => Keep(await FakeNode.JoinedAsync(Hub, account));

    /// <summary>A connected node with a model that nobody else has.</summary>
    private protected async Task<(FakeNode Node, NodeLine Line, string Model)> ConnectedNodeAsync(string? account = null)
    {
        var node = await JoinedNodeAsync(account);
        var model = $"model-of-{node.Id}";
        return (node, Keep(await node.ConnectAsync(Hub, model)), model);
    }
}
