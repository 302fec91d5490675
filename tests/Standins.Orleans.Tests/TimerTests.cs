// SPDX-License-Identifier: Apache-2.0
using Federation.Standins.Orleans.Tests.Cluster;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Concurrency;

namespace Federation.Standins.Orleans.Tests;

public interface ITickingGrain : IGrainWithStringKey
{
    Task Tick(int times, TimeSpan period);

    Task TickOnce(bool interleave);

    Task Hold(string gate);

    Task TickFailing(int times);

    Task TickForEver();

    Task TickWithToken();

    Task TickOnceThenAfter(TimeSpan period);

    [AlwaysInterleave]
    Task StopTicking();

    Task Leave();

    Task<bool> TicksOnTheGrainsScheduler();
}

public sealed class TickingGrain(Journal journal) : Grain, ITickingGrain
{
    private IGrainTimer? _timer;

    private string Key => this.GetPrimaryKeyString();

    public Task Tick(int times, TimeSpan period)
    {
        var count = 0;
        _timer = this.RegisterGrainTimer(
            () =>
            {
                journal.Write(Key, $"tick {++count}");
                if (count == times)
                {
                    _timer!.Dispose();
                    journal.Write(Key, "stopped");
                }

                return Task.CompletedTask;
            },
            new GrainTimerCreationOptions { DueTime = TimeSpan.Zero, Period = period });
        return Task.CompletedTask;
    }

    public Task TickOnce(bool interleave)
    {
        _timer = this.RegisterGrainTimer(
            static (grain, _) =>
            {
                grain.Write("tick");
                return Task.CompletedTask;
            },
            this,
            new GrainTimerCreationOptions { DueTime = TimeSpan.FromMilliseconds(1), Period = Timeout.InfiniteTimeSpan, Interleave = interleave });
        return Task.CompletedTask;
    }

    public async Task Hold(string gate)
    {
        Write("held");
        await journal.PassAsync(gate);
        Write("let go");
    }

    public Task TickFailing(int times)
    {
        var count = 0;
        _timer = this.RegisterGrainTimer(
            () =>
            {
                Write($"failing {++count}");
                if (count == times)
                {
                    _timer!.Dispose();
                }

                throw new InvalidOperationException("tick failed");
            },
            new GrainTimerCreationOptions(TimeSpan.Zero, TimeSpan.FromMilliseconds(5)));
        return Task.CompletedTask;
    }

    public Task TickForEver()
    {
        _timer = this.RegisterGrainTimer(
            async token =>
            {
                Write("begins");
                try
                {
                    await Task.Delay(Timeout.Infinite, token);
                }
                catch (OperationCanceledException)
                {
                    Write("cancelled");
                }
            },
            new GrainTimerCreationOptions(TimeSpan.Zero, TimeSpan.FromMilliseconds(5)) { Interleave = true });
        return Task.CompletedTask;
    }

    public Task TickWithToken() => TickForEver();

    public Task TickOnceThenAfter(TimeSpan period)
    {
        var count = 0;
        _timer = this.RegisterGrainTimer(
            () =>
            {
                Write($"tick {++count}");
                if (count == 1)
                {
                    _timer!.Change(TimeSpan.FromMilliseconds(10), Timeout.InfiniteTimeSpan);
                }

                return Task.CompletedTask;
            },
            new GrainTimerCreationOptions(TimeSpan.Zero, period));
        return Task.CompletedTask;
    }

    public Task StopTicking()
    {
        _timer!.Dispose();
        return Task.CompletedTask;
    }

    public Task Leave()
    {
        DeactivateOnIdle();
        return Task.CompletedTask;
    }

    public async Task<bool> TicksOnTheGrainsScheduler()
    {
        var own = TaskScheduler.Current;
        var seen = new TaskCompletionSource<bool>();
        using var timer = this.RegisterGrainTimer(
            async () =>
            {
                await Task.Delay(1);
                seen.TrySetResult(TaskScheduler.Current == own);
            },
            new GrainTimerCreationOptions(TimeSpan.Zero, Timeout.InfiniteTimeSpan) { Interleave = true });
        return await seen.Task;
    }

