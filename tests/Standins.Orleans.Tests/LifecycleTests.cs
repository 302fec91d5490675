// SPDX-License-Identifier: Apache-2.0
using Federation.Standins.Orleans.Tests.Cluster;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Configuration;

namespace Federation.Standins.Orleans.Tests;

public interface ILivingGrain : IGrainWithStringKey
{
    /// <summary>A number that differs from one activation to the next.</summary>
    Task<int> Life();

    Task Leave();

    Task LeaveAfter(string gate);

    Task Stay(TimeSpan atLeast);
}

public interface IKeptGrain : ILivingGrain;

public abstract class LivingGrainBase(Journal journal) : Grain, ILivingGrain
{
    private static int _lives;

    private readonly int _life = Interlocked.Increment(ref _lives);

    protected Journal Journal => journal;

    public override Task OnActivateAsync(CancellationToken cancellationToken)
    {
        journal.Write(this.GetPrimaryKeyString(), "activated");
        return Task.CompletedTask;
    }

    public override async Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        journal.Write(this.GetPrimaryKeyString(), $"deactivating: {reason.ReasonCode}");
        await Task.Yield();
        journal.Write(this.GetPrimaryKeyString(), "deactivated");
    }

    public Task<int> Life() => Task.FromResult(_life);

    public Task Leave()
    {
        DeactivateOnIdle();
        return Task.CompletedTask;
    }

    public async Task LeaveAfter(string gate)
    {
        DeactivateOnIdle();
        journal.Write(this.GetPrimaryKeyString(), "leaving");
        await journal.PassAsync(gate);
    }

    public Task Stay(TimeSpan atLeast)
    {
        DelayDeactivation(atLeast);
        return Task.CompletedTask;
    }
}

public sealed class LivingGrain(Journal journal) : LivingGrainBase(journal);

[KeepAlive]
public sealed class KeptGrain(Journal journal) : LivingGrainBase(journal), IKeptGrain;

public interface IFragileGrain : IGrainWithStringKey
{
    Task Call();
}

public sealed class FragileGrain(Journal journal) : Grain, IFragileGrain
{
    public override async Task OnActivateAsync(CancellationToken cancellationToken)
    {
        await Task.Yield();
        if (journal.ReadAll($"{this.GetPrimaryKeyString()}/break").Count > 0)
        {
            throw new InvalidOperationException("cannot activate");
        }
    }

    public Task Call() => Task.CompletedTask;
}

public interface IUnmakeableGrain : IGrainWithStringKey
{
    Task Call();
}

public sealed class UnmakeableGrain : Grain, IUnmakeableGrain
{
    public UnmakeableGrain() => throw new InvalidOperationException("cannot be made");

    public Task Call() => Task.CompletedTask;
}

public interface IPlainObjectGrain : IGrainWithStringKey
{
    Task<string> Key();

    Task Leave();
}

/// <summary>A grain that does not derive from <see cref="Grain"/>, and is disposed.</summary>
public sealed class PlainObjectGrain(IGrainContext grainContext, Journal journal) : IPlainObjectGrain, IGrainBase, IAsyncDisposable
{
    public IGrainContext GrainContext { get; } = grainContext;

    public Task OnActivateAsync(CancellationToken token)
    {
        journal.Write(this.GetPrimaryKeyString(), "activated");
        return Task.CompletedTask;
    }

    public Task<string> Key() => Task.FromResult(this.GetPrimaryKeyString());

    public Task Leave()
    {
        this.DeactivateOnIdle();
        return Task.CompletedTask;
    }

    public ValueTask DisposeAsync()
    {
        journal.Write(this.GetPrimaryKeyString(), "disposed");
        return default;
    }
}

public sealed class LifecycleTests(SiloFixture fixture) : IClassFixture<SiloFixture>
{
    private readonly Journal _journal = fixture.Silo.Services.GetRequiredService<Journal>();

    private ILivingGrain Living(string key) => fixture.Silo.Grains.GetGrain<ILivingGrain>(key, typeof(LivingGrain).FullName);

    [Fact]
    public async Task A_grain_is_activated_by_its_first_call_and_stays()
    {
        var grain = Living("first-call");
        Assert.Empty(_journal.ReadAll("first-call"));
        var life = await grain.Life();
        Assert.Equal(life, await grain.Life());
        Assert.Equal(["activated"], _journal.ReadAll("first-call"));
    }

    [Fact]
    public async Task First_calls_at_the_same_time_find_one_activation()
    {
        var lives = await Task.WhenAll(Enumerable.Range(0, 50).Select(_ => Task.Run(Living("one-of-many").Life)));
        Assert.Single(lives.Distinct());
    }

