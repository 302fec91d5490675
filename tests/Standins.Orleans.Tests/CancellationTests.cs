// SPDX-License-Identifier: Apache-2.0
using Federation.Standins.Orleans.Tests.Cluster;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Configuration;

namespace Federation.Standins.Orleans.Tests;

public interface IPatientGrain : IGrainWithStringKey
{
    Task Wait(CancellationToken token);

    Task<bool> CanBeCancelled(CancellationToken token = default);

    Task Hold(string gate);

    Task Note(string entry, CancellationToken token);

    [ResponseTimeout("00:00:01")]
    Task WaitBriefly(CancellationToken token);

    [ResponseTimeout("00:00:01")]
    Task HoldBriefly(string gate);

    [ResponseTimeout("00:00:01")]
    Task NoteBriefly(string entry);
}

public sealed class PatientGrain(Journal journal) : Grain, IPatientGrain
{
    private string Key => this.GetPrimaryKeyString();

    public async Task Wait(CancellationToken token)
    {
        var own = TaskScheduler.Current;
        var cancelled = new TaskCompletionSource<string>();
        await using var registration = token.Register(() => cancelled.TrySetResult(TaskScheduler.Current == own ? "own" : "foreign"));
        journal.Write(Key, "waiting");
        journal.Write(Key, $"cancelled on {await cancelled.Task} scheduler");
        token.ThrowIfCancellationRequested();
    }

    public Task<bool> CanBeCancelled(CancellationToken token = default) => Task.FromResult(token.IsCancellationRequested);

    public async Task Hold(string gate)
    {
        journal.Write(Key, "held");
        await journal.PassAsync(gate);
    }

    public Task Note(string entry, CancellationToken token)
    {
        journal.Write(Key, entry);
        return Task.CompletedTask;
    }

    public Task WaitBriefly(CancellationToken token) => Wait(token);

    public async Task HoldBriefly(string gate)
    {
        await Hold(gate);
        journal.Write(Key, "let go");
    }

    public Task NoteBriefly(string entry) => Note(entry, default);
}

public sealed class CancellationTests(SiloFixture fixture) : IClassFixture<SiloFixture>
{
    private readonly Journal _journal = fixture.Silo.Services.GetRequiredService<Journal>();

    private IPatientGrain Patient(string key) => fixture.Silo.Grains.GetGrain<IPatientGrain>(key);

    [Fact]
    public async Task Cancelling_reaches_the_grain_in_one_of_its_turns_and_the_caller()
    {
        using var cancel = new CancellationTokenSource();
        var waiting = Patient("cancelled").Wait(cancel.Token);
        Assert.Equal("waiting", await _journal.ReadAsync("cancelled"));
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
        Assert.Equal("cancelled on own scheduler", await _journal.ReadAsync("cancelled"));
    }

    [Fact]
    public async Task A_call_with_a_cancelled_token_is_not_made()
    {
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Patient("never").Note("made", new CancellationToken(canceled: true)));
        await Patient("never").CanBeCancelled();
        Assert.Empty(_journal.ReadAll("never"));
    }

    [Fact]
    public async Task A_call_without_a_token_is_not_cancelled() => Assert.False(await Patient("default").CanBeCancelled());

    [Fact]
    public async Task A_call_cancelled_while_it_waits_its_turn_is_not_run()
    {
        var grain = Patient("queued");
        var held = grain.Hold("queued/gate");
        Assert.Equal("held", await _journal.ReadAsync("queued"));
        using var cancel = new CancellationTokenSource();
        var queued = grain.Note("ran", cancel.Token);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => queued);
        // The cancellation is on its way to the grain, and nobody says when it is there.
        await Task.Delay(200);
        _journal.Open("queued/gate");
        await held;
        await grain.CanBeCancelled();
        Assert.Empty(_journal.ReadAll("queued"));
    }

    [Fact]
    public async Task Cancelling_after_the_answer_does_nothing()
    {
        using var cancel = new CancellationTokenSource();
        await Patient("late").Note("done", cancel.Token);
        await cancel.CancelAsync();
        Assert.Equal("done", await _journal.ReadAsync("late"));
    }

    [Fact]
    public async Task A_call_that_takes_longer_than_its_timeout_fails_and_the_grain_goes_on()
    {
        var grain = Patient("slow");
        await Assert.ThrowsAsync<TimeoutException>(() => grain.HoldBriefly("slow/gate"));
        Assert.Equal("held", await _journal.ReadAsync("slow"));
        _journal.Open("slow/gate");
        Assert.Equal("let go", await _journal.ReadAsync("slow"));
        await grain.NoteBriefly("alive");
        Assert.Equal("alive", await _journal.ReadAsync("slow"));
    }

    [Fact]
    public async Task A_call_that_times_out_is_cancelled_in_the_grain_where_the_options_say_so()
    {
        await using var silo = await TestSilo.StartAsync(builder => builder.Configure<SiloMessagingOptions>(options => options.CancelRequestOnTimeout = true));
        var journal = silo.Services.GetRequiredService<Journal>();
        await Assert.ThrowsAsync<TimeoutException>(() => silo.Grains.GetGrain<IPatientGrain>("slow").WaitBriefly(CancellationToken.None));
        Assert.Equal("waiting", await journal.ReadAsync("slow"));
        Assert.Equal("cancelled on own scheduler", await journal.ReadAsync("slow"));
    }

    [Fact]
    public async Task A_call_without_a_timeout_of_its_own_has_that_of_the_silo()
    {
        var grain = Patient("default-timeout");
        var before = TimeProvider.System.GetTimestamp();
        await Assert.ThrowsAsync<TimeoutException>(() => grain.Hold("default-timeout/gate"));
        Assert.True(TimeProvider.System.GetElapsedTime(before) >= TestSilo.ResponseTimeout - TimeSpan.FromMilliseconds(50));
        _journal.Open("default-timeout/gate");
    }

    [Fact]
    public async Task A_call_that_timed_out_while_it_waited_its_turn_is_not_run()
    {
        var grain = Patient("expired");
        var held = grain.Hold("expired/gate");
        Assert.Equal("held", await _journal.ReadAsync("expired"));
        await Assert.ThrowsAsync<TimeoutException>(() => grain.NoteBriefly("ran"));
        _journal.Open("expired/gate");
        await held;
        await grain.CanBeCancelled();
        Assert.Empty(_journal.ReadAll("expired"));
    }
}
