using Xunit.Abstractions;

namespace Federation.EndToEnd.Tests.Harness;

/// <summary>One hub for all tests of a class, with a bystander: an honest node with the model <see cref="SteadyModel"/>.</summary>
public sealed class SharedHub : IAsyncLifetime
{
    public const string SteadyModel = "steady";

    private const string SteadyAnswer = "as ever";

    private HubProcess? _hub;
    private FakeNode? _bystander;
    private NodeLine? _bystanderLine;

    internal HubProcess Hub => _hub ?? throw new InvalidOperationException("The hub did not start.");

    public async Task InitializeAsync()
    {
        _hub = await HubProcess.StartAsync(new Dictionary<string, string>
        {
            // Short enough that a test can wait for it, long enough for a busy machine.
            ["NodeLink__HandshakeTimeout"] = "00:00:05",
            // Many a test leaves a client without a node.
            ["Pool__Patience"] = "00:00:02",
            // What has changed shows at once.
            ["Hub__DirectoryAge"] = "00:00:00",
        });
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

/// <summary>A test on a hub that it shares: after whatever it did, the hub has no complaint and serves others.</summary>
public abstract class SharedHubTest(SharedHub shared, ITestOutputHelper output) : IClassFixture<SharedHub>, IAsyncLifetime
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
