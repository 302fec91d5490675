// SPDX-License-Identifier: Apache-2.0
using Federation.Standins.Orleans.Tests.Cluster;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Concurrency;
using Orleans.Serialization.Invocation;

namespace Federation.Standins.Orleans.Tests;

/// <summary>Methods that note their begin and end in the journal and wait at a gate in between.</summary>
public interface IGatedGrain : IGrainWithStringKey
{
    Task Pass(string name);

    [AlwaysInterleave]
    Task PassAlways(string name);

    [ReadOnly]
    Task Look(string name);

    /// <summary>Calls back into the grain that called.</summary>
    Task CallBack(IGatedGrain caller, string name);

    /// <summary>Calls another grain, which calls back here.</summary>
    Task CallOutAndBack(IGatedGrain other, string name);

    Task CallOutAndBackAllowed(IGatedGrain other, string name);
}

public interface IReentrantGatedGrain : IGatedGrain
{
    /// <summary>Reads a counter, yields, and writes it one higher: loses updates when interleaved.</summary>
    Task IncrementAcrossAwait();

    /// <summary>Adds to a counter many times without awaiting.</summary>
    Task IncrementInOneTurn();

    Task<int> Count();
}

public interface IPickyGatedGrain : IGatedGrain;

public abstract class GatedGrainBase(Journal journal) : Grain, IGatedGrain
{
    public Task Pass(string name) => Visit(name);

    public Task PassAlways(string name) => Visit(name);

    public Task Look(string name) => Visit(name);

    public Task CallBack(IGatedGrain caller, string name) => caller.Pass(name);

    public async Task CallOutAndBack(IGatedGrain other, string name) => await other.CallBack(this.AsReference<IGatedGrain>(), name);

    public async Task CallOutAndBackAllowed(IGatedGrain other, string name)
    {
        using var allowed = RequestContext.AllowCallChainReentrancy();
        await other.CallBack(this.AsReference<IGatedGrain>(), name);
    }

    private async Task Visit(string name)
    {
        var key = this.GetPrimaryKeyString();
        journal.Write(key, $"{name} begins");
        await journal.PassAsync($"{key}/{name}");
        journal.Write(key, $"{name} ends");
    }
}

public sealed class GatedGrain(Journal journal) : GatedGrainBase(journal);

[Reentrant]
public sealed class ReentrantGatedGrain(Journal journal) : GatedGrainBase(journal), IReentrantGatedGrain
{
    private int _count;

    public async Task IncrementAcrossAwait()
    {
        var count = _count;
        await Task.Yield();
        _count = count + 1;
    }

    public async Task IncrementInOneTurn()
    {
        await Task.Yield();
        for (var i = 0; i < 100; i++)
        {
            _count++;
        }
    }

    public Task<int> Count() => Task.FromResult(_count);
}

[MayInterleave(nameof(ArgumentSaysSo))]
public sealed class PickyGatedGrain(Journal journal) : GatedGrainBase(journal), IPickyGatedGrain
{
    public static bool ArgumentSaysSo(IInvokable request) =>
        request.GetArgumentCount() > 0 && request.GetArgument(0) is string name && name.StartsWith("easy", StringComparison.Ordinal);
}

public sealed class OrderTests(SiloFixture fixture) : IClassFixture<SiloFixture>
{
    private readonly Journal _journal = fixture.Silo.Services.GetRequiredService<Journal>();

    private IGatedGrain Plain(string key) => fixture.Silo.Grains.GetGrain<IGatedGrain>(key, typeof(GatedGrain).FullName);

    [Fact]
    public async Task A_call_waits_until_the_one_before_it_has_ended()
    {
        var grain = Plain("one-by-one");
        var (first, second) = (grain.Pass("first"), grain.Pass("second"));
        Assert.Equal("first begins", await _journal.ReadAsync("one-by-one"));
        _journal.Open("one-by-one/second");
        _journal.Open("one-by-one/first");
        await Task.WhenAll(first, second);
        Assert.Equal(["first ends", "second begins", "second ends"], _journal.ReadAll("one-by-one"));
    }

    [Fact]
    public async Task Calls_of_one_caller_to_an_active_grain_run_in_the_order_they_were_made()
    {
        var grain = Plain("in-order");
        _journal.Open("in-order/activate");
        await grain.Pass("activate");
        _journal.ReadAll("in-order");
        var calls = Enumerable.Range(0, 50).Select(i =>
        {
            _journal.Open($"in-order/{i}");
            return grain.Pass($"{i}");
        }).ToArray();
        await Task.WhenAll(calls);
        var expected = Enumerable.Range(0, 50).SelectMany(i => new[] { $"{i} begins", $"{i} ends" });
        Assert.Equal(expected, _journal.ReadAll("in-order"));
    }