    [Fact]
    public async Task A_grain_that_asks_to_leave_is_deactivated_and_the_next_call_finds_a_new_one()
    {
        var grain = Living("leaver");
        var first = await grain.Life();
        await grain.Leave();
        Assert.NotEqual(first, await grain.Life());
        Assert.Equal(
            ["activated", "deactivating: ApplicationRequested", "deactivated", "activated"],
            _journal.ReadAll("leaver"));
    }

    [Fact]
    public async Task A_call_that_comes_while_a_grain_leaves_goes_to_the_next_activation()
    {
        var grain = Living("late");
        var first = await grain.Life();
        var leaving = grain.LeaveAfter("late/gate");
        Assert.Equal("activated", await _journal.ReadAsync("late"));
        Assert.Equal("leaving", await _journal.ReadAsync("late"));
        var late = grain.Life();
        Assert.Empty(_journal.ReadAll("late"));
        _journal.Open("late/gate");
        await leaving;
        Assert.NotEqual(first, await late);
        Assert.Equal(["deactivating: ApplicationRequested", "deactivated", "activated"], _journal.ReadAll("late"));
    }

    [Fact]
    public async Task A_failed_activation_fails_the_calls_that_wait_and_the_next_call_tries_again()
    {
        var grain = fixture.Silo.Grains.GetGrain<IFragileGrain>("fragile");
        _journal.Write("fragile/break", "once");
        var failure = await Assert.ThrowsAsync<InvalidOperationException>(grain.Call);
        Assert.Equal("cannot activate", failure.Message);
        await grain.Call();
    }

    [Fact]
    public async Task A_constructor_that_fails_fails_the_call()
    {
        var failure = await Assert.ThrowsAsync<InvalidOperationException>(fixture.Silo.Grains.GetGrain<IUnmakeableGrain>("x").Call);
        Assert.Contains("cannot be made", failure.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_grain_need_not_derive_from_Grain_and_is_disposed_in_the_end()
    {
        var grain = fixture.Silo.Grains.GetGrain<IPlainObjectGrain>("plain-object");
        Assert.Equal("plain-object", await grain.Key());
        await grain.Leave();
        Assert.Equal("activated", await _journal.ReadAsync("plain-object"));
        Assert.Equal("disposed", await _journal.ReadAsync("plain-object"));
    }

    [Fact]
    public async Task Idle_grains_are_collected_and_those_kept_are_not()
    {
        await using var silo = await TestSilo.StartAsync(builder => builder.Configure<GrainCollectionOptions>(options =>
        {
            options.CollectionQuantum = TimeSpan.FromMilliseconds(200);
            options.CollectionAge = TimeSpan.FromMilliseconds(600);
        }));
        var journal = silo.Services.GetRequiredService<Journal>();
        var idle = silo.Grains.GetGrain<ILivingGrain>("idle", typeof(LivingGrain).FullName);
        var delayed = silo.Grains.GetGrain<ILivingGrain>("delayed", typeof(LivingGrain).FullName);
        var kept = silo.Grains.GetGrain<IKeptGrain>("kept");
        var (idleLife, delayedLife, keptLife) = (await idle.Life(), await delayed.Life(), await kept.Life());
        await delayed.Stay(TimeSpan.FromMinutes(5));

        Assert.Equal("activated", await journal.ReadAsync("idle"));
        Assert.Equal("deactivating: ActivationIdle", await journal.ReadAsync("idle"));
        Assert.NotEqual(idleLife, await idle.Life());
        Assert.Equal(delayedLife, await delayed.Life());
        Assert.Equal(keptLife, await kept.Life());
    }

    [Fact]
    public async Task Stopping_the_silo_deactivates_all_grains()
    {
        Journal journal;
        await using (var silo = await TestSilo.StartAsync())
        {
            journal = silo.Services.GetRequiredService<Journal>();
            await silo.Grains.GetGrain<ILivingGrain>("stopped", typeof(LivingGrain).FullName).Life();
        }

        Assert.Equal(["activated", "deactivating: ShuttingDown", "deactivated"], journal.ReadAll("stopped"));
    }

    [Fact]
    public async Task Start_up_tasks_may_call_grains()
    {
        var life = 0;
        await using var silo = await TestSilo.StartAsync(builder => builder.AddStartupTask(async (services, _) =>
            life = await services.GetRequiredService<IGrainFactory>().GetGrain<IKeptGrain>("at-start").Life()));
        Assert.Equal(life, await silo.Grains.GetGrain<IKeptGrain>("at-start").Life());
    }
}
