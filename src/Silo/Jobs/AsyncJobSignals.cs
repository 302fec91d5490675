using System.Collections.Concurrent;

namespace Federation.Silo.Jobs;

/// <summary>Wakes who follows a job when something happens to it on this silo. What other silos do to it, followers find out by looking.</summary>
internal sealed class AsyncJobSignals
{
    private readonly ConcurrentDictionary<string, Follower> _followers = new(StringComparer.Ordinal);
    private long _names;

    /// <summary>How many follow.</summary>
    public int Followers => _followers.Count;

    /// <summary>Follows a job, until it is disposed.</summary>
    public Follower Follow(string jobId)
    {
        var name = $"{jobId}/{Interlocked.Increment(ref _names)}";
        return _followers[name] = new Follower(jobId, () => _followers.TryRemove(name, out _));
    }

    /// <summary>Something happened to this job.</summary>
    public void Tell(string jobId)
    {
        // Few follow at a time, and little happens to a job: looking at all of them is cheaper than a list for each job.
        foreach (var follower in _followers.Values)
        {
            if (follower.JobId == jobId) follower.Wake();
        }
    }

    /// <summary>One who follows. Used by one thread, woken by any.</summary>
    internal sealed class Follower(string jobId, Action leave) : IDisposable
    {
        private readonly SemaphoreSlim _news = new(0, 1);
        private readonly Lock _gate = new();

        public string JobId => jobId;

        /// <summary>Returns when something has happened since the last call, or when it has waited so long.</summary>
        public Task<bool> WaitAsync(TimeSpan atMost, CancellationToken cancellationToken) => _news.WaitAsync(atMost, cancellationToken);

        public void Wake()
        {
            lock (_gate)
            {
                if (_news.CurrentCount == 0) _news.Release();
            }
        }

        /// <remarks>The semaphore is left to the collector: somebody may just be waking it.</remarks>
        public void Dispose() => leave();
    }
}