    [Fact]
    public async Task A_method_marked_always_interleave_runs_beside_another()
    {
        var grain = Plain("always");
        var held = grain.Pass("held");
        Assert.Equal("held begins", await _journal.ReadAsync("always"));
        _journal.Open("always/passing");
        await grain.PassAlways("passing");
        _journal.Open("always/held");
        await held;
        Assert.Equal(["passing begins", "passing ends", "held ends"], _journal.ReadAll("always"));
    }

    [Fact]
    public async Task A_plain_call_waits_for_an_always_interleaving_one_no_more_than_it_for_a_plain_one()
    {
        var grain = Plain("beside-always");
        var held = grain.PassAlways("held");
        Assert.Equal("held begins", await _journal.ReadAsync("beside-always"));
        _journal.Open("beside-always/plain");
        await grain.Pass("plain");
        _journal.Open("beside-always/held");
        await held;
        Assert.Equal(["plain begins", "plain ends", "held ends"], _journal.ReadAll("beside-always"));
    }

    [Fact]
    public async Task Read_only_methods_run_beside_each_other_and_not_beside_others()
    {
        var grain = Plain("readers");
        var first = grain.Look("first");
        Assert.Equal("first begins", await _journal.ReadAsync("readers"));
        var writer = grain.Pass("writer");
        var second = grain.Look("second");
        Assert.Equal("second begins", await _journal.ReadAsync("readers"));
        _journal.Open("readers/second");
        await second;
        Assert.Equal(["second ends"], _journal.ReadAll("readers"));
        _journal.Open("readers/writer");
        _journal.Open("readers/first");
        await Task.WhenAll(first, writer);
        Assert.Equal(["first ends", "writer begins", "writer ends"], _journal.ReadAll("readers"));
    }

    [Fact]
    public async Task A_reentrant_grain_starts_a_call_while_another_waits()
    {
        var grain = fixture.Silo.Grains.GetGrain<IReentrantGatedGrain>("reentrant");
        var held = grain.Pass("held");
        Assert.Equal("held begins", await _journal.ReadAsync("reentrant"));
        _journal.Open("reentrant/passing");
        await grain.Pass("passing");
        _journal.Open("reentrant/held");
        await held;
        Assert.Equal(["passing begins", "passing ends", "held ends"], _journal.ReadAll("reentrant"));
    }

    [Fact]
    public async Task Turns_of_a_reentrant_grain_never_run_at_the_same_time()
    {
        var grain = fixture.Silo.Grains.GetGrain<IReentrantGatedGrain>("turns");
        await Task.WhenAll(Enumerable.Range(0, 200).Select(_ => Task.Run(grain.IncrementInOneTurn)));
        Assert.Equal(200 * 100, await grain.Count());
    }

    [Fact]
    public async Task A_predicate_lets_some_calls_run_beside_others()
    {
        var grain = fixture.Silo.Grains.GetGrain<IPickyGatedGrain>("picky");
        var held = grain.Pass("held");
        Assert.Equal("held begins", await _journal.ReadAsync("picky"));
        var hard = grain.Pass("hard");
        _journal.Open("picky/easy");
        await grain.Pass("easy");
        Assert.Equal(["easy begins", "easy ends"], _journal.ReadAll("picky"));
        _journal.Open("picky/hard");
        _journal.Open("picky/held");
        await Task.WhenAll(held, hard);
        Assert.Equal(["held ends", "hard begins", "hard ends"], _journal.ReadAll("picky"));
    }

    [Fact]
    public async Task A_predicate_asked_about_the_running_call_lets_others_in()
    {
        var grain = fixture.Silo.Grains.GetGrain<IPickyGatedGrain>("picky-running");
        var easy = grain.Pass("easy");
        Assert.Equal("easy begins", await _journal.ReadAsync("picky-running"));
        _journal.Open("picky-running/hard");
        await grain.Pass("hard");
        _journal.Open("picky-running/easy");
        await easy;
        Assert.Equal(["hard begins", "hard ends", "easy ends"], _journal.ReadAll("picky-running"));
    }

    [Fact]
    public async Task A_cycle_of_calls_among_plain_grains_times_out()
    {
        _journal.Open("cycle-a/back");
        await Assert.ThrowsAsync<TimeoutException>(() => Plain("cycle-a").CallOutAndBack(Plain("cycle-b"), "back"));
    }

    [Fact]
    public async Task A_cycle_of_calls_passes_where_the_chain_is_allowed_to_reenter()
    {
        _journal.Open("chain-a/back");
        await Plain("chain-a").CallOutAndBackAllowed(Plain("chain-b"), "back");
        Assert.Equal(["back begins", "back ends"], _journal.ReadAll("chain-a"));
    }

    [Fact]
    public async Task A_cycle_of_calls_passes_through_a_reentrant_grain()
    {
        _journal.Open("cycle-r/back");
        var reentrant = fixture.Silo.Grains.GetGrain<IReentrantGatedGrain>("cycle-r");
        await reentrant.CallOutAndBack(Plain("cycle-p"), "back");
        Assert.Equal(["back begins", "back ends"], _journal.ReadAll("cycle-r"));
    }
}
