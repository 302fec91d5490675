// SPDX-License-Identifier: Apache-2.0
using System.Runtime.CompilerServices;
using Federation.Standins.Orleans.Tests.Cluster;
using Microsoft.Extensions.DependencyInjection;

namespace Federation.Standins.Orleans.Tests;

public interface ISequenceGrain : IGrainWithStringKey
{
    IAsyncEnumerable<int> Range(int count);

    IAsyncEnumerable<int> RangeThenFail(int count);

    /// <summary>One item, then nothing until cancelled; notes its <c>finally</c>.</summary>
    IAsyncEnumerable<string> OneThenWait(CancellationToken token = default);

    /// <summary>An item each time the gate of its number opens.</summary>
    IAsyncEnumerable<int> Gated(int count, CancellationToken token = default);

    Task<string> Ping();

    Task Leave();
}

public sealed class SequenceGrain(Journal journal) : Grain, ISequenceGrain
{
    private string Key => this.GetPrimaryKeyString();

    public async IAsyncEnumerable<int> Range(int count)
    {
        for (var i = 0; i < count; i++)
        {
            if (i % 7 == 0)
            {
                await Task.Yield();
            }

            yield return i;
        }
    }

    public async IAsyncEnumerable<int> RangeThenFail(int count)
    {
        for (var i = 0; i < count; i++)
        {
            yield return i;
            await Task.Yield();
        }

        throw new InvalidOperationException("ran dry");
    }

    public async IAsyncEnumerable<string> OneThenWait([EnumeratorCancellation] CancellationToken token = default)
    {
        journal.Write(Key, "begins");
        try
        {
            yield return "one";
            await Task.Delay(Timeout.Infinite, token);
        }
        finally
        {
            journal.Write(Key, $"finally, cancelled: {token.IsCancellationRequested}");
        }
    }

    public async IAsyncEnumerable<int> Gated(int count, [EnumeratorCancellation] CancellationToken token = default)
    {
        for (var i = 0; i < count; i++)
        {
            await journal.PassAsync($"{Key}/{i}").WaitAsync(token);
            yield return i;
        }
    }

    public Task<string> Ping() => Task.FromResult("pong");

    public Task Leave()
    {
        DeactivateOnIdle();
        return Task.CompletedTask;
    }
}

public sealed class EnumerableTests(SiloFixture fixture) : IClassFixture<SiloFixture>
{
    private readonly Journal _journal = fixture.Silo.Services.GetRequiredService<Journal>();

