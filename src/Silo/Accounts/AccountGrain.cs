using System.Collections.Immutable;
using System.Security.Cryptography;
using Federation.Contracts.Accounts;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Accounts.Limits;
using Microsoft.Extensions.Options;
using Orleans.Concurrency;

namespace Federation.Silo.Accounts;

/// <inheritdoc cref="IAccountGrain"/>
/// <remarks>
/// Reentrant, so that nobody waits for another's look into the database; between reading and changing what is counted nothing here awaits. What is counted lives in memory: what is over was settled and is
/// on record, what runs is repeated by the silo that serves it, so an activation elsewhere knows both again.
/// </remarks>
[Reentrant]
internal sealed class AccountGrain(AccountStore store, UsageStore usage, ILedger ledger, IOptions<TierOptions> tiers, IOptions<LimitOptions> limits, TimeProvider time) : Grain, IAccountGrain
{
    private static readonly AdmissionRefusal Moved = new(RefusalReason.Moved, false, 0, 0, 0, TimeSpan.Zero);

    private readonly LimitBook _book = new(limits.Value);
    private readonly long _startedAt = time.GetTimestamp();

    // By which a silo knows whether this one has heard of what it runs. Never 0, which stands for none.
    private readonly long _activation = BitConverter.ToInt64(RandomNumberGenerator.GetBytes(sizeof(long))) | 1;
    private AccountRow? _account;
    private TierTerms? _terms;
    private Admission? _unlimited;
    private bool _isLoaded;
    private Task? _loading;

    private string Id => this.GetPrimaryKeyString();

    private TierTerms Terms => _terms ??= TierTerms.Of(tiers.Value, _account?.Tier ?? Tier.Free);

    private bool IsOpen => _account is { ClosedAt: null };

    private Moment Now => new(time.GetElapsedTime(_startedAt), time.GetUtcNow());

    public override Task OnActivateAsync(CancellationToken cancellationToken) => Refresh();

    public Task<AccountTerms> GetTerms() => Task.FromResult(new AccountTerms(IsOpen, Terms.Tier, Terms.Weight, Terms.EarningMultiplier));

    public Task<Admission> Admit(AdmissionRequest request, long activation)
    {
        if (!IsOpen) return Task.FromResult(Refused(new AdmissionRefusal(RefusalReason.AccountClosed, false, 0, 0, 0, TimeSpan.Zero)));
        if (Terms.WhyNot(request.Model, request.Kind) is { } reason) return Task.FromResult(Refused(new AdmissionRefusal(reason, false, 0, 0, 0, TimeSpan.Zero)));
        if (!Terms.Limits.IsAny && request.KeyLimits is null && request.Claim is null) return Task.FromResult(_unlimited ??= Admitted());
        if (HasMoved(activation)) return Task.FromResult(Refused(Moved) with { Activation = _activation });
        _book.Expire(Now);
        return Knows(request) ? Task.FromResult(AdmitCounted(request)) : LoadAndAdmitAsync(request);
    }

    public async Task<AdmissionRefusal?> ReserveSpend(string jobId, JobSpend spend, long activation)
    {
        if (HasMoved(activation)) return Moved;
        _book.Expire(Now);
        while (_book.Find(jobId) is { } request && !Knows(request)) await LoadAsync(request);
        return _book.TryReserve(jobId, spend, Terms.Limits, Now);
    }

    public Task Release(JobUsage usage)
    {
        _book.Release(usage, Now, HasMoved(usage.Activation));
        return Task.CompletedTask;
    }

    public Task<long> Renew(ImmutableArray<RunningJob> jobs)
    {
        var now = Now;
        foreach (var job in jobs) _book.Renew(job, now, HasMoved(job.Activation));
        return Task.FromResult(_activation);
    }

    public async Task<AccountLimits> GetLimits()
    {
        _book.Expire(Now);
        if (!KnowsAccount) await LoadAsync();
        return _book.Levels(Terms.Limits, Now);
    }

    public async Task<AccountBalance> GetBalance(CancellationToken cancellationToken)
    {
        var available = LedgerAccountId.Available(Id);
        var pending = LedgerAccountId.Pending(Id);
        var accounts = await ledger.GetAccountsAsync([available, pending], cancellationToken);
        var spendable = accounts.FirstOrDefault(account => account.Id == available);
        return new AccountBalance(
            spendable?.Available.Value ?? 0,
            spendable?.DebitsPending.Value ?? 0,
            accounts.FirstOrDefault(account => account.Id == pending)?.Available.Value ?? 0);
    }

    public async Task Refresh()
    {
        _account = await store.FindAsync(Id, CancellationToken.None);
        (_terms, _unlimited) = (null, null);
    }

    private Admission Admitted() => new(true, Terms.Tier, Terms.Weight, Terms.EarningMultiplier);

    private Admission Refused(AdmissionRefusal refusal) => new(false, Terms.Tier, Terms.Weight, Terms.EarningMultiplier) { Refusal = refusal };

    /// <summary>Whether who asks believes that another activation counts what it runs.</summary>
    private bool HasMoved(long activation) => activation != 0 && activation != _activation;

    private bool KnowsAccount => (_isLoaded || !Terms.Limits.IsAny) && !_book.HasLostEnds;

    private bool Knows(AdmissionRequest request) => KnowsAccount && (request.KeyLimits is null || _book.Knows(request.KeyId));

    private async Task<Admission> LoadAndAdmitAsync(AdmissionRequest request)
    {
        // While it was read, an end may have come of which that does not know.
        while (!Knows(request)) await LoadAsync(request);
        return AdmitCounted(request);
    }

    /// <summary>Reads what the record says of all that a job is judged by.</summary>
    private async Task LoadAsync(AdmissionRequest request)
    {
        if (!KnowsAccount) await LoadAsync();
        if (request.KeyLimits is null || _book.Knows(request.KeyId)) return;
        var used = await usage.OfKeyAsync(Id, request.KeyId, time.GetUtcNow(), CancellationToken.None);
        _book.LoadKey(request.KeyId, used.Used, used.Requests, Now);
    }

    private Admission AdmitCounted(AdmissionRequest request)
    {
        var now = Now;
        var caps = Terms.Limits;
        var refusal = _book.TryAdmit(request, caps, now);
        var (requests, tokens) = _book.Tightest(request, caps, now);
        return (refusal is null ? Admitted() : Refused(refusal)) with { IsCounted = refusal is null, Requests = requests, Tokens = tokens, Activation = _activation };
    }

    /// <summary>Reads what the record says of this day, once for all who wait for it.</summary>
    private async Task LoadAsync()
    {
        var loading = _loading ??= LoadOnceAsync();
        try
        {
            await loading;
        }
        finally
        {
            if (_loading == loading) _loading = null;
        }
    }

    private async Task LoadOnceAsync()
    {
        var lost = _book.LostEnds;
        var used = await usage.OfAccountAsync(Id, time.GetUtcNow(), [.. lost.Select(static end => end.JobId)], CancellationToken.None);
        var now = Now;
        _book.Load(used.Used, now, lost, used.Recorded);
        if (!_isLoaded) foreach (var request in used.Requests) _book.LoadRequest(request.JobId, request.AskedAt, now);
        _isLoaded = true;
    }
}
