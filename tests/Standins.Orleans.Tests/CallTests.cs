// SPDX-License-Identifier: Apache-2.0
using Federation.Standins.Orleans.Tests.Cluster;
using Orleans;

namespace Federation.Standins.Orleans.Tests;

public interface ICalculatorGrain : IGrainWithStringKey
{
    Task<int> Add(int a, int b);

    ValueTask<string> Join(string a, string b);

    ValueTask Touch();

    Task<string> Echo<T>(T value);

    Task Fail(string message);

    Task FailAfterAwait(string message);

    Task<string> Scheduler();
}

public sealed class CalculatorGrain : Grain, ICalculatorGrain
{
    public Task<int> Add(int a, int b) => Task.FromResult(a + b);

    public ValueTask<string> Join(string a, string b) => new(a + b);

    public ValueTask Touch() => default;

    public Task<string> Echo<T>(T value) => Task.FromResult($"{typeof(T).Name}:{value}");

    public Task Fail(string message) => throw new InvalidOperationException(message);

    public async Task FailAfterAwait(string message)
    {
        await Task.Yield();
        throw new NotSupportedException(message);
    }

    public async Task<string> Scheduler()
    {
        var before = TaskScheduler.Current;
        await Task.Delay(1);
        return ReferenceEquals(before, TaskScheduler.Current) && before != TaskScheduler.Default ? "own" : "foreign";
    }
}

public sealed class CallTests(SiloFixture fixture) : IClassFixture<SiloFixture>
{
    private readonly ICalculatorGrain _calculator = fixture.Silo.Grains.GetGrain<ICalculatorGrain>("calls");

    [Fact]
    public async Task A_call_returns_the_result() => Assert.Equal(5, await _calculator.Add(2, 3));

    [Fact]
    public async Task Value_task_methods_return_their_results()
    {
        await _calculator.Touch();
        Assert.Equal("ab", await _calculator.Join("a", "b"));
    }

    [Fact]
    public async Task Generic_methods_can_be_called()
    {
        Assert.Equal("Int32:1", await _calculator.Echo(1));
        Assert.Equal("String:x", await _calculator.Echo("x"));
    }

    [Fact]
    public async Task An_exception_reaches_the_caller_with_type_and_message()
    {
        var failure = await Assert.ThrowsAsync<InvalidOperationException>(() => _calculator.Fail("broken"));
        Assert.Equal("broken", failure.Message);
    }

    [Fact]
    public async Task An_exception_after_an_await_reaches_the_caller() =>
        await Assert.ThrowsAsync<NotSupportedException>(() => _calculator.FailAfterAwait("late"));

    [Fact]
    public async Task Code_after_an_await_is_back_on_the_grains_scheduler() => Assert.Equal("own", await _calculator.Scheduler());
}
