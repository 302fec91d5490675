using System.Collections.Immutable;
using Federation.Silo.Storage;
using Microsoft.Extensions.Logging.Abstractions;

namespace Federation.Silo.Tests.Storage;

public sealed class GroupCommitterTests
{
    private readonly Disk _disk = new();

    [Fact]
    public async Task Work_that_waits_shares_one_commit_and_keeps_its_order()
    {
        await using var committer = Committer();
        var first = committer.CommitAsync("a", CancellationToken.None);
        await _disk.Busy;

        var waiting = new[] { "b", "c", "d" }.Select(work => committer.CommitAsync(work, CancellationToken.None)).ToArray();
        _disk.Release();

        Assert.Equal("A", await first);
        Assert.Equal(["B", "C", "D"], await Task.WhenAll(waiting));
        Assert.Equal(["a", "bcd"], _disk.Commits);
    }

    [Fact]
    public async Task Nobody_is_answered_before_the_commit()
    {
        await using var committer = Committer();
        var answer = committer.CommitAsync("a", CancellationToken.None);
        await _disk.Busy;

        Assert.False(answer.IsCompleted);

        _disk.Release();
        Assert.Equal("A", await answer);
    }

    [Fact]
    public async Task Batch_is_bounded()
    {
        await using var committer = Committer(batchMax: 2);
        var first = committer.CommitAsync("a", CancellationToken.None);
        await _disk.Busy;
        var waiting = "bcdef".Select(work => committer.CommitAsync($"{work}", CancellationToken.None)).ToArray();
        _disk.Release();
        await Task.WhenAll(waiting);

        Assert.Equal(["a", "bc", "de", "f"], _disk.Commits);
    }

    [Fact]
    public async Task Refused_work_fails_alone()
    {
        _disk.Refuse("poison", StorageFailure.Rejected);
        await using var committer = Committer();
        var first = committer.CommitAsync("a", CancellationToken.None);
        await _disk.Busy;
        var good = new[] { "b", "c", "d", "e" }.Select(work => committer.CommitAsync(work, CancellationToken.None)).ToArray();
        var poison = committer.CommitAsync("poison", CancellationToken.None);
        var after = committer.CommitAsync("f", CancellationToken.None);
        _disk.Release();

        Assert.Equal(["B", "C", "D", "E"], await Task.WhenAll(good));
        Assert.Equal("F", await after);
        var refusal = await Assert.ThrowsAsync<StorageException>(() => poison);
        Assert.Equal(StorageFailure.Rejected, refusal.Failure);
        Assert.Equal("abcdef", string.Concat(_disk.Commits));
    }

    [Fact]
    public async Task Refusal_is_confirmed_by_a_second_look_because_a_race_of_two_silos_looks_like_one()
    {
        _disk.Refuse("a", StorageFailure.Rejected, times: 1);
        await using var committer = Committer();
        _disk.Release();

        Assert.Equal("A", await committer.CommitAsync("a", CancellationToken.None));
    }

    [Fact]
    public async Task Conflict_is_tried_again()
    {
        _disk.Refuse("a", StorageFailure.Conflict, times: 5);
        await using var committer = Committer();
        _disk.Release();

        Assert.Equal("A", await committer.CommitAsync("a", CancellationToken.None));
    }

    [Fact]
    public async Task Conflict_without_end_is_the_callers_to_hear()
    {
        _disk.Refuse("a", StorageFailure.Conflict);
        await using var committer = Committer();
        _disk.Release();

        var failure = await Assert.ThrowsAsync<StorageException>(() => committer.CommitAsync("a", CancellationToken.None));
        Assert.True(failure.IsTransient);
    }

    [Theory]
    [InlineData(StorageFailure.Unavailable)]
    [InlineData(StorageFailure.OutcomeUnknown)]
    public async Task When_the_database_is_away_everybody_in_the_batch_hears_it_at_once(StorageFailure failure)
    {
        _disk.Refuse("b", failure);
        await using var committer = Committer();
        var first = committer.CommitAsync("a", CancellationToken.None);
        await _disk.Busy;
        var waiting = new[] { "b", "c" }.Select(work => committer.CommitAsync(work, CancellationToken.None)).ToArray();
        _disk.Release();

        Assert.Equal("A", await first);
        foreach (var answer in waiting)
            Assert.Equal(failure, (await Assert.ThrowsAsync<StorageException>(() => answer)).Failure);
    }

