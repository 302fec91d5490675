// SPDX-License-Identifier: Apache-2.0
namespace Federation.Standins.Orleans.Tests.StandinOnly;

/// <summary>Everything a grain can do also works on the deterministic scheduler, without leaving its thread.</summary>
public sealed class SimulationTests
{
    private const int Seeds = 20;

    [Fact]
    public void Sequences_run_in_a_simulation() => OnManySeeds(async silo =>
    {
        var items = new List<int>();
        await foreach (var item in silo.Grains.GetGrain<ISequenceGrain>("s").Range(250))
        {
            items.Add(item);
        }

        Assert.Equal(Enumerable.Range(0, 250), items);
    });

    [Fact]
    public void Observers_run_in_a_simulation() => OnManySeeds(async silo =>
    {
        var listener = new Listener(silo.Journal, "heard");
        var announcer = silo.Grains.GetGrain<IAnnouncerGrain>("a");
        await announcer.Subscribe(silo.Grains.CreateObjectReference<IListener>(listener));
        Assert.Equal(42, await announcer.AskAll(41));
        await announcer.Announce("once");
        await announcer.AskAll(1);
        Assert.Equal(["once"], silo.Journal.ReadAll("heard"));
        GC.KeepAlive(listener);
    });

    [Fact]
    public void States_are_stored_in_a_simulation() => OnManySeeds(async silo =>
    {
        var grain = silo.Grains.GetGrain<IMemoryTallyGrain>("t");
        await Task.WhenAll(grain.Add(1), grain.Add(2), grain.AddTwiceAtOnce());
        await grain.Leave();
        Assert.Equal(5, await grain.Count());
    });

    [Fact]
    public void Cancellation_reaches_a_grain_in_a_simulation() => OnManySeeds(async silo =>
    {
        using var cancel = new CancellationTokenSource(TimeSpan.FromSeconds(10), silo.Time);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => silo.Grains.GetGrain<IPatientGrain>("p").Wait(cancel.Token));
        Assert.Equal(TimeSpan.FromSeconds(10), silo.Time.Elapsed);
    });

    [Fact]
    public void Failures_and_new_activations_happen_in_a_simulation() => OnManySeeds(async silo =>
    {
        silo.Journal.Write("f/break", "once");
        var grain = silo.Grains.GetGrain<IFragileGrain>("f");
        await Assert.ThrowsAsync<InvalidOperationException>(grain.Call);
        await grain.Call();
    });

    private static void OnManySeeds(Func<SimulatedSilo, Task> scenario)
    {
        for (var seed = 0; seed < Seeds; seed++)
        {
            using var silo = new SimulatedSilo(seed);
            try
            {
                silo.Scheduler.Run(() => scenario(silo));
            }
            catch (Exception failure)
            {
                throw new InvalidOperationException($"Seed {seed} fails.", failure);
            }
        }
    }
}
