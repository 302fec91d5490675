using System.Collections.Concurrent;
using Federation.Contracts.Accounts;
using Federation.Silo.Hosting;
using Federation.Silo.Models;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Accounts.Limits;

/// <summary>The jobs that this silo runs for accounts with limits: it asks for them, says that they go on, and says when they are over.</summary>
internal sealed partial class Reservations(IGrainFactory grains, IOptions<LimitOptions> options, IOptions<PoolOptions> pool, TimeProvider time, ILogger<Reservations> logger)
    : PeriodicService(options.Value.ReservationLifetime / 3, time, logger)
{
    private const int RenewedAtOnce = 1_000;

    // An account whose silo has died is asked in vain for half a minute; others' jobs must not count as lost meanwhile.
    private const int AccountsAtOnce = 32;

    // No activation's number, all of which are odd: whoever is asked with it has itself told first of all that runs here.
    private const long Nobody = 2;

    private static readonly TimeSpan AskAgainAfter = TimeSpan.FromMilliseconds(200);

    private readonly ConcurrentDictionary<string, Reservation> _running = new(StringComparer.Ordinal);

    // Of accounts with jobs here the activation that knows of all of them. Written under the gate, together with what runs, so that it holds for just these.
    private readonly ConcurrentDictionary<string, long> _knownBy = new(StringComparer.Ordinal);
    private readonly Lock _gate = new();

    /// <summary>Asks the account's grain, and again while it moves from a silo that died to another: it counts a job once, however often it is asked.</summary>
    /// <returns>The answer, and what must be ended when the job is over: it does nothing where the job was refused or nothing is counted.</returns>
    public async Task<(Admission Admission, Reservation Reservation)> AdmitAsync(string accountId, AdmissionRequest request, CancellationToken cancellationToken)
    {
        var account = grains.GetGrain<IAccountGrain>(accountId);
        var reservation = new Reservation(this, account, accountId, request, Time.GetUtcNow());
        try
        {
            while (true)
            {
                var knownBy = _knownBy.GetValueOrDefault(accountId);
                // Not given up when the client leaves: who does not hear the answer does not know what to take back.
                var admission = await AskAsync(() => account.Admit(request, knownBy), cancellationToken);
                if (admission.Refusal is { Reason: RefusalReason.Moved })
                {
                    await IntroduceAsync(account, accountId);
                    continue;
                }
                if (admission.IsCounted)
                {
                    reservation.CountedBy = admission.Activation;
                    Add(reservation);
                }
                else reservation.Forget();
                return (admission, reservation);
            }
        }
        catch
        {
            // It may be counted all the same.
            reservation.End(0, 0, 0);
            throw;
        }
    }

    /// <inheritdoc/>
    public override async Task LookAsync(CancellationToken cancellationToken)
    {
        lock (_gate)
        {
            var busy = _running.Values.Select(reservation => reservation.AccountId).ToHashSet(StringComparer.Ordinal);
            foreach (var idle in _knownBy.Where(known => !busy.Contains(known.Key))) _knownBy.TryRemove(idle);
        }
        // What was admitted since the last look is fresh, and most of it will be over by the next.
        var due = _running.Values.Where(reservation => reservation.IsDue()).GroupBy(reservation => reservation.AccountId, StringComparer.Ordinal);
        await Parallel.ForEachAsync(due, new ParallelOptions { MaxDegreeOfParallelism = AccountsAtOnce, CancellationToken = cancellationToken }, async (account, _) =>
        {
            foreach (var some in account.Chunk(RenewedAtOnce)) await RenewAsync(account.Key, some);
        });
    }

    /// <summary>Tells an account that has moved of all that runs here for it, before it judges anything by what it knows.</summary>
    internal async Task IntroduceAsync(IAccountGrain account, string accountId)
    {
        var knownBy = 0L;
        // Again for what another activation counted meanwhile, or was told before the account moved once more.
        while (StrangersTo(knownBy, accountId) is { Length: > 0 } strangers)
        {
            foreach (var some in strangers.Chunk(RenewedAtOnce)) knownBy = await AskAsync(() => TellAsync(account, some), CancellationToken.None);
        }
    }

    /// <summary>Jobs of an account that this activation does not count. Where there are none, the account is known by it from now on; by nobody, where none runs.</summary>
    private Reservation[] StrangersTo(long activation, string accountId)
    {
        lock (_gate)
        {
            var strangers = _running.Values.Where(reservation => reservation.AccountId == accountId && reservation.CountedBy != activation).ToArray();
            if (strangers.Length == 0 && activation == 0) _knownBy.TryRemove(accountId, out _);
            else if (strangers.Length == 0) _knownBy[accountId] = activation;
            return strangers;
        }
    }

    /// <summary>A job runs from now on. While it was asked for, others may have been counted, or told, elsewhere: then nobody knows them all.</summary>
    private void Add(Reservation reservation)
    {
        lock (_gate)
        {
            _running[reservation.JobId] = reservation;
            if (!_knownBy.TryAdd(reservation.AccountId, reservation.CountedBy) && _knownBy[reservation.AccountId] != reservation.CountedBy) _knownBy[reservation.AccountId] = Nobody;
        }
    }

    private static async Task<long> TellAsync(IAccountGrain account, Reservation[] some)
    {
        var countedBy = await account.Renew([.. some.Select(reservation => reservation.AsRunning)]);
        foreach (var reservation in some)
        {
            reservation.CountedBy = countedBy;
            // What ended in the same moment may have been taken on anew.
            if (reservation.IsOver) reservation.Repeat();
        }
        return countedBy;
    }

    private async Task RenewAsync(string accountId, Reservation[] some)
    {
        try
        {
            var account = grains.GetGrain<IAccountGrain>(accountId);
            var countedBy = await TellAsync(account, some);
            if (_knownBy.GetValueOrDefault(accountId) != countedBy) await IntroduceAsync(account, accountId);
        }
        catch (Exception exception) when (exception is OrleansException or TimeoutException)
        {
            // The grain is on its way to another silo; there are two more looks before anything counts as lost.
            LogNotRenewed(accountId, some.Length, exception);
        }
    }

    /// <summary>Asks an account's grain until it answers, or a request has waited long enough. What is asked must come to the same when it is asked again.</summary>
    internal async Task<T> AskAsync<T>(Func<Task<T>> ask, CancellationToken cancellationToken)
    {
        var askedAt = Time.GetTimestamp();
        while (true)
        {
            try
            {
                return await ask();
            }
            catch (Exception exception) when (exception is OrleansException or TimeoutException && Time.GetElapsedTime(askedAt) < pool.Value.Patience)
            {
                await Task.Delay(AskAgainAfter, Time, cancellationToken);
            }
        }
    }

    internal void Remove(Reservation reservation) => _running.TryRemove(reservation.JobId, out _);

    /// <summary>Tells that a job is over. Nobody waits for it, and nobody's answer fails with it.</summary>
    internal async Task ReleaseAsync(IAccountGrain account, JobUsage usage)
    {
        try
        {
            await account.Release(usage);
        }
        catch (Exception exception) when (exception is OrleansException or TimeoutException or ObjectDisposedException)
        {
            LogNotReleased(usage.JobId, exception);
        }
    }

    [LoggerMessage(4850, LogLevel.Information, "Account {AccountId} could not be told that {Jobs} jobs go on; it is told again")]
    private partial void LogNotRenewed(string accountId, int jobs, Exception exception);

    [LoggerMessage(4851, LogLevel.Information, "The end of job {JobId} could not be told to its account, which will read it from the record")]
    private partial void LogNotReleased(string jobId, Exception exception);
}

