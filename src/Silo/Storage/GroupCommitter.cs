using System.Collections.Immutable;
using System.Threading.Channels;

namespace Federation.Silo.Storage;

/// <summary>How much a <see cref="GroupCommitter{TWork,TResult}"/> takes at once and lets wait.</summary>
/// <param name="BatchMax">Pieces of work in one commit at most.</param>
/// <param name="QueueMax">Pieces of work waiting at most; more are refused at once, so that a database that is away is felt at once.</param>
public sealed record GroupCommitLimits(int BatchMax, int QueueMax);

/// <summary>Commits all the work that is waiting; its results, in the same order, only after it is on disk.</summary>
/// <exception cref="StorageException">Nothing of it is known to be on disk.</exception>
public delegate Task<ImmutableArray<TResult>> GroupCommit<TWork, TResult>(
    ReadOnlyMemory<TWork> batch, CancellationToken cancellationToken);

/// <summary>
/// Lets many callers share one commit. While one batch is being written the next one gathers, so that under load the cost of
/// a sync to disk is divided among all who wait for it, and without load nobody waits for company.
/// </summary>
/// <remarks>
/// A caller is answered after the commit, never before. Work that the database rejects must not take its neighbours with it:
/// the batch is halved until the culprit is alone.
/// </remarks>
/// <typeparam name="TWork">What callers bring.</typeparam>
/// <typeparam name="TResult">What they get back.</typeparam>
public sealed partial class GroupCommitter<TWork, TResult> : IAsyncDisposable
{
    // A conflict is undone by the database and may be tried again at once; this often in a row it is no accident.
    private const int ConflictRetriesMax = 5;

    private readonly Channel<Entry> _queue;
    private readonly GroupCommit<TWork, TResult> _commit;
    private readonly GroupCommitLimits _limits;
    private readonly ILogger _logger;
    private readonly Task _loop;
    private volatile bool _stopping;

    /// <summary>Creates a committer and starts its loop.</summary>
    /// <param name="commit">Writes one batch.</param>
    /// <param name="limits">Bounds of batch and queue, each at least 1.</param>
    /// <param name="logger">Told of batches that failed.</param>
    public GroupCommitter(GroupCommit<TWork, TResult> commit, GroupCommitLimits limits, ILogger logger)
    {
        ArgumentNullException.ThrowIfNull(commit);
        ArgumentNullException.ThrowIfNull(limits);
        ArgumentOutOfRangeException.ThrowIfLessThan(limits.BatchMax, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(limits.QueueMax, 1);
        _commit = commit;
        _limits = limits;
        _logger = logger;
        _queue = Channel.CreateBounded<Entry>(new BoundedChannelOptions(limits.QueueMax)
        {
            // Wait, but only TryWrite is used: a full queue is an answer, not a place to stand in.
            FullMode = BoundedChannelFullMode.Wait,
            SingleReader = true,
        });
        _loop = Task.Run(RunAsync);
    }

    /// <summary>Queues <paramref name="work"/> and waits until it is on disk.</summary>
    /// <param name="work">What to write.</param>
    /// <param name="cancellationToken">
    /// Stops the wait. Work that a batch has already taken is written all the same, so the caller then does not know.
    /// </param>
    /// <exception cref="StorageException">It was not written, or nobody knows: see <see cref="StorageException.Failure"/>.</exception>
    public Task<TResult> CommitAsync(TWork work, CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested)
            return Task.FromCanceled<TResult>(cancellationToken);

        Entry entry = new(work, cancellationToken);
        if (_queue.Writer.TryWrite(entry))
            return entry.Answer.Task.WaitAsync(cancellationToken);

        return Task.FromException<TResult>(new StorageException(
            StorageFailure.Unavailable,
            _stopping
                ? "The hub is stopping; nothing more is written."
                : $"{_limits.QueueMax} writes are waiting for the database already."));
    }

    /// <summary>Takes no more work, writes what it has taken, and ends.</summary>
    public async ValueTask DisposeAsync()
    {
        _stopping = true;
        _queue.Writer.TryComplete();
        await _loop;
    }

    private async Task RunAsync()
    {
        List<Entry> batch = new(_limits.BatchMax);
        while (await _queue.Reader.WaitToReadAsync())
        {
            batch.Clear();
            while (batch.Count < _limits.BatchMax && _queue.Reader.TryRead(out var entry))
            {
                if (!entry.WasGivenUp)
                    batch.Add(entry);
            }

            await CommitAsync(batch.ToArray());
        }
    }

    private async Task CommitAsync(ReadOnlyMemory<Entry> entries)
    {
        if (entries.IsEmpty)
            return;

        var failure = await TryCommitAsync(entries);
        if (failure is null)
            return;

        if (failure is StorageException { IsTransient: true } || entries.Length == 1)
        {
            foreach (var entry in entries.Span)
                entry.Answer.TrySetException(failure);
            return;
        }

        // The batch is refused because of one of its members, which is unknown yet. Keep the order, halve, try again.
        LogHalved(entries.Length, failure);
        await CommitAsync(entries[..(entries.Length / 2)]);
        await CommitAsync(entries[(entries.Length / 2)..]);
    }

    // Null when every entry has been answered.
    private async Task<Exception?> TryCommitAsync(ReadOnlyMemory<Entry> entries)
    {
        var work = new TWork[entries.Length];
        for (var i = 0; i < work.Length; i++)
            work[i] = entries.Span[i].Work;

        var secondChance = work.Length == 1;
        for (var attempt = 0; ; attempt++)
        {
            try
            {
                var results = await _commit(work, CancellationToken.None);
                if (results.Length != work.Length)
                    throw new InvalidOperationException($"A commit of {work.Length} pieces of work gave {results.Length} results.");
                for (var i = 0; i < work.Length; i++)
                    entries.Span[i].Answer.TrySetResult(results[i]);
                return null;
            }
            catch (StorageException e) when (e.Failure is StorageFailure.Conflict && attempt < ConflictRetriesMax)
            {
                LogConflict(work.Length, e);
            }
            catch (StorageException e) when (e.Failure is StorageFailure.Rejected && secondChance)
            {
                // Two silos that write the same id in the same moment look like a refusal to the later one. On a second look it
                // finds the id and can say so; a true refusal is refused again.
                secondChance = false;
            }
            catch (Exception e)
            {
                // The loop serves every caller: whatever went wrong is theirs to hear, and never its end.
                LogFailed(work.Length, e);
                return e;
            }
        }
    }

    [LoggerMessage(EventId = 1010, Level = LogLevel.Warning, Message = "A commit of {Count} writes failed")]
    private partial void LogFailed(int count, Exception exception);

    [LoggerMessage(EventId = 1011, Level = LogLevel.Warning, Message = "A commit of {Count} writes was refused and is split to find the culprit")]
    private partial void LogHalved(int count, Exception exception);

    [LoggerMessage(EventId = 1012, Level = LogLevel.Debug, Message = "A commit of {Count} writes met a conflict and is tried again")]
    private partial void LogConflict(int count, Exception exception);

    private sealed class Entry(TWork work, CancellationToken cancellationToken)
    {
        public TWork Work { get; } = work;

        public TaskCompletionSource<TResult> Answer { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public bool WasGivenUp => cancellationToken.IsCancellationRequested;
    }
}