    private ISequenceGrain Sequence(string key) => fixture.Silo.Grains.GetGrain<ISequenceGrain>(key);

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(99)]
    [InlineData(1000)]
    public async Task All_items_come_in_order(int count) =>
        Assert.Equal(Enumerable.Range(0, count), await ListAsync(Sequence("range").Range(count)));

    [Fact]
    public async Task All_items_come_whatever_the_batch_size() =>
        Assert.Equal(Enumerable.Range(0, 50), await ListAsync(Sequence("batches").Range(50).WithBatchSize(3)));

    [Fact]
    public async Task An_exception_comes_after_the_items_before_it()
    {
        var items = new List<int>();
        var failure = await Assert.ThrowsAsync<InvalidOperationException>(async () =>
        {
            await foreach (var item in Sequence("fails").RangeThenFail(5))
            {
                items.Add(item);
            }
        });
        Assert.Equal("ran dry", failure.Message);
        Assert.Equal([0, 1, 2, 3, 4], items);
    }

    [Fact]
    public async Task An_item_does_not_wait_for_the_next()
    {
        await foreach (var item in Sequence("prompt").OneThenWait())
        {
            Assert.Equal("one", item);
            break;
        }
    }

    [Fact]
    public async Task Breaking_off_runs_the_finally_block_in_the_grain()
    {
        await foreach (var item in Sequence("break").OneThenWait())
        {
            break;
        }

        Assert.Equal("begins", await _journal.ReadAsync("break"));
        Assert.Equal("finally, cancelled: True", await _journal.ReadAsync("break"));
    }

    [Fact]
    public async Task Cancelling_ends_the_sequence_on_both_sides()
    {
        using var cancel = new CancellationTokenSource();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (var item in Sequence("cancel").OneThenWait().WithCancellation(cancel.Token))
            {
                await cancel.CancelAsync();
            }
        });
        Assert.Equal("begins", await _journal.ReadAsync("cancel"));
        Assert.Equal("finally, cancelled: True", await _journal.ReadAsync("cancel"));
    }

    [Fact]
    public async Task Cancelling_while_waiting_for_an_item_ends_the_sequence_on_both_sides()
    {
        using var cancel = new CancellationTokenSource();
        var items = Sequence("cancel-waiting").OneThenWait(cancel.Token).GetAsyncEnumerator();
        Assert.True(await items.MoveNextAsync());
        var next = items.MoveNextAsync().AsTask();
        Assert.Equal("begins", await _journal.ReadAsync("cancel-waiting"));
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => next);
        await items.DisposeAsync();
        Assert.Equal("finally, cancelled: True", await _journal.ReadAsync("cancel-waiting"));
    }

    [Fact]
    public async Task Other_calls_run_while_a_sequence_waits()
    {
        var grain = Sequence("beside");
        await using var items = grain.Gated(2).GetAsyncEnumerator();
        var first = items.MoveNextAsync().AsTask();
        Assert.Equal("pong", await grain.Ping());
        _journal.Open("beside/0");
        Assert.True(await first);
        Assert.Equal("pong", await grain.Ping());
        _journal.Open("beside/1");
        Assert.True(await items.MoveNextAsync());
        Assert.False(await items.MoveNextAsync());
    }

    [Fact]
    public async Task A_sequence_may_wait_longer_than_the_response_timeout()
    {
        await using var items = Sequence("patient").Gated(1).GetAsyncEnumerator();
        var first = items.MoveNextAsync().AsTask();
        await Task.Delay(TestSilo.ResponseTimeout * 1.5);
        Assert.False(first.IsCompleted);
        _journal.Open("patient/0");
        Assert.True(await first);
        Assert.Equal(0, items.Current);
    }

    [Fact]
    public async Task Each_enumeration_is_a_run_of_its_own()
    {
        var sequence = Sequence("twice").Range(10);
        var lists = await Task.WhenAll(ListAsync(sequence), ListAsync(sequence));
        Assert.All(lists, list => Assert.Equal(Enumerable.Range(0, 10), list));
    }

    [Fact]
    public async Task A_sequence_is_aborted_when_the_grain_leaves_and_its_finally_block_runs()
    {
        var grain = Sequence("aborted");
        var items = grain.OneThenWait().GetAsyncEnumerator();
        Assert.True(await items.MoveNextAsync());
        await grain.Leave();
        Assert.Equal("begins", await _journal.ReadAsync("aborted"));
        Assert.Equal("finally, cancelled: True", await _journal.ReadAsync("aborted"));
        await Assert.ThrowsAsync<EnumerationAbortedException>(async () => await items.MoveNextAsync());
        await items.DisposeAsync();
    }

    [Fact]
    public async Task A_sequence_that_waits_is_aborted_when_the_grain_leaves()
    {
        var grain = Sequence("aborted-waiting");
        var items = grain.OneThenWait().GetAsyncEnumerator();
        Assert.True(await items.MoveNextAsync());
        var next = items.MoveNextAsync().AsTask();
        await grain.Leave();
        await Assert.ThrowsAsync<EnumerationAbortedException>(() => next);
        await items.DisposeAsync();
    }

    [Fact]
    public async Task A_sequence_that_nobody_asks_on_is_closed()
    {
        var items = Sequence("forgotten").OneThenWait().GetAsyncEnumerator();
        Assert.True(await items.MoveNextAsync());
        Assert.Equal("begins", await _journal.ReadAsync("forgotten"));
        Assert.Equal("finally, cancelled: True", await _journal.ReadAsync("forgotten"));
        await Assert.ThrowsAsync<EnumerationAbortedException>(async () => await items.MoveNextAsync());
        await items.DisposeAsync();
    }

    private static async Task<List<T>> ListAsync<T>(IAsyncEnumerable<T> items)
    {
        var list = new List<T>();
        await foreach (var item in items)
        {
            list.Add(item);
        }

        return list;
    }
}