    [Fact]
    public async Task Mistake_in_the_work_is_not_the_end_of_the_loop()
    {
        _disk.Throw = new InvalidOperationException("a broken invariant");
        await using var committer = Committer();
        _disk.Release();

        await Assert.ThrowsAsync<InvalidOperationException>(() => committer.CommitAsync("a", CancellationToken.None));
        _disk.Throw = null;
        Assert.Equal("B", await committer.CommitAsync("b", CancellationToken.None));
    }

    [Fact]
    public async Task Full_queue_refuses_at_once()
    {
        await using var committer = Committer(queueMax: 2);
        var first = committer.CommitAsync("a", CancellationToken.None);
        await _disk.Busy;
        var waiting = new[] { "b", "c" }.Select(work => committer.CommitAsync(work, CancellationToken.None)).ToArray();

        var refusal = await Assert.ThrowsAsync<StorageException>(() => committer.CommitAsync("d", CancellationToken.None));

        Assert.Equal(StorageFailure.Unavailable, refusal.Failure);
        _disk.Release();
        await Task.WhenAll([first, .. waiting]);
    }

    [Fact]
    public async Task Work_given_up_while_it_waits_is_not_written()
    {
        using CancellationTokenSource gaveUp = new();
        await using var committer = Committer();
        var first = committer.CommitAsync("a", CancellationToken.None);
        await _disk.Busy;
        var waiting = committer.CommitAsync("b", gaveUp.Token);
        var after = committer.CommitAsync("c", CancellationToken.None);
        await gaveUp.CancelAsync();
        _disk.Release();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
        await Task.WhenAll(first, after);
        Assert.Equal(["a", "c"], _disk.Commits);
    }

    [Fact]
    public async Task Stopping_writes_what_was_accepted_and_takes_no_more()
    {
        var committer = Committer();
        var first = committer.CommitAsync("a", CancellationToken.None);
        await _disk.Busy;
        var waiting = committer.CommitAsync("b", CancellationToken.None);
        var stopped = committer.DisposeAsync().AsTask();

        var late = await Assert.ThrowsAsync<StorageException>(() => committer.CommitAsync("c", CancellationToken.None));
        _disk.Release();
        await stopped;

        Assert.Equal(StorageFailure.Unavailable, late.Failure);
        Assert.Equal(["A", "B"], await Task.WhenAll(first, waiting));
    }

    private GroupCommitter<string, string> Committer(int batchMax = 100, int queueMax = 100) =>
        new(_disk.CommitAsync, new GroupCommitLimits(batchMax, queueMax), NullLogger.Instance);

    /// <summary>Stands for the database: holds the first commit until it is released, and refuses what it is told to.</summary>
    private sealed class Disk
    {
        private readonly TaskCompletionSource _busy = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource _released = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private string? _refused;
        private StorageFailure _failure;
        private int _refusals;

        public List<string> Commits { get; } = [];

        public Task Busy => _busy.Task;

        public Exception? Throw { get; set; }

        public void Release() => _released.TrySetResult();

        public void Refuse(string work, StorageFailure with, int times = int.MaxValue) => (_refused, _failure, _refusals) = (work, with, times);

        public async Task<ImmutableArray<string>> CommitAsync(ReadOnlyMemory<string> batch, CancellationToken cancellationToken)
        {
            _busy.TrySetResult();
            await _released.Task.WaitAsync(cancellationToken);
            if (Throw is not null)
                throw Throw;
            if (_refused is not null && batch.Span.Contains(_refused) && _refusals > 0)
            {
                _refusals--;
                throw new StorageException(_failure, "refused");
            }

            Commits.Add(string.Concat(batch.ToArray()));
            return [.. batch.ToArray().Select(work => work.ToUpperInvariant())];
        }
    }
}
