// SPDX-License-Identifier: Apache-2.0
using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using Federation.Standins.Orleans.Tests.Cluster;

namespace Federation.Standins.Orleans.Tests;

public interface IListener : IGrainObserver
{
    void Heard(string what);

    Task<int> Ask(int question);

    Task Fail();

    Task Hold(string name);
}

public interface IAnnouncerGrain : IGrainWithStringKey
{
    Task Subscribe(IListener listener);

    Task<int> Subscribers();

    Task Announce(string what);

    Task<int> AskAll(int question);

    Task FailAll();

    Task HoldTwice();
}

public sealed class AnnouncerGrain : Grain, IAnnouncerGrain
{
    private readonly HashSet<IListener> _listeners = [];

    public Task Subscribe(IListener listener)
    {
        _listeners.Add(listener);
        return Task.CompletedTask;
    }

    public Task<int> Subscribers() => Task.FromResult(_listeners.Count);

    public Task Announce(string what)
    {
        foreach (var listener in _listeners)
        {
            listener.Heard(what);
        }

        return Task.CompletedTask;
    }

    public async Task<int> AskAll(int question) => (await Task.WhenAll(_listeners.Select(listener => listener.Ask(question)))).Sum();

    public Task FailAll() => Task.WhenAll(_listeners.Select(listener => listener.Fail()));

    public Task HoldTwice() => Task.WhenAll(_listeners.SelectMany(listener => new[] { listener.Hold("first"), listener.Hold("second") }));
}

public sealed class Listener(Journal journal, string topic) : IListener
{
    private readonly ConcurrentQueue<TaskScheduler> _schedulers = new();

    public IEnumerable<TaskScheduler> Schedulers => _schedulers;

    public void Heard(string what)
    {
        _schedulers.Enqueue(TaskScheduler.Current);
        journal.Write(topic, what);
    }

    public async Task<int> Ask(int question)
    {
        await Task.Yield();
        return question + 1;
    }

    public Task Fail() => throw new InvalidOperationException("deaf");

    public async Task Hold(string name)
    {
        journal.Write(topic, $"{name} begins");
        await journal.PassAsync($"{topic}/{name}");
        journal.Write(topic, $"{name} ends");
    }
}

public sealed class ObserverTests(SiloFixture fixture) : IClassFixture<SiloFixture>
{
    private readonly Journal _journal = (Journal)fixture.Silo.Services.GetService(typeof(Journal))!;

    [Fact]
    public async Task An_observer_hears_in_order_and_outside_of_the_grain()
    {
        var (announcer, listener) = await SubscribedAsync("in-order");
        for (var i = 0; i < 20; i++)
        {
            await announcer.Announce($"{i}");
        }

        for (var i = 0; i < 20; i++)
        {
            Assert.Equal($"{i}", await _journal.ReadAsync("in-order"));
        }

        Assert.All(listener.Schedulers, scheduler => Assert.Same(TaskScheduler.Default, scheduler));
    }

    [Fact]
    public async Task An_observers_answer_comes_back()
    {
        var (announcer, listener) = await SubscribedAsync("answers");
        Assert.Equal(42, await announcer.AskAll(41));
        GC.KeepAlive(listener);
    }

    [Fact]
    public async Task An_observers_failure_comes_back()
    {
        var (announcer, listener) = await SubscribedAsync("failures");
        var failure = await Assert.ThrowsAsync<InvalidOperationException>(announcer.FailAll);
        Assert.Equal("deaf", failure.Message);
        GC.KeepAlive(listener);
    }

    [Fact]
    public async Task An_observers_calls_run_one_at_a_time()
    {
        var (announcer, listener) = await SubscribedAsync("one-at-a-time");
        var holding = announcer.HoldTwice();
        Assert.Equal("first begins", await _journal.ReadAsync("one-at-a-time"));
        _journal.Open("one-at-a-time/second");
        _journal.Open("one-at-a-time/first");
        await holding;
        Assert.Equal(["first ends", "second begins", "second ends"], _journal.ReadAll("one-at-a-time"));
        GC.KeepAlive(listener);
    }

    [Fact]
    public async Task A_reference_to_an_observer_is_equal_to_itself_in_the_grain()
    {
        var listener = new Listener(_journal, "equal");
        var reference = fixture.Silo.Grains.CreateObjectReference<IListener>(listener);
        var announcer = fixture.Silo.Grains.GetGrain<IAnnouncerGrain>("equal");
        await announcer.Subscribe(reference);
        await announcer.Subscribe(reference);
        Assert.Equal(1, await announcer.Subscribers());
        await announcer.Subscribe(fixture.Silo.Grains.CreateObjectReference<IListener>(listener));
        Assert.Equal(2, await announcer.Subscribers());
        GC.KeepAlive(listener);
    }

    [Fact]
    public async Task A_deleted_reference_is_not_heard_from_any_more()
    {
        var listener = new Listener(_journal, "deleted");
        var reference = fixture.Silo.Grains.CreateObjectReference<IListener>(listener);
        var announcer = fixture.Silo.Grains.GetGrain<IAnnouncerGrain>("deleted");
        await announcer.Subscribe(reference);
        fixture.Silo.Grains.DeleteObjectReference<IListener>(reference);
        await announcer.Announce("nobody hears");
        await Assert.ThrowsAsync<TimeoutException>(() => announcer.AskAll(1));
        Assert.Empty(_journal.ReadAll("deleted"));
        GC.KeepAlive(listener);
    }

    [Fact]
    public async Task An_observer_that_nobody_keeps_alive_is_gone()
    {
        var announcer = fixture.Silo.Grains.GetGrain<IAnnouncerGrain>("collected");
        var gone = await SubscribeForgottenAsync(announcer);
        for (var i = 0; i < 20 && gone.IsAlive; i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }

        Assert.False(gone.IsAlive);
        await announcer.Announce("nobody hears");
        Assert.Empty(_journal.ReadAll("collected"));
    }

    [Fact]
    public void A_grain_reference_is_no_observer_object() =>
        Assert.ThrowsAny<ArgumentException>(() =>
            fixture.Silo.Grains.CreateObjectReference<IListener>(fixture.Silo.Grains.CreateObjectReference<IListener>(new Listener(_journal, "x"))));

    private async Task<(IAnnouncerGrain Announcer, Listener Listener)> SubscribedAsync(string key)
    {
        var listener = new Listener(_journal, key);
        var announcer = fixture.Silo.Grains.GetGrain<IAnnouncerGrain>(key);
        await announcer.Subscribe(fixture.Silo.Grains.CreateObjectReference<IListener>(listener));
        return (announcer, listener);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private Task<WeakReference> SubscribeForgottenAsync(IAnnouncerGrain announcer)
    {
        var listener = new Listener(_journal, "collected");
        var reference = fixture.Silo.Grains.CreateObjectReference<IListener>(listener);
        var weak = new WeakReference(listener);
        return announcer.Subscribe(reference).ContinueWith(_ => weak, TaskScheduler.Default);
    }
}
