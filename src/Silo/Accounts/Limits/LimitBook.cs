using System.Collections.Immutable;
using Federation.Contracts.Accounts;

namespace Federation.Silo.Accounts.Limits;

/// <summary>What an account may at most; 0 is no limit.</summary>
/// <param name="Requests">In any minute.</param>
/// <param name="Streams">Running at once.</param>
/// <param name="Tokens">In a day.</param>
/// <param name="CloudTokens">In a day, from cloud providers.</param>
internal sealed record AccountCaps(long Requests, long Streams, long Tokens, long CloudTokens)
{
    /// <summary>Whether there is any limit.</summary>
    public bool IsAny { get; } = (Requests | Streams | Tokens | CloudTokens) != 0;
}

/// <summary>A moment by both clocks.</summary>
/// <param name="Elapsed">By one that never goes back; for minutes and lifetimes.</param>
/// <param name="Utc">By the wall's; for days and months.</param>
internal readonly record struct Moment(TimeSpan Elapsed, DateTimeOffset Utc)
{
    /// <summary>A moment of the wall's clock by the other one; what lies ahead, by a silo's clock that runs fast, is now.</summary>
    public TimeSpan ElapsedAt(DateTimeOffset at) => at < Utc ? Elapsed - (Utc - at) : Elapsed;
}

/// <summary>A request that counts, by the record.</summary>
/// <param name="JobId">Which.</param>
/// <param name="AskedAt">When.</param>
internal readonly record struct RequestOnRecord(string JobId, DateTimeOffset AskedAt);

/// <summary>What the record says an account, or one key of it, has used of the day and month that run.</summary>
/// <param name="Tokens">Prompt and completion, of the day.</param>
/// <param name="CloudTokens">Of those, from cloud providers.</param>
/// <param name="DaySpend">Microcredits of the day.</param>
/// <param name="MonthSpend">Microcredits of the month.</param>
internal sealed record UsedSoFar(long Tokens, long CloudTokens, long DaySpend, long MonthSpend)
{
    public static readonly UsedSoFar Nothing = new(0, 0, 0, 0);
}

/// <summary>
/// The limits of one account and its keys: what is used, what runs, and whether one more may. Pure: no clock, no database, no grain; whoever calls is one at a time.
/// </summary>
/// <remarks>
/// A job that is admitted sets aside what it may come to and gives back the rest when it is over, so of any number that ask at once as many get in as there is room for. A client's own bound on its
/// answer must fit whole; what nobody has bounded sets aside what there is, and can overdraw the day by one answer's rest each.
/// </remarks>
internal sealed class LimitBook(LimitOptions options)
{
    private static readonly JobSpend None = new(0, 0);

    private readonly Dictionary<string, Running> _running = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> _claims = new(StringComparer.Ordinal);
    private readonly Dictionary<string, KeyBook> _keys = new(StringComparer.Ordinal);
    private readonly Dictionary<string, JobUsage> _lostEnds = new(StringComparer.Ordinal);
    private readonly RequestWindow _requests = new();
    private readonly PeriodCount _tokens = new();
    private readonly PeriodCount _cloudTokens = new();
    private TimeSpan _nextExpiry = TimeSpan.MaxValue;
    private int _awaited;
    private bool _hasSilentEnds;

    /// <summary>Some job's end was never heard of, or was that of a job this book does not know: whether what it used is counted already the record alone can tell.</summary>
    public bool HasLostEnds => _hasSilentEnds || _lostEnds.Count > 0;

    /// <summary>Ends that were told of jobs which this book does not know; counted when the record has been asked for them.</summary>
    public ImmutableArray<JobUsage> LostEnds => [.. _lostEnds.Values];

    /// <summary>Jobs that run.</summary>
    public int RunningCount => _running.Count;

