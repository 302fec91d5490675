using Federation.NodeAgent.Engines;
using Microsoft.Extensions.Logging.Abstractions;

namespace Federation.NodeAgent.Tests.Engines;

public sealed class EngineWatchTests : IAsyncDisposable
{
    private static readonly EngineWatchOptions Options = new();

    private readonly ManualTime time = new();
    private readonly ManualEngine first = new("first");
    private readonly ManualEngine second = new("second");
    private readonly CancellationTokenSource stop = new();
    private readonly EngineWatch watch;
    private readonly IAsyncEnumerator<EngineSnapshot> changes;
    private readonly Task running;

    public EngineWatchTests()
    {
        first.Inventory = _ => Found("a");
        watch = new EngineWatch([first, second], Options, time, NullLogger<EngineWatch>.Instance);
        changes = watch.ChangesAsync(stop.Token).GetAsyncEnumerator();
        running = watch.RunAsync(stop.Token);
    }

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        await running.WaitAsync(TimeSpan.FromSeconds(30));
        stop.Dispose();
    }

    [Fact]
    public async Task The_first_snapshot_has_the_engines_that_are_there()
    {
        var snapshot = await NextAsync();

        Assert.Equal(["first"], snapshot.Engines.Select(state => state.Engine.Name));
        Assert.Equal("a", Assert.Single(snapshot.Find("first")!.Inventory.Models).Name);
        Assert.Null(snapshot.Find("second"));
    }

    [Fact]
    public async Task An_engine_that_appears_changes_or_dies_is_noticed_at_the_next_look()
    {
        await NextAsync();

        second.Inventory = _ => Found("b");
        await LookAgainAsync();
        Assert.Equal(["a", "b"], Models(await NextAsync()));

        first.Inventory = _ => Found("a", "c");
        await LookAgainAsync();
        Assert.Equal(["a", "c", "b"], Models(await NextAsync()));

        first.Inventory = _ => Task.FromResult<EngineInventory?>(null);
        await LookAgainAsync();
        Assert.Equal(["b"], Models(await NextAsync()));
    }

    [Fact]
    public async Task Nothing_is_told_while_nothing_changes()
    {
        var snapshot = await NextAsync();
        for (var i = 0; i < 5; i++)
        {
            await LookAgainAsync();
        }

        await time.UntilSetAsync(Options.Interval, count: 2);
        Assert.Same(snapshot, watch.Current);
    }

    [Fact]
    public async Task An_engine_that_fails_counts_as_gone_and_is_looked_at_again()
    {
        await NextAsync();

        first.Inventory = _ => throw new InvalidOperationException("broken on purpose");
        await LookAgainAsync();
        Assert.Empty((await NextAsync()).Engines);

        first.Inventory = _ => Found("a");
        await LookAgainAsync();
        Assert.Equal(["a"], Models(await NextAsync()));
    }

    [Fact]
    public async Task An_engine_that_hangs_delays_no_other_and_counts_as_gone()
    {
        await NextAsync();
        await time.UntilSetAsync(Options.Interval, count: 2);
        var isHanging = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        first.Inventory = async cancellationToken =>
        {
            isHanging.SetResult();
            await Task.Delay(Timeout.InfiniteTimeSpan, cancellationToken);
            return null;
        };
        second.Inventory = _ => Found("b");

        time.Advance(Options.Interval);
        await isHanging.Task;
        Assert.Equal(["a", "b"], Models(await NextAsync()));

        await time.UntilSetAsync(Options.Patience);
        time.Advance(Options.Patience);
        Assert.Equal(["b"], Models(await NextAsync()));
    }

    [Fact]
    public void Two_engines_of_one_name_are_refused() =>
        Assert.Throws<ArgumentException>(() =>
            new EngineWatch([first, new ManualEngine("first")], Options, time, NullLogger<EngineWatch>.Instance));

    private static Task<EngineInventory?> Found(params string[] models) => Task.FromResult<EngineInventory?>(new EngineInventory(
        "1", [.. models.Select(model => new EngineModel(model, null, null, true, null, ["chat"], null))]));

    private static IEnumerable<string> Models(EngineSnapshot snapshot) =>
        snapshot.Engines.SelectMany(state => state.Inventory.Models.Select(model => model.Name));

    private async Task<EngineSnapshot> NextAsync()
    {
        Assert.True(await changes.MoveNextAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(30)));
        return changes.Current;
    }

    /// <summary>Moves the clock once both engines are being waited with.</summary>
    private async Task LookAgainAsync()
    {
        await time.UntilSetAsync(Options.Interval, count: 2);
        time.Advance(Options.Interval);
    }
}
