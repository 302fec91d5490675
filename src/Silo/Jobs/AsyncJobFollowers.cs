using System.Runtime.CompilerServices;
using Federation.Silo.Gateway;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Jobs;

/// <summary>Those who follow jobs on this silo; bounded.</summary>
internal sealed class AsyncJobFollowers(AsyncJobStore store, AsyncJobSignals signals, IHostApplicationLifetime lifetime, IOptions<AsyncJobOptions> options, TimeProvider time)
{
    /// <summary>How often a follower that hears nothing looks: another silo may run the job.</summary>
    private static readonly TimeSpan LookPeriod = TimeSpan.FromSeconds(1);

    /// <summary>How often a line on which nothing is said shows that it is still there.</summary>
    private static readonly TimeSpan SignPeriod = TimeSpan.FromSeconds(15);

    private readonly AsyncJobStore _store = store;
    private readonly AsyncJobSignals _signals = signals;
    private readonly IHostApplicationLifetime _lifetime = lifetime;
    private readonly AsyncJobOptions _options = options.Value;
    private readonly TimeProvider _time = time;

    /// <summary>Follows a job of this account; null when there is none.</summary>
    public async Task<Following?> TryFollowAsync(string accountId, string id, CancellationToken cancellationToken)
    {
        if (await _store.FindAsync(accountId, id, cancellationToken) is null) return null;
        return new Following(this, id, cancellationToken);
    }

    /// <summary>One who follows a job.</summary>
    internal sealed class Following : IDisposable
    {
        private readonly AsyncJobFollowers _all;
        private readonly string _jobId;
        private readonly AsyncJobSignals.Follower _follower;
        private readonly CancellationTokenSource _ended;

        public Following(AsyncJobFollowers all, string jobId, CancellationToken clientGone)
        {
            (_all, _jobId) = (all, jobId);
            _follower = all._signals.Follow(jobId);
            _ended = CancellationTokenSource.CreateLinkedTokenSource(clientGone, all._lifetime.ApplicationStopping);
            if (all._signals.Followers > all._options.MaxFollowers) Refusal = OpenAiError.Busy("Too many follow jobs here already. Ask for the job itself, or try again.", SignPeriod);
        }

        /// <summary>Why not; null when nothing speaks against it.</summary>
        public OpenAiError? Refusal { get; }

        /// <summary>The client has gone, or the hub stops.</summary>
        public CancellationToken Ended => _ended.Token;

        /// <summary>What has happened and happens to the job after an event, to its end; null for a sign of life.</summary>
        public async IAsyncEnumerable<AsyncJobEvent?> EventsAsync(long after, [EnumeratorCancellation] CancellationToken cancellationToken = default)
        {
            using var either = CancellationTokenSource.CreateLinkedTokenSource(_ended.Token, cancellationToken);
            var saidAt = _all._time.GetTimestamp();
            while (true)
            {
                // Asked before the events: what ends it after that is among the events of the next round.
                var hasEnded = await _all._store.HasEndedAsync(_jobId, either.Token);
                foreach (var item in await _all._store.EventsAsync(_jobId, after, either.Token))
                {
                    after = item.Seq;
                    saidAt = _all._time.GetTimestamp();
                    yield return item;
                }
                if (hasEnded) yield break;
                if (_all._time.GetElapsedTime(saidAt) >= SignPeriod)
                {
                    saidAt = _all._time.GetTimestamp();
                    yield return null;
                }
                await _follower.WaitAsync(LookPeriod, either.Token);
            }
        }

        public void Dispose()
        {
            _follower.Dispose();
            _ended.Dispose();
        }
    }
}