    /// <summary>Takes over what the record says of the account. Never lowers a count.</summary>
    /// <param name="used">Of this day.</param>
    /// <param name="now">The moment.</param>
    /// <param name="lost">The <see cref="LostEnds"/> of before the record was read.</param>
    /// <param name="recorded">Those of them that are on record, and so in what is used.</param>
    public void Load(UsedSoFar used, Moment now, ImmutableArray<JobUsage> lost = default, ImmutableHashSet<string>? recorded = null)
    {
        MoveTo(now);
        _tokens.AtLeast(used.Tokens);
        _cloudTokens.AtLeast(used.CloudTokens);
        _hasSilentEnds = false;
        if (lost.IsDefaultOrEmpty) return;
        foreach (var end in lost)
        {
            if (!_lostEnds.Remove(end.JobId) || recorded?.Contains(end.JobId) is true || end.AskedAt < Periods.StartOfDay(now.Utc)) continue;
            // Over, and not on disk yet.
            var key = _keys.GetValueOrDefault(end.KeyId);
            key?.MoveTo(now);
            new Running(new AdmissionRequest(end.JobId, end.KeyId, default, string.Empty, 0, null), key, _tokens, _cloudTokens, 0).Settle(Bounded(end.Tokens), Bounded(end.Spend));
        }
    }

    /// <summary>A request of the last minute that is on record.</summary>
    public void LoadRequest(string jobId, DateTimeOffset askedAt, Moment now) => _requests.Tell(jobId, now.ElapsedAt(askedAt), now.Elapsed);

    /// <summary>Whether this key's own use is known here.</summary>
    public bool Knows(string keyId) => _keys.TryGetValue(keyId, out var key) && key.IsLoaded;

    /// <summary>Takes over what the record says of a key with limits of its own. Never lowers a count.</summary>
    /// <param name="keyId">The key.</param>
    /// <param name="used">Of this day and month.</param>
    /// <param name="requests">Of the last minute; they count where the key was not known before.</param>
    /// <param name="now">The moment.</param>
    public void LoadKey(string keyId, UsedSoFar used, IEnumerable<RequestOnRecord> requests, Moment now)
    {
        if (!_keys.ContainsKey(keyId) && _keys.Count >= options.KeysMax) ForgetIdleKeys(now);
        var key = KeyOf(keyId, now);
        key.IsLoaded = true;
        key.Tokens.AtLeast(used.Tokens);
        key.DaySpend.AtLeast(used.DaySpend);
        key.MonthSpend.AtLeast(used.MonthSpend);
        if (key.KnowsRequests) return;
        key.KnowsRequests = true;
        foreach (var request in requests) key.Requests.Tell(request.JobId, now.ElapsedAt(request.AskedAt), now.Elapsed);
    }

    /// <summary>A job that runs; <see langword="null"/> where it is not known here.</summary>
    public AdmissionRequest? Find(string jobId) => _running.GetValueOrDefault(jobId)?.Request;

    /// <summary>Forgets jobs whose silo has not been heard of for a lifetime: before anything is judged, so that the record can be asked for what they took.</summary>
    public void Expire(Moment now)
    {
        MoveTo(now);
        DropExpired(now);
    }

    /// <summary>Counts the job as running if every limit has room for it.</summary>
    /// <returns>Why not; <see langword="null"/> when it is counted, now or before.</returns>
    public AdmissionRefusal? TryAdmit(AdmissionRequest request, AccountCaps caps, Moment now)
    {
        MoveTo(now);
        DropExpired(now);
        if (_running.ContainsKey(request.JobId)) return null;
        if (request.Claim is { } claim && _claims.ContainsKey(claim)) return new AdmissionRefusal(RefusalReason.Claim, false, 1, 1, 1, TimeSpan.FromSeconds(1));
        var limits = request.KeyLimits;
        var key = limits is null ? null : KeyOf(request.KeyId, now);
        var wants = 1 + Bounded(request.CompletionTokensMax ?? 0);
        if (!request.IsBackground)
        {
            if (caps.Streams > 0 && _awaited >= caps.Streams) return new AdmissionRefusal(RefusalReason.Streams, false, caps.Streams, _awaited, 1, TimeSpan.FromSeconds(1));
            if (WhyTooFast(_requests, caps.Requests, isKey: false, now) is { } tooFast) return tooFast;
            if (key is not null && WhyTooFast(key.Requests, limits!.RequestsPerMinute ?? 0, isKey: true, now) is { } keyTooFast) return keyTooFast;
        }
        if (WhySpent(RefusalReason.Tokens, _tokens, caps.Tokens, wants, isKey: false, Periods.UntilTomorrow(now.Utc)) is { } spent) return spent;
        if (key is not null && WhySpent(RefusalReason.Tokens, key.Tokens, limits!.TokensPerDay ?? 0, wants, isKey: true, Periods.UntilTomorrow(now.Utc)) is { } keySpent) return keySpent;

        if (!request.IsBackground)
        {
            _requests.Add(now.Elapsed);
            key?.Requests.Add(now.Elapsed);
        }
        var tokens = Math.Min(Bounded(request.PromptTokens) + Bounded(request.CompletionTokensMax ?? options.UnnamedTokens), Math.Min(Room(_tokens, caps.Tokens), Room(key?.Tokens, limits?.TokensPerDay ?? 0)));
        Add(request, key, Math.Max(tokens, wants), now);
        return null;
    }