    private void Write(string entry) => journal.Write(Key, entry);
}

public sealed class TimerTests(SiloFixture fixture) : IClassFixture<SiloFixture>
{
    private readonly Journal _journal = fixture.Silo.Services.GetRequiredService<Journal>();

    private ITickingGrain Ticking(string key) => fixture.Silo.Grains.GetGrain<ITickingGrain>(key);

    [Fact]
    public async Task A_timer_ticks_until_it_is_disposed()
    {
        await Ticking("periodic").Tick(3, TimeSpan.FromMilliseconds(5));
        string[] expected = ["tick 1", "tick 2", "tick 3", "stopped"];
        foreach (var entry in expected)
        {
            Assert.Equal(entry, await _journal.ReadAsync("periodic"));
        }
    }

    [Fact]
    public async Task A_tick_waits_for_the_running_call()
    {
        var grain = Ticking("polite");
        await grain.TickOnce(interleave: false);
        var held = grain.Hold("polite/gate");
        // The tick may come before the call does; once the call runs, it may not.
        var first = await _journal.ReadAsync("polite");
        if (first == "tick")
        {
            Assert.Equal("held", await _journal.ReadAsync("polite"));
        }

        await Task.Delay(50);
        Assert.Empty(_journal.ReadAll("polite"));
        _journal.Open("polite/gate");
        await held;
        Assert.Equal("let go", await _journal.ReadAsync("polite"));
    }

    [Fact]
    public async Task An_interleaving_tick_does_not_wait()
    {
        var grain = Ticking("impolite");
        await grain.TickOnce(interleave: true);
        var held = grain.Hold("impolite/gate");
        var entries = new[] { await _journal.ReadAsync("impolite"), await _journal.ReadAsync("impolite") };
        Assert.Equal(["held", "tick"], entries.Order());
        _journal.Open("impolite/gate");
        await held;
    }

    [Fact]
    public async Task A_timer_goes_on_after_a_failed_tick()
    {
        await Ticking("failing").TickFailing(3);
        for (var i = 1; i <= 3; i++)
        {
            Assert.Equal($"failing {i}", await _journal.ReadAsync("failing"));
        }
    }

    [Fact]
    public async Task Disposing_a_timer_cancels_the_tick_that_runs()
    {
        var grain = Ticking("cancelled");
        await grain.TickWithToken();
        Assert.Equal("begins", await _journal.ReadAsync("cancelled"));
        await grain.StopTicking();
        Assert.Equal("cancelled", await _journal.ReadAsync("cancelled"));
    }

    [Fact]
    public async Task A_change_during_a_tick_holds_after_it()
    {
        await Ticking("changed").TickOnceThenAfter(TimeSpan.FromHours(1));
        Assert.Equal("tick 1", await _journal.ReadAsync("changed"));
        Assert.Equal("tick 2", await _journal.ReadAsync("changed"));
    }

    [Fact]
    public async Task Timers_end_with_the_activation()
    {
        var grain = Ticking("gone");
        await grain.Tick(int.MaxValue, TimeSpan.FromMilliseconds(1));
        Assert.Equal("tick 1", await _journal.ReadAsync("gone"));
        await grain.Leave();
        await grain.Hold(Opened("gone/gate"));
        _journal.ReadAll("gone");
        await Task.Delay(50);
        Assert.Empty(_journal.ReadAll("gone"));
    }

    [Fact]
    public async Task Ticks_run_on_the_grains_scheduler() => Assert.True(await Ticking("scheduler").TicksOnTheGrainsScheduler());

    private string Opened(string gate)
    {
        _journal.Open(gate);
        return gate;
    }
}
