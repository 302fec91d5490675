// SPDX-License-Identifier: Apache-2.0
using Federation.Standins.Orleans.Tests.Cluster;

namespace Federation.Standins.Orleans.Tests.StandinOnly;

public interface IThreadGrain : IGrainWithStringKey
{
    Task<int> Thread();

    Task<(int Own, bool IsOthersDone)> Through(IThreadGrain other);

    Task<string?> Ambient();
}

public sealed class ThreadGrain : Grain, IThreadGrain
{
    public static readonly AsyncLocal<string?> Local = new();

    public Task<int> Thread() => Task.FromResult(Environment.CurrentManagedThreadId);

    public async Task<(int Own, bool IsOthersDone)> Through(IThreadGrain other)
    {
        var call = other.Thread();
        var seen = (Environment.CurrentManagedThreadId, call.IsCompleted);
        await call;
        return seen;
    }

    public Task<string?> Ambient() => Task.FromResult(Local.Value);
}

/// <summary>Callers that run the turn of their own call.</summary>
public sealed class LentThreadTests(SiloFixture fixture) : IClassFixture<SiloFixture>
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    [Fact]
    public async Task A_grain_at_rest_answers_on_its_callers_thread()
    {
        var grain = fixture.Silo.Grains.GetGrain<IThreadGrain>("at-rest");
        await grain.Thread();
        // The turn that answered may not be over yet.
        Assert.True(await Task.Run(() => SpinWait.SpinUntil(() => grain.Thread() is { IsCompletedSuccessfully: true } call && call.Result == Environment.CurrentManagedThreadId, Patience)));
    }

    [Fact]
    public async Task It_sees_nothing_of_its_callers_flow_and_leaves_it_as_it_was()
    {
        var grain = fixture.Silo.Grains.GetGrain<IThreadGrain>("flow");
        await grain.Thread();
        await Task.Run(() =>
        {
            ThreadGrain.Local.Value = "of the caller";
            Assert.True(SpinWait.SpinUntil(() => grain.Ambient() is { IsCompletedSuccessfully: true } call && call.Result is null, Patience));
            Assert.Equal("of the caller", ThreadGrain.Local.Value);
            Assert.Null(SynchronizationContext.Current);
            Assert.Same(TaskScheduler.Default, TaskScheduler.Current);
        });
    }

    [Fact]
    public async Task A_grain_lends_its_thread_to_no_other()
    {
        var grain = fixture.Silo.Grains.GetGrain<IThreadGrain>("lender");
        var other = fixture.Silo.Grains.GetGrain<IThreadGrain>("borrower");
        await other.Thread();
        await grain.Thread();
        // On its caller's thread, which therefore cannot have run the other one's turn.
        Assert.True(await Task.Run(() => SpinWait.SpinUntil(() =>
        {
            var call = grain.Through(other);
            return call.GetAwaiter().GetResult() is { IsOthersDone: false } seen && seen.Own == Environment.CurrentManagedThreadId;
        }, Patience)));
    }
}