    /// <summary>Sets what a running job may cost; see <see cref="IAccountGrain.ReserveSpend"/>.</summary>
    public AdmissionRefusal? TryReserve(string jobId, JobSpend spend, AccountCaps caps, Moment now)
    {
        MoveTo(now);
        if (!_running.TryGetValue(jobId, out var job)) return new AdmissionRefusal(RefusalReason.NotRunning, false, 0, 0, 0, TimeSpan.Zero);
        job.Key?.MoveTo(now);
        var before = job.Spend;
        job.SettleSpend(None);
        var wanted = Bounded(spend);
        var refusal = WhyTooDear(job, wanted, caps, now);
        job.ReserveSpend(refusal is null ? wanted : before);
        return refusal;
    }

    /// <summary>A job is over: what it used takes the place of what it might have.</summary>
    /// <param name="usage">Of the job.</param>
    /// <param name="now">The moment.</param>
    /// <param name="isForeign">Another book counted it last.</param>
    public void Release(JobUsage usage, Moment now, bool isForeign = false)
    {
        MoveTo(now);
        if (_running.TryGetValue(usage.JobId, out var job))
        {
            Remove(job);
            job.Key?.MoveTo(now);
            job.Settle(Bounded(usage.Tokens), Bounded(usage.Spend));
            return;
        }
        // It was admitted by an activation that is gone, or its silo had been silent for so long that it counted as gone. The record that was read may have it, or not yet.
        if (isForeign && !usage.IsBackground) Tell(usage.JobId, usage.AskedAt, _keys.GetValueOrDefault(usage.KeyId), now);
        if (usage is { Tokens: 0, Spend: { Microcredits: 0, CloudTokens: 0 } }) return;
        _lostEnds[usage.JobId] = usage;
        if (_keys.TryGetValue(usage.KeyId, out var key)) key.IsLoaded = false;
    }

    /// <summary>A job goes on. Who does not know it takes it on: it was admitted once, so nothing is asked.</summary>
    /// <param name="running">The job.</param>
    /// <param name="now">The moment.</param>
    /// <param name="isForeign">Another book counted it last.</param>
    public void Renew(RunningJob running, Moment now, bool isForeign = false)
    {
        MoveTo(now);
        if (!_running.TryGetValue(running.Request.JobId, out var job))
        {
            var tokens = Bounded(running.Request.PromptTokens) + Bounded(running.Request.CompletionTokensMax ?? options.UnnamedTokens);
            job = Add(running.Request, running.Request.KeyLimits is null ? null : KeyOf(running.Request.KeyId, now), tokens, now);
            job.ReserveSpend(Bounded(running.Spend));
            if (isForeign && !running.Request.IsBackground) Tell(running.Request.JobId, running.AskedAt, job.Key, now);
        }
        job.ExpiresAt = now.Elapsed + options.ReservationLifetime;
    }

    /// <summary>Requests of the minute; <see langword="null"/> without a limit.</summary>
    public LimitLevel? Requests(AccountCaps caps, Moment now) => Level(_requests, caps.Requests, now);

    /// <summary>Tokens of the day; <see langword="null"/> without a limit.</summary>
    public LimitLevel? Tokens(AccountCaps caps, Moment now) => Level(_tokens, caps.Tokens, Periods.UntilTomorrow(now.Utc));

    /// <summary>All limits of the account.</summary>
    public AccountLimits Levels(AccountCaps caps, Moment now)
    {
        MoveTo(now);
        DropExpired(now);
        return new AccountLimits(
            Requests(caps, now),
            caps.Streams > 0 ? new LimitLevel(caps.Streams, Math.Max(0, caps.Streams - _awaited), TimeSpan.Zero) : null,
            Tokens(caps, now),
            Level(_cloudTokens, caps.CloudTokens, Periods.UntilTomorrow(now.Utc)));
    }

