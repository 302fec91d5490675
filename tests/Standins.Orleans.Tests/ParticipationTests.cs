// SPDX-License-Identifier: Apache-2.0
using Federation.Standins.Orleans.Tests.Cluster;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Concurrency;
using Orleans.Serialization.Invocation;

namespace Federation.Standins.Orleans.Tests;

public interface IStagedGrain : IGrainWithStringKey
{
    Task Call();

    Task Leave();
}

/// <summary>A grain with a component that takes part in its lifecycle, and a service of its own scope.</summary>
public sealed class StagedGrain(Journal journal, ScopedThing thing) : Grain, IStagedGrain, ILifecycleParticipant<IGrainLifecycle>
{
    private string Key => this.GetPrimaryKeyString();

    public void Participate(IGrainLifecycle lifecycle)
    {
        lifecycle.Subscribe<StagedGrain>(GrainLifecycleStage.Activate, _ => Note("second starts"), _ => Note("second stops"));
        lifecycle.Subscribe<StagedGrain>(GrainLifecycleStage.SetupState, _ => Note("first starts"), _ => Note("first stops"));
    }

    public override Task OnActivateAsync(CancellationToken cancellationToken)
    {
        thing.Topic = Key;
        return Note("activates");
    }

    public override Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken) => Note("deactivates");

    public Task Call() => Note("called");

    public Task Leave()
    {
        GrainContext.Deactivate(new DeactivationReason(DeactivationReasonCode.ApplicationRequested, "enough"));
        return Task.CompletedTask;
    }

    private Task Note(string entry)
    {
        journal.Write(Key, entry);
        return Task.CompletedTask;
    }
}

public sealed class ScopedThing(Journal journal) : IDisposable
{
    public string? Topic { get; set; }

    public void Dispose() => journal.Write(Topic!, "scope disposed");
}

public interface IBadPredicateGrain : IGrainWithStringKey
{
    Task Hold(string gate);

    Task Call();
}

[MayInterleave(nameof(Broken))]
public sealed class BadPredicateGrain(Journal journal) : Grain, IBadPredicateGrain
{
    public static bool Broken(IInvokable request) => throw new NotSupportedException("no opinion");

    public async Task Hold(string gate)
    {
        journal.Write(this.GetPrimaryKeyString(), "held");
        await journal.PassAsync(gate);
    }

    public Task Call() => Task.CompletedTask;
}

public interface ITwoStatesGrain : IGrainWithStringKey
{
    Task Add(int toFirst, int toSecond);

    Task<(int First, int Second)> Counts();

    Task Leave();
}

public sealed class TwoStatesGrain(
    [PersistentState("first", "versioned")] IPersistentState<Tally> first,
    [PersistentState("second", "versioned")] IPersistentState<Tally> second) : Grain, ITwoStatesGrain
{
    public async Task Add(int toFirst, int toSecond)
    {
        first.State.Count += toFirst;
        second.State.Count += toSecond;
        await first.WriteStateAsync();
        await second.WriteStateAsync();
    }

    public Task<(int First, int Second)> Counts() => Task.FromResult((first.State.Count, second.State.Count));

    public Task Leave()
    {
        DeactivateOnIdle();
        return Task.CompletedTask;
    }
}

public sealed class ParticipationTests
{
    [Fact]
    public async Task What_takes_part_in_a_grains_life_starts_before_it_and_stops_after_it()
    {
        await using var silo = await TestSilo.StartAsync(builder => builder.Services.AddScoped<ScopedThing>());
        var journal = silo.Services.GetRequiredService<Journal>();
        var grain = silo.Grains.GetGrain<IStagedGrain>("staged");
        await grain.Call();
        await grain.Leave();
        string[] expected =
        [
            "first starts", "second starts", "activates", "called", "deactivates", "second stops", "first stops", "scope disposed",
        ];
        foreach (var entry in expected)
        {
            Assert.Equal(entry, await journal.ReadAsync("staged"));
        }
    }

    [Fact]
    public async Task What_takes_part_in_the_silos_life_starts_and_stops_by_stage()
    {
        Journal journal;
        await using (var silo = await TestSilo.StartAsync(builder =>
            builder.Services.AddSingleton<ILifecycleParticipant<ISiloLifecycle>, NotingParticipant>()))
        {
            journal = silo.Services.GetRequiredService<Journal>();
            Assert.Equal(["early starts", "late starts"], journal.ReadAll("silo"));
        }

        Assert.Equal(["late stops", "early stops"], journal.ReadAll("silo"));
    }

    [Fact]
    public async Task A_predicate_that_fails_fails_the_call_it_was_asked_about()
    {
        await using var silo = await TestSilo.StartAsync();
        var journal = silo.Services.GetRequiredService<Journal>();
        var grain = silo.Grains.GetGrain<IBadPredicateGrain>("bad");
        var held = grain.Hold("bad/gate");
        Assert.Equal("held", await journal.ReadAsync("bad"));
        await Assert.ThrowsAnyAsync<Exception>(grain.Call);
        journal.Open("bad/gate");
        await held;
        await grain.Call();
    }

    [Fact]
    public async Task A_grain_may_have_two_states_of_the_same_type()
    {
        await using var silo = await TestSilo.StartAsync();
        var grain = silo.Grains.GetGrain<ITwoStatesGrain>("two");
        await grain.Add(1, 20);
        await grain.Leave();
        Assert.Equal((1, 20), await grain.Counts());
    }

    private sealed class NotingParticipant(Journal journal) : ILifecycleParticipant<ISiloLifecycle>
    {
        public void Participate(ISiloLifecycle lifecycle)
        {
            lifecycle.Subscribe<NotingParticipant>(ServiceLifecycleStage.Active + 1, _ => Note("late starts"), _ => Note("late stops"));
            lifecycle.Subscribe<NotingParticipant>(ServiceLifecycleStage.ApplicationServices, _ => Note("early starts"), _ => Note("early stops"));
        }

        private Task Note(string entry)
        {
            journal.Write("silo", entry);
            return Task.CompletedTask;
        }
    }
}
