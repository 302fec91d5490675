using Federation.NodeAgent.Engines;
using Microsoft.Extensions.Logging.Abstractions;

namespace Federation.NodeAgent.Tests.Engines;

public sealed class EngineWatchTests : IAsyncDisposable
{
    private static readonly EngineWatchOptions Options = new() { AbsentInterval = new EngineWatchOptions().Interval };

    private readonly ManualTime _time = new();
    private readonly ManualEngine _first = new("first");
    private readonly ManualEngine _second = new("second");
    private readonly CancellationTokenSource _stop = new();
    private readonly EngineWatch _watch;
    private readonly IAsyncEnumerator<EngineSnapshot> _changes;
    private readonly Task _running;

    public EngineWatchTests()
    {
        _first.Inventory = _ => Found("a");
        _watch = new EngineWatch([_first, _second], Options, _time, NullLogger<EngineWatch>.Instance);
        _changes = _watch.ChangesAsync(_stop.Token).GetAsyncEnumerator();
        _running = _watch.RunAsync(_stop.Token);
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _running.WaitAsync(TimeSpan.FromSeconds(30));
        _stop.Dispose();
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

        _second.Inventory = _ => Found("b");
        await LookAgainAsync();
        Assert.Equal(["a", "b"], Models(await NextAsync()));

        _first.Inventory = _ => Found("a", "c");
        await LookAgainAsync();
        Assert.Equal(["a", "c", "b"], Models(await NextAsync()));

        _first.Inventory = _ => Task.FromResult<EngineInventory?>(null);
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

        await _time.UntilSetAsync(Options.Interval, count: 2);
        Assert.Same(snapshot, _watch.Current);
    }

    [Fact]
    public async Task An_engine_that_fails_counts_as_gone_and_is_looked_at_again()
    {
        await NextAsync();

        _first.Inventory = _ => throw new InvalidOperationException("broken on purpose");
        await LookAgainAsync();
        Assert.Empty((await NextAsync()).Engines);

        _first.Inventory = _ => Found("a");
        await LookAgainAsync();
        Assert.Equal(["a"], Models(await NextAsync()));
    }

    [Fact]
    public async Task An_engine_that_hangs_delays_no_other_and_counts_as_gone()
    {
        await NextAsync();
        await _time.UntilSetAsync(Options.Interval, count: 2);
        var isHanging = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _first.Inventory = async cancellationToken =>
        {
            isHanging.SetResult();
            await Task.Delay(Timeout.InfiniteTimeSpan, cancellationToken);
            return null;
        };
        _second.Inventory = _ => Found("b");

        _time.Advance(Options.Interval);
        await isHanging.Task;
        Assert.Equal(["a", "b"], Models(await NextAsync()));

        await _time.UntilSetAsync(Options.Patience);
        _time.Advance(Options.Patience);
        Assert.Equal(["b"], Models(await NextAsync()));
    }

    [Fact]
    public async Task An_engine_that_is_not_there_is_looked_at_less_often()
    {
        using var stop = new CancellationTokenSource();
        var options = new EngineWatchOptions();
        var time = new ManualTime();
        var running = new EngineWatch([_first, _second], options, time, NullLogger<EngineWatch>.Instance).RunAsync(stop.Token);

        await time.UntilSetAsync(options.Interval);
        await time.UntilSetAsync(options.AbsentInterval);
        Assert.True(options.AbsentInterval > options.Interval);

        await stop.CancelAsync();
        await running;
    }

    [Fact]
    public void Two_engines_of_one_name_are_refused() =>
        Assert.Throws<ArgumentException>(() =>
            new EngineWatch([_first, new ManualEngine("first")], Options, _time, NullLogger<EngineWatch>.Instance));

    private static Task<EngineInventory?> Found(params string[] models) => Task.FromResult<EngineInventory?>(new EngineInventory(
        "1", [.. models.Select(model => new EngineModel(model, null, null, true, null, ["chat"], null))]));

    private static IEnumerable<string> Models(EngineSnapshot snapshot) =>
        snapshot.Engines.SelectMany(state => state.Inventory.Models.Select(model => model.Name));

    private async Task<EngineSnapshot> NextAsync()
    {
        Assert.True(await _changes.MoveNextAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(30)));
        return _changes.Current;
    }

    /// <summary>Moves the clock once both engines are being waited with.</summary>
    private async Task LookAgainAsync()
    {
        await _time.UntilSetAsync(Options.Interval, count: 2);
        _time.Advance(Options.Interval);
    }
}