    /// <summary>The tighter of the account's and the key's, of requests and of tokens.</summary>
    public (LimitLevel? Requests, LimitLevel? Tokens) Tightest(AdmissionRequest request, AccountCaps caps, Moment now)
    {
        var (requests, tokens) = (Requests(caps, now), Tokens(caps, now));
        if (request.KeyLimits is not { } limits) return (requests, tokens);
        var key = KeyOf(request.KeyId, now);
        return (Tighter(requests, Level(key.Requests, limits.RequestsPerMinute ?? 0, now)), Tighter(tokens, Level(key.Tokens, limits.TokensPerDay ?? 0, Periods.UntilTomorrow(now.Utc))));
    }

    private void Tell(string jobId, DateTimeOffset? askedAt, KeyBook? key, Moment now)
    {
        if (askedAt is not { } at) return;
        _requests.Tell(jobId, now.ElapsedAt(at), now.Elapsed);
        key?.Requests.Tell(jobId, now.ElapsedAt(at), now.Elapsed);
    }

    private Running Add(AdmissionRequest request, KeyBook? key, long tokens, Moment now)
    {
        var job = new Running(request, key, _tokens, _cloudTokens, tokens) { ExpiresAt = now.Elapsed + options.ReservationLifetime };
        _running.Add(request.JobId, job);
        if (!request.IsBackground) _awaited++;
        if (request.Claim is { } claim) _claims[claim] = request.JobId;
        if (job.ExpiresAt < _nextExpiry) _nextExpiry = job.ExpiresAt;
        return job;
    }

    private AdmissionRefusal? WhyTooDear(Running job, JobSpend wanted, AccountCaps caps, Moment now)
    {
        if (wanted.CloudTokens > 0 && WhySpent(RefusalReason.CloudTokens, _cloudTokens, caps.CloudTokens, wanted.CloudTokens, isKey: false, Periods.UntilTomorrow(now.Utc)) is { } cloud) return cloud;
        if (job.Key is not { } key || job.Request.KeyLimits is not { BudgetMicrocredits: { } budget } limits || wanted.Microcredits == 0) return null;
        var (spent, reset) = limits.BudgetPeriod is BudgetPeriod.Month ? (key.MonthSpend, Periods.UntilNextMonth(now.Utc)) : (key.DaySpend, Periods.UntilTomorrow(now.Utc));
        return spent.Total + wanted.Microcredits <= budget ? null : new AdmissionRefusal(RefusalReason.Budget, true, budget, spent.Total, wanted.Microcredits, reset);
    }

    private KeyBook KeyOf(string keyId, Moment now)
    {
        if (!_keys.TryGetValue(keyId, out var key)) _keys.Add(keyId, key = new KeyBook());
        key.MoveTo(now);
        return key;
    }

    private void MoveTo(Moment now)
    {
        var day = Periods.DayOf(now.Utc);
        _tokens.MoveTo(day);
        _cloudTokens.MoveTo(day);
    }

    private void ForgetIdleKeys(Moment now)
    {
        var busy = _running.Values.Select(job => job.Key).ToHashSet();
        foreach (var (id, _) in _keys.Where(entry => !busy.Contains(entry.Value) && entry.Value.Requests.Count(now.Elapsed) == 0).ToList()) _keys.Remove(id);
    }

    /// <summary>Jobs whose silo has not been heard of for a lifetime.</summary>
    private void DropExpired(Moment now)
    {
        if (now.Elapsed < _nextExpiry) return;
        _nextExpiry = TimeSpan.MaxValue;
        foreach (var job in _running.Values.ToList())
        {
            if (job.ExpiresAt > now.Elapsed)
            {
                _nextExpiry = job.ExpiresAt < _nextExpiry ? job.ExpiresAt : _nextExpiry;
                continue;
            }
            Remove(job);
            job.Key?.MoveTo(now);
            job.Settle(0, None);
            // What it took, if anything, is on record or never will be.
            _hasSilentEnds = true;
            if (job.Key is { } key) key.IsLoaded = false;
        }
    }

    private void Remove(Running job)
    {
        _running.Remove(job.Request.JobId);
        if (!job.Request.IsBackground) _awaited--;
        if (job.Request.Claim is { } claim && _claims.GetValueOrDefault(claim) == job.Request.JobId) _claims.Remove(claim);
    }

    private static AdmissionRefusal? WhyTooFast(RequestWindow window, long limit, bool isKey, Moment now)
        => limit > 0 && window.Count(now.Elapsed) is var count && count >= limit ? new AdmissionRefusal(RefusalReason.Requests, isKey, limit, count, 1, window.UntilOneLess(now.Elapsed)) : null;

