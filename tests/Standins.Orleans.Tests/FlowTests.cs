// SPDX-License-Identifier: Apache-2.0
using Federation.Standins.Orleans.Tests.Cluster;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Concurrency;
using Orleans.Configuration;

namespace Federation.Standins.Orleans.Tests;

public interface IFlowGrain : IGrainWithStringKey
{
    Task<string?> Get(string key);

    Task<string?> GetAfterAwait(string key);

    Task<string?> GetThrough(IFlowGrain other, string key);

    Task Set(string key, string value);

    Task<string?> Ambient();

    [OneWay]
    Task Note(string entry);

    [OneWay]
    void NoteWithoutTask(string entry);

    [OneWay]
    Task NoteThenFail(string entry);

    Task Hold(string gate);
}

public sealed class FlowGrain(Journal journal) : Grain, IFlowGrain
{
    public static readonly AsyncLocal<string?> Local = new();

    public Task<string?> Get(string key) => Task.FromResult(RequestContext.Get(key) as string);

    public async Task<string?> GetAfterAwait(string key)
    {
        await Task.Delay(1);
        return RequestContext.Get(key) as string;
    }

    public Task<string?> GetThrough(IFlowGrain other, string key) => other.Get(key);

    public Task Set(string key, string value)
    {
        RequestContext.Set(key, value);
        return Task.CompletedTask;
    }

    public Task<string?> Ambient() => Task.FromResult(Local.Value);

    public Task Note(string entry)
    {
        journal.Write(this.GetPrimaryKeyString(), entry);
        return Task.CompletedTask;
    }

    public void NoteWithoutTask(string entry) => journal.Write(this.GetPrimaryKeyString(), entry);

    public async Task NoteThenFail(string entry)
    {
        await Note(entry);
        throw new InvalidOperationException("nobody hears");
    }

    public async Task Hold(string gate)
    {
        journal.Write(this.GetPrimaryKeyString(), "held");
        await journal.PassAsync(gate);
    }
}

public interface IWorkerGrain : IGrainWithStringKey
{
    Task<int> Hold(string gate);
}

[StatelessWorker(2)]
public sealed class WorkerGrain(Journal journal) : Grain, IWorkerGrain
{
    private static int _workers;

    private readonly int _worker = Interlocked.Increment(ref _workers);

    public async Task<int> Hold(string gate)
    {
        journal.Write(gate, "held");
        await journal.PassAsync(gate);
        return _worker;
    }
}

public sealed class FlowTests(SiloFixture fixture) : IClassFixture<SiloFixture>
{
    private readonly Journal _journal = fixture.Silo.Services.GetRequiredService<Journal>();

    private IFlowGrain Flow(string key) => fixture.Silo.Grains.GetGrain<IFlowGrain>(key);

    [Fact]
    public async Task Request_context_flows_with_calls()
    {
        RequestContext.Set("k", "v");
        Assert.Equal("v", await Flow("a").Get("k"));
        Assert.Equal("v", await Flow("a").GetAfterAwait("k"));
        Assert.Equal("v", await Flow("a").GetThrough(Flow("b"), "k"));
        RequestContext.Clear();
        Assert.Null(await Flow("a").Get("k"));
    }

    [Fact]
    public async Task Request_context_does_not_flow_back_nor_to_the_next_call()
    {
        await Flow("back").Set("set-in-grain", "v");
        Assert.Null(RequestContext.Get("set-in-grain"));
        Assert.Null(await Flow("back").Get("set-in-grain"));
    }

    [Fact]
    public async Task What_a_callee_sets_its_caller_does_not_see_later()
    {
        RequestContext.Set("k", "before");
        await Flow("overwrite").Set("k", "after");
        Assert.Equal("before", RequestContext.Get("k"));
        Assert.True(RequestContext.Remove("k"));
        Assert.False(RequestContext.Remove("k"));
    }

    [Fact]
    public async Task Other_async_locals_do_not_flow()
    {
        FlowGrain.Local.Value = "of the caller";
        Assert.Null(await Flow("ambient").Ambient());
    }

    [Fact]
    public async Task A_one_way_call_is_not_waited_for()
    {
        var grain = Flow("one-way");
        var held = grain.Hold("one-way/gate");
        Assert.Equal("held", await _journal.ReadAsync("one-way"));
        await grain.Note("noted");
        Assert.Empty(_journal.ReadAll("one-way"));
        _journal.Open("one-way/gate");
        await held;
        Assert.Equal("noted", await _journal.ReadAsync("one-way"));
    }

    [Fact]
    public async Task A_one_way_method_without_task_runs()
    {
        Flow("void").NoteWithoutTask("noted");
        Assert.Equal("noted", await _journal.ReadAsync("void"));
    }

    [Fact]
    public async Task A_one_way_calls_failure_is_nobodys()
    {
        var grain = Flow("one-way-failing");
        await grain.NoteThenFail("noted");
        Assert.Equal("noted", await _journal.ReadAsync("one-way-failing"));
        Assert.Null(await grain.Get("alive"));
    }

    [Fact]
    public async Task Stateless_workers_share_the_calls_up_to_their_number()
    {
        var grain = fixture.Silo.Grains.GetGrain<IWorkerGrain>("w");
        var first = grain.Hold("worker-1");
        Assert.Equal("held", await _journal.ReadAsync("worker-1"));
        var second = grain.Hold("worker-2");
        Assert.Equal("held", await _journal.ReadAsync("worker-2"));
        var third = grain.Hold("worker-3");
        _journal.Open("worker-3");
        await Task.Delay(50);
        Assert.Empty(_journal.ReadAll("worker-3"));
        _journal.Open("worker-1");
        _journal.Open("worker-2");
        Assert.NotEqual(await first, await second);
        Assert.Contains(await third, new[] { await first, await second });
    }

    [Fact]
    public async Task A_full_queue_refuses_further_calls()
    {
        await using var silo = await TestSilo.StartAsync(builder => builder.Configure<SiloMessagingOptions>(options => options.MaxEnqueuedRequestsHardLimit = 2));
        var journal = silo.Services.GetRequiredService<Journal>();
        var grain = silo.Grains.GetGrain<IFlowGrain>("full");
        var held = grain.Hold("full/gate");
        Assert.Equal("held", await journal.ReadAsync("full"));
        var calls = Enumerable.Range(0, 10).Select(_ => grain.Get("k")).ToArray();
        var refused = 0;
        journal.Open("full/gate");
        await held;
        foreach (var call in calls)
        {
            try
            {
                await call;
            }
            catch (LimitExceededException)
            {
                refused++;
            }
        }

        Assert.InRange(refused, 7, 8);
    }
}
