// SPDX-License-Identifier: Apache-2.0
using System.Collections.Immutable;
using Federation.Standins.Orleans.Tests.Cluster;

namespace Federation.Standins.Orleans.Tests;

[GenerateSerializer]
[Immutable]
public sealed record Parcel([property: Id(0)] string Label, [property: Id(1)] ImmutableArray<int> Weights);

[GenerateSerializer]
public sealed class KnownFailureException(string message, int code) : Exception(message)
{
    [Id(0)]
    public int Code { get; } = code;
}

public sealed class UnknownFailureException(string message) : Exception(message);

public interface ICalculatorGrain : IGrainWithStringKey
{
    Task<int> Add(int a, int b);

    ValueTask<string> Join(string a, string b);

    ValueTask Touch();

    Task<string> Echo<T>(T value);

    Task<string?> EchoNull(string? value);

    Task<Parcel> Pass(Parcel parcel);

    Task<(int Sum, string Text)> Pair(int sum, string text);

    Task Fail(string message);

    Task FailAfterAwait(string message);

    Task FailKnown(string message, int code);

    Task FailUnknown(string message);

    Task Cancel();

    Task<string> Scheduler();

    Task<int> AddThrough(ICalculatorGrain other, int a, int b);
}

public sealed class CalculatorGrain : Grain, ICalculatorGrain
{
    public Task<int> Add(int a, int b) => Task.FromResult(a + b);

    public ValueTask<string> Join(string a, string b) => new(a + b);

    public ValueTask Touch() => default;

    public Task<string> Echo<T>(T value) => Task.FromResult($"{typeof(T).Name}:{value}");

    public Task<string?> EchoNull(string? value) => Task.FromResult(value);

    public Task<Parcel> Pass(Parcel parcel) => Task.FromResult(parcel);

    public Task<(int Sum, string Text)> Pair(int sum, string text) => Task.FromResult((sum, text));

    public Task Fail(string message) => throw new InvalidOperationException(message);

    public async Task FailAfterAwait(string message)
    {
        await Task.Yield();
        throw new NotSupportedException(message);
    }

    public Task FailKnown(string message, int code) => Task.FromException(new KnownFailureException(message, code));

    public Task FailUnknown(string message) => Task.FromException(new UnknownFailureException(message));

    public Task Cancel() => throw new OperationCanceledException("by the grain");

    public async Task<string> Scheduler()
    {
        var before = TaskScheduler.Current;
        await Task.Delay(1);
        return ReferenceEquals(before, TaskScheduler.Current) && before != TaskScheduler.Default ? "own" : "foreign";
    }

    public Task<int> AddThrough(ICalculatorGrain other, int a, int b) => other.Add(a, b);
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
    public async Task Null_travels_both_ways() => Assert.Null(await _calculator.EchoNull(null));

    [Fact]
    public async Task Immutable_records_travel_both_ways()
    {
        var parcel = new Parcel("p", [1, 2, 3]);
        var back = await _calculator.Pass(parcel);
        Assert.Equal("p", back.Label);
        Assert.Equal([1, 2, 3], back.Weights.AsEnumerable());
    }

    [Fact]
    public async Task Tuples_travel_back() => Assert.Equal((3, "three"), await _calculator.Pair(3, "three"));

    [Fact]
    public async Task A_reference_can_be_an_argument()
    {
        var other = fixture.Silo.Grains.GetGrain<ICalculatorGrain>("other");
        Assert.Equal(7, await _calculator.AddThrough(other, 3, 4));
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
    public async Task A_serialisable_exception_of_ours_reaches_the_caller_with_its_data()
    {
        var failure = await Assert.ThrowsAsync<KnownFailureException>(() => _calculator.FailKnown("known", 17));
        Assert.Equal(("known", 17), (failure.Message, failure.Code));
    }

    [Fact]
    public async Task An_exception_of_ours_without_a_serialiser_reaches_a_caller_in_the_same_silo() =>
        await Assert.ThrowsAsync<UnknownFailureException>(() => _calculator.FailUnknown("seen here, hidden from other silos"));

    [Fact]
    public async Task A_cancellation_in_the_grain_is_a_cancellation_to_the_caller() =>
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => _calculator.Cancel());

    [Fact]
    public async Task A_grain_goes_on_after_a_failed_call()
    {
        await Assert.ThrowsAsync<InvalidOperationException>(() => _calculator.Fail("once"));
        Assert.Equal(2, await _calculator.Add(1, 1));
    }

    [Fact]
    public async Task Code_after_an_await_is_back_on_the_grains_scheduler() => Assert.Equal("own", await _calculator.Scheduler());

    [Fact]
    public async Task Ten_thousand_calls_from_many_tasks_are_all_answered_right()
    {
        var sums = await Task.WhenAll(Enumerable.Range(0, 100).Select(async i =>
        {
            var grain = fixture.Silo.Grains.GetGrain<ICalculatorGrain>($"many/{i % 10}");
            var sum = 0;
            for (var j = 0; j < 100; j++)
            {
                sum += await grain.Add(i, j);
            }

            return (i, sum);
        }));
        Assert.All(sums, sum => Assert.Equal((100 * sum.i) + (99 * 100 / 2), sum.sum));
    }
}