/// <summary>A running job's place in its account's limits.</summary>
internal sealed class Reservation(Reservations reservations, IAccountGrain account, string accountId, AdmissionRequest request, DateTimeOffset askedAt)
{
    private static readonly JobSpend Nothing = new(0, 0);

    private JobSpend _spend = Nothing;
    private long _countedBy;
    private bool _isDue;
    private int _ended;

    public string AccountId => accountId;

    public string JobId => request.JobId;

    /// <summary>What is repeated while it runs.</summary>
    public RunningJob AsRunning => new(request, _spend) { AskedAt = askedAt, Activation = CountedBy };

    /// <summary>The account's activation that counts it; 0 for none.</summary>
    public long CountedBy
    {
        get => Volatile.Read(ref _countedBy);
        set => Volatile.Write(ref _countedBy, value);
    }

    /// <summary>Whether its end has been told, or need not be.</summary>
    public bool IsOver => Volatile.Read(ref _ended) != 0;

    /// <summary>Sets what the job may cost at most, before it goes where it costs something; replaces what was set before.</summary>
    /// <returns>Why not; <see langword="null"/> when it may.</returns>
    public async Task<AdmissionRefusal?> ReserveAsync(long microcredits, long cloudTokens)
    {
        var spend = new JobSpend(microcredits, cloudTokens);
        // Where nothing is limited, nothing is counted.
        while (!IsOver)
        {
            var refusal = await reservations.AskAsync(() => account.ReserveSpend(request.JobId, spend, CountedBy), CancellationToken.None);
            if (refusal is { Reason: RefusalReason.Moved })
            {
                await reservations.IntroduceAsync(account, accountId);
                continue;
            }
            if (refusal is null) _spend = spend;
            return refusal;
        }
        return null;
    }

    /// <summary>The job is over; the first call counts. Whoever is told of the end before its client is can be asked for the next at once.</summary>
    /// <param name="tokens">Prompt and completion, as far as delivered.</param>
    /// <param name="microcredits">What it cost.</param>
    /// <param name="cloudTokens">Of its tokens, those from a cloud provider.</param>
    public void End(long tokens, long microcredits, long cloudTokens)
    {
        if (Interlocked.Exchange(ref _ended, 1) != 0) return;
        reservations.Remove(this);
        _ = reservations.ReleaseAsync(account, Usage(tokens, new JobSpend(microcredits, cloudTokens)));
    }

    /// <summary>Whether it was there at the look before.</summary>
    internal bool IsDue()
    {
        var wasThere = _isDue;
        _isDue = true;
        return wasThere;
    }

    /// <summary>Tells once more that the job is over; what it used was told the first time.</summary>
    internal void Repeat() => _ = reservations.ReleaseAsync(account, Usage(0, Nothing));

    private JobUsage Usage(long tokens, JobSpend spend) => new(request.JobId, request.KeyId, tokens, spend) { AskedAt = askedAt, Activation = CountedBy, IsBackground = request.IsBackground };

    /// <summary>There is nothing to end.</summary>
    internal void Forget() => Volatile.Write(ref _ended, 1);
}