    private static AdmissionRefusal? WhySpent(RefusalReason reason, PeriodCount count, long limit, long wants, bool isKey, TimeSpan reset)
        => limit > 0 && count.Total + wants > limit ? new AdmissionRefusal(reason, isKey, limit, count.Total, wants, reset) : null;

    private static long Room(PeriodCount? count, long limit) => count is null || limit <= 0 ? long.MaxValue : Math.Max(0, limit - count.Total);

    private static LimitLevel? Level(RequestWindow window, long limit, Moment now)
        => limit > 0 ? new LimitLevel(limit, Math.Max(0, limit - window.Count(now.Elapsed)), window.UntilNone(now.Elapsed)) : null;

    private static LimitLevel? Level(PeriodCount count, long limit, TimeSpan reset) => limit > 0 ? new LimitLevel(limit, Room(count, limit), reset) : null;

    private static LimitLevel? Tighter(LimitLevel? one, LimitLevel? other) => one is null || (other is not null && other.Remaining < one.Remaining) ? other : one;

    /// <summary>No sum of what runs at once comes near an overflow, whatever was asked for.</summary>
    private static long Bounded(long amount) => Math.Clamp(amount, 0, TierOptions.LimitMax);

    private static JobSpend Bounded(JobSpend spend) => new(Bounded(spend.Microcredits), Bounded(spend.CloudTokens));

    /// <summary>What one key with limits of its own has used.</summary>
    private sealed class KeyBook
    {
        /// <summary>Whether what the record says of it is in here.</summary>
        public bool IsLoaded { get; set; }

        /// <summary>Whether the requests that were on record when it was first asked for are in here; later ones are told.</summary>
        public bool KnowsRequests { get; set; }

        public RequestWindow Requests { get; } = new();

        public PeriodCount Tokens { get; } = new();

        public PeriodCount DaySpend { get; } = new();

        public PeriodCount MonthSpend { get; } = new();

        public void MoveTo(Moment now)
        {
            var day = Periods.DayOf(now.Utc);
            Tokens.MoveTo(day);
            DaySpend.MoveTo(day);
            MonthSpend.MoveTo(Periods.MonthOf(now.Utc));
        }
    }

    /// <summary>A job that runs, and what is set aside for it, with the day or month of each.</summary>
    private sealed class Running
    {
        private readonly PeriodCount _accountTokens;
        private readonly PeriodCount _cloudTokens;
        private readonly long _tokens;
        private readonly long _day;
        private readonly long _keyDay;
        private long _cloudDay;
        private long _spendDay;
        private long _spendMonth;

        public Running(AdmissionRequest request, KeyBook? key, PeriodCount accountTokens, PeriodCount cloudTokens, long tokens)
        {
            (Request, Key, _accountTokens, _cloudTokens, _tokens) = (request, key, accountTokens, cloudTokens, tokens);
            _day = accountTokens.Reserve(tokens);
            _keyDay = key?.Tokens.Reserve(tokens) ?? 0;
            ReserveSpend(None);
        }

        public AdmissionRequest Request { get; }

        /// <summary>Where the key's use is counted; null where the key has no limits of its own.</summary>
        public KeyBook? Key { get; }

        public JobSpend Spend { get; private set; } = None;

        public TimeSpan ExpiresAt { get; set; }

        public void ReserveSpend(JobSpend spend)
        {
            Spend = spend;
            _cloudDay = _cloudTokens.Reserve(spend.CloudTokens);
            _spendDay = Key?.DaySpend.Reserve(spend.Microcredits) ?? 0;
            _spendMonth = Key?.MonthSpend.Reserve(spend.Microcredits) ?? 0;
        }

        public void Settle(long tokens, JobSpend spent)
        {
            _accountTokens.Settle(_day, _tokens, tokens);
            Key?.Tokens.Settle(_keyDay, _tokens, tokens);
            SettleSpend(spent);
        }

        public void SettleSpend(JobSpend spent)
        {
            _cloudTokens.Settle(_cloudDay, Spend.CloudTokens, spent.CloudTokens);
            Key?.DaySpend.Settle(_spendDay, Spend.Microcredits, spent.Microcredits);
            Key?.MonthSpend.Settle(_spendMonth, Spend.Microcredits, spent.Microcredits);
            Spend = None;
        }
    }
}
