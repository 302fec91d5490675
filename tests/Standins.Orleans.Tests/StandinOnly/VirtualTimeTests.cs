// SPDX-License-Identifier: Apache-2.0
using Orleans.Standins;

namespace Federation.Standins.Orleans.Tests.StandinOnly;

public sealed class VirtualTimeTests
{
    [Fact]
    public void The_clock_stands_until_it_is_moved()
    {
        var clock = new VirtualTimeProvider();
        Assert.Equal(new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero), clock.GetUtcNow());
        clock.Advance(TimeSpan.FromHours(1));
        Assert.Equal(TimeSpan.FromHours(1), clock.Elapsed);
        Assert.Equal(TimeSpan.FromHours(1), clock.GetElapsedTime(0));
    }

    [Fact]
    public void Timers_fire_in_the_order_they_fall_due_each_at_its_own_time()
    {
        var clock = new VirtualTimeProvider();
        var fired = new List<string>();
        using var late = clock.CreateTimer(_ => fired.Add($"late {clock.Elapsed.TotalSeconds}"), null, TimeSpan.FromSeconds(5), Timeout.InfiniteTimeSpan);
        using var early = clock.CreateTimer(_ => fired.Add($"early {clock.Elapsed.TotalSeconds}"), null, TimeSpan.FromSeconds(2), TimeSpan.FromSeconds(2));
        clock.Advance(TimeSpan.FromSeconds(7));
        Assert.Equal(["early 2", "early 4", "late 5", "early 6"], fired);
        Assert.Equal(7, clock.Elapsed.TotalSeconds);
    }

    [Fact]
    public void A_timer_that_is_changed_or_disposed_does_not_fire_as_it_would_have()
    {
        var clock = new VirtualTimeProvider();
        var fired = 0;
        using var timer = clock.CreateTimer(_ => fired++, null, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(1));
        Assert.True(timer.Change(TimeSpan.FromSeconds(10), Timeout.InfiniteTimeSpan));
        clock.Advance(TimeSpan.FromSeconds(9));
        Assert.Equal(0, fired);
        clock.Advance(TimeSpan.FromSeconds(20));
        Assert.Equal(1, fired);
        timer.Dispose();
        Assert.False(timer.Change(TimeSpan.Zero, Timeout.InfiniteTimeSpan));
        clock.Advance(TimeSpan.FromSeconds(20));
        Assert.Equal(1, fired);
    }

    [Fact]
    public void A_delay_ends_when_the_clock_gets_there()
    {
        var clock = new VirtualTimeProvider();
        var delay = Task.Delay(TimeSpan.FromMinutes(3), clock);
        clock.Advance(TimeSpan.FromMinutes(2));
        Assert.False(delay.IsCompleted);
        clock.Advance(TimeSpan.FromMinutes(1));
        Assert.True(delay.IsCompletedSuccessfully);
    }

    [Fact]
    public void A_grain_is_collected_after_fifteen_idle_minutes_and_not_before()
    {
        using var silo = new SimulatedSilo(seed: 1);
        silo.Scheduler.Run(async () =>
        {
            var grain = silo.Grains.GetGrain<ILivingGrain>("idle", typeof(LivingGrain).FullName);
            var life = await grain.Life();
            await Task.Delay(TimeSpan.FromMinutes(14), silo.Time);
            Assert.Equal(life, await grain.Life());
            await Task.Delay(TimeSpan.FromMinutes(14), silo.Time);
            Assert.Equal(life, await grain.Life());
            await Task.Delay(TimeSpan.FromMinutes(17), silo.Time);
            Assert.NotEqual(life, await grain.Life());
        });
        Assert.Contains("deactivating: ActivationIdle", silo.Journal.ReadAll("idle"));
    }

    [Fact]
    public void A_cycle_of_calls_times_out_after_thirty_seconds()
    {
        using var silo = new SimulatedSilo(seed: 2);
        silo.Scheduler.Run(async () =>
        {
            var (a, b) = (Gated(silo, "a"), Gated(silo, "b"));
            await Assert.ThrowsAsync<TimeoutException>(() => a.CallOutAndBack(b, "back"));
        });
        Assert.InRange(silo.Time.Elapsed, TimeSpan.FromSeconds(30), TimeSpan.FromSeconds(31));
    }

    [Fact]
    public void A_timer_ticks_for_ten_minutes_in_no_time()
    {
        using var silo = new SimulatedSilo(seed: 3);
        silo.Scheduler.Run(async () =>
        {
            await silo.Grains.GetGrain<ITickingGrain>("often").Tick(20, TimeSpan.FromSeconds(30));
            await Task.Delay(TimeSpan.FromMinutes(10), silo.Time);
        });
        Assert.Equal(21, silo.Journal.ReadAll("often").Count);
    }

    [Fact]
    public void A_timer_does_not_keep_an_idle_grain()
    {
        using var silo = new SimulatedSilo(seed: 3);
        silo.Scheduler.Run(async () =>
        {
            await silo.Grains.GetGrain<ITickingGrain>("rarely").Tick(100, TimeSpan.FromMinutes(1));
            await Task.Delay(TimeSpan.FromHours(2), silo.Time);
        });
        Assert.InRange(silo.Journal.ReadAll("rarely").Count, 14, 17);
    }

    private static IGatedGrain Gated(SimulatedSilo silo, string key) => silo.Grains.GetGrain<IGatedGrain>(key, typeof(GatedGrain).FullName);
}
