// SPDX-License-Identifier: Apache-2.0
using Orleans.Concurrency;

namespace Federation.Standins.Orleans.Tests.StandinOnly;

public interface IPotGrain : IGrainWithStringKey
{
    /// <summary>Takes one if there is one, after asking a colleague, and forgets that others may have taken meanwhile.</summary>
    Task<bool> TakeCarelessly(IPotGrain colleague);

    /// <summary>The same, and looks again.</summary>
    Task<bool> TakeCarefully(IPotGrain colleague);

    Task<int> Left();
}

[Reentrant]
public sealed class PotGrain : Grain, IPotGrain
{
    private int _left = 1;

    public async Task<bool> TakeCarelessly(IPotGrain colleague)
    {
        if (_left == 0)
        {
            return false;
        }

        await colleague.Left();
        _left--;
        return true;
    }

    public async Task<bool> TakeCarefully(IPotGrain colleague)
    {
        await colleague.Left();
        if (_left == 0)
        {
            return false;
        }

        _left--;
        return true;
    }

    public Task<int> Left() => Task.FromResult(_left);
}

public sealed class DeterminismTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(77)]
    public void The_same_seed_gives_the_same_trace(int seed) => Assert.Equal(TraceOf(seed), TraceOf(seed));

    [Fact]
    public void Different_seeds_give_different_traces()
    {
        var traces = Enumerable.Range(0, 20).Select(seed => string.Join('\n', TraceOf(seed))).ToList();
        Assert.True(traces.Distinct().Count() > 15, $"Only {traces.Distinct().Count()} of 20 traces differ.");
    }

    [Fact]
    public void Some_seed_finds_a_decision_that_was_stale_after_an_await()
    {
        var takers = Enumerable.Range(0, 50).Select(seed => TakersOf(seed, static (pot, colleague) => pot.TakeCarelessly(colleague))).ToList();
        Assert.Contains(1, takers);
        Assert.Contains(takers, taken => taken > 1);
    }

    [Fact]
    public void No_seed_finds_fault_with_a_decision_made_again_after_the_await()
    {
        for (var seed = 0; seed < 50; seed++)
        {
            var taken = TakersOf(seed, static (pot, colleague) => pot.TakeCarefully(colleague));
            Assert.True(taken == 1, $"Seed {seed}: {taken} took the one there was.");
        }
    }

    [Fact]
    public void Calls_that_came_before_the_activation_start_in_any_order()
    {
        var firsts = Enumerable.Range(0, 30).Select(seed =>
        {
            using var silo = new SimulatedSilo(seed);
            return silo.Scheduler.Run(async () =>
            {
                var grain = silo.Grains.GetGrain<IFlowGrain>("fresh");
                _ = grain.Note("first");
                _ = grain.Note("second");
                await grain.Get("k");
                await grain.Get("k");
                return silo.Journal.ReadAll("fresh")[0];
            });
        });
        Assert.Equal(["first", "second"], firsts.Distinct().Order());
    }

    [Fact]
    public void A_wake_up_from_another_thread_ends_the_run()
    {
        using var silo = new SimulatedSilo(seed: 3);
        var failure = Assert.Throws<InvalidOperationException>(() => silo.Scheduler.Run(async () =>
        {
            var escaped = new TaskCompletionSource();
            var entered = false;
            var waiting = silo.Scheduler.Start(async () =>
            {
                entered = true;
                await escaped.Task;
            });
            while (!entered)
            {
                await Task.Yield();
            }

            new Thread(escaped.SetResult).Start();
            while (!waiting.IsCompleted)
            {
                await Task.Yield();
            }
        }));
        Assert.Contains("seed 3", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_run_that_nothing_can_end_is_an_error()
    {
        using var silo = new SimulatedSilo(seed: 4);
        Assert.Throws<TimeoutException>(() => silo.Scheduler.Run(() => new TaskCompletionSource().Task));
    }

    [Fact]
    public void A_run_that_spins_is_an_error()
    {
        using var silo = new SimulatedSilo(seed: 5);
        silo.Scheduler.MaxTurns = 1000;
        Assert.Throws<TimeoutException>(() => silo.Scheduler.Run(async () =>
        {
            while (true)
            {
                await Task.Yield();
            }
        }));
        silo.Scheduler.MaxTurns = 100_000;
    }

    [Fact]
    public void A_failure_of_the_test_code_comes_out_of_the_run()
    {
        using var silo = new SimulatedSilo(seed: 6);
        Assert.Throws<NotSupportedException>(() => silo.Scheduler.Run(async () =>
        {
            await Task.Yield();
            throw new NotSupportedException();
        }));
    }

    private static int TakersOf(int seed, Func<IPotGrain, IPotGrain, Task<bool>> take)
    {
        using var silo = new SimulatedSilo(seed);
        return silo.Scheduler.Run(async () =>
        {
            var (pot, colleague) = (silo.Grains.GetGrain<IPotGrain>("pot"), silo.Grains.GetGrain<IPotGrain>("colleague"));
            await Task.WhenAll(pot.Left(), colleague.Left());
            var taken = 0;
            await Task.WhenAll(Enumerable.Range(0, 3).Select(_ => silo.Scheduler.Start(async () =>
            {
                if (await take(pot, colleague))
                {
                    taken++;
                }
            })));
            return taken;
        });
    }

    private static IReadOnlyList<string> TraceOf(int seed)
    {
        using var silo = new SimulatedSilo(seed);
        silo.Scheduler.Run(async () =>
        {
            var clients = Enumerable.Range(0, 4).Select(i => silo.Scheduler.Start(
                async () =>
                {
                    for (var j = 0; j < 5; j++)
                    {
                        var grain = silo.Grains.GetGrain<IReentrantGatedGrain>($"grain{j}");
                        await grain.IncrementAcrossAwait();
                        await Task.Delay(TimeSpan.FromSeconds(i + j), silo.Time);
                    }
                },
                $"client{i}"));
            await Task.WhenAll(clients);
            await silo.Grains.GetGrain<ITickingGrain>("ticking").Tick(3, TimeSpan.FromMinutes(5));
            await Task.Delay(TimeSpan.FromMinutes(30), silo.Time);
        });
        return [.. silo.Scheduler.Trace];
    }
}
