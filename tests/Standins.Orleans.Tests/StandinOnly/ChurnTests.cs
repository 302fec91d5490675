// SPDX-License-Identifier: Apache-2.0
using Federation.Standins.Orleans.Tests.Cluster;
using Microsoft.Extensions.DependencyInjection;

namespace Federation.Standins.Orleans.Tests.StandinOnly;

public sealed class CallCounter
{
    private int _count;

    public int Count => Volatile.Read(ref _count);

    public void Increment() => Interlocked.Increment(ref _count);
}

public interface IRestlessGrain : IGrainWithIntegerKey
{
    Task<int> Call(int number, bool thenLeave);
}

/// <summary>Leaves when told to, and needs a moment to come and to go.</summary>
public sealed class RestlessGrain(CallCounter counter) : Grain, IRestlessGrain
{
    private bool _present;

    public override async Task OnActivateAsync(CancellationToken cancellationToken)
    {
        await Task.Yield();
        _present = true;
    }

    public override async Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        _present = false;
        await Task.Yield();
    }

    public async Task<int> Call(int number, bool thenLeave)
    {
        if (thenLeave)
        {
            DeactivateOnIdle();
        }

        await Task.Yield();
        if (!_present)
        {
            throw new InvalidOperationException("A call runs in an activation that is not there.");
        }

        counter.Increment();
        return number;
    }
}

public sealed class ChurnTests
{
    [Fact]
    public async Task Calls_are_neither_lost_nor_doubled_while_grains_come_and_go()
    {
        const int callers = 32;
        const int callsEach = 500;
        await using var silo = await TestSilo.StartAsync(builder => builder.Services.AddSingleton<CallCounter>());
        await Task.WhenAll(Enumerable.Range(0, callers).Select(caller => Task.Run(async () =>
        {
            for (var i = 0; i < callsEach; i++)
            {
                var grain = silo.Grains.GetGrain<IRestlessGrain>((caller + i) % 8);
                Assert.Equal(i, await grain.Call(i, thenLeave: (caller + i) % 5 == 0));
            }
        })));
        Assert.Equal(callers * callsEach, silo.Services.GetRequiredService<CallCounter>().Count);
    }

    [Fact]
    public void Calls_are_neither_lost_nor_doubled_whatever_the_interleaving()
    {
        for (var seed = 0; seed < 20; seed++)
        {
            using var silo = new SimulatedSilo(seed, builder => builder.Services.AddSingleton<CallCounter>());
            silo.Scheduler.Run(() => Task.WhenAll(Enumerable.Range(0, 6).Select(caller => silo.Scheduler.Start(async () =>
            {
                for (var i = 0; i < 20; i++)
                {
                    Assert.Equal(i, await silo.Grains.GetGrain<IRestlessGrain>(i % 2).Call(i, thenLeave: (caller + i) % 3 == 0));
                }
            }))));
            Assert.True(silo.Counter == 120, $"Seed {seed}: {silo.Counter} of 120 calls ran.");
        }
    }
}
