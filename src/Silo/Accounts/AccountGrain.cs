using System.Collections.Immutable;
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
    private readonly LimitBook _book = new(limits.Value);
    private readonly long _startedAt = time.GetTimestamp();
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

    public Task<Admission> Admit(AdmissionRequest request)
    {
        if (!IsOpen) return Task.FromResult(Refused(new AdmissionRefusal(RefusalReason.AccountClosed, false, 0, 0, 0, TimeSpan.Zero)));
        if (Terms.WhyNot(request.Model, request.Kind) is { } reason) return Task.FromResult(Refused(new AdmissionRefusal(reason, false, 0, 0, 0, TimeSpan.Zero)));
        if (!Terms.Limits.IsAny && request.KeyLimits is null && request.Claim is null) return Task.FromResult(_unlimited ??= Admitted());
        return Knows(request) ? Task.FromResult(AdmitCounted(request)) : LoadAndAdmitAsync(request);
    }

    public Task<AdmissionRefusal?> ReserveSpend(string jobId, JobSpend spend) => Task.FromResult(_book.TryReserve(jobId, spend, Terms.Limits, Now));

    public Task Release(JobUsage usage)
    {
        _book.Release(usage, Now);
        return Task.CompletedTask;
    }

    public Task Renew(ImmutableArray<RunningJob> jobs)
    {
        var now = Now;
        foreach (var job in jobs) _book.Renew(job, now);
        return Task.CompletedTask;
    }

    public async Task<AccountLimits> GetLimits()
    {
        if (Terms.Limits.IsAny && !_isLoaded) await LoadAsync();
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

    private bool Knows(AdmissionRequest request) => (!Terms.Limits.IsAny || (_isLoaded && !_book.HasLostEnds)) && (request.KeyLimits is null || _book.Knows(request.KeyId));

    private async Task<Admission> LoadAndAdmitAsync(AdmissionRequest request)
    {
        if (Terms.Limits.IsAny && (!_isLoaded || _book.HasLostEnds)) await LoadAsync();
        if (request.KeyLimits is not null && !_book.Knows(request.KeyId))
        {
            var used = await usage.OfKeyAsync(Id, request.KeyId, time.GetUtcNow(), CancellationToken.None);
            var now = Now;
            _book.LoadKey(request.KeyId, used.Used, used.RequestTimes.Select(at => ElapsedAt(at, now)), now);
        }
        return AdmitCounted(request);
    }

    private Admission AdmitCounted(AdmissionRequest request)
    {
        var now = Now;
        var caps = Terms.Limits;
        var refusal = _book.TryAdmit(request, caps, now);
        var (requests, tokens) = _book.Tightest(request, caps, now);
        return (refusal is null ? Admitted() : Refused(refusal)) with { IsCounted = refusal is null, Requests = requests, Tokens = tokens };
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
        var used = await usage.OfAccountAsync(Id, time.GetUtcNow(), CancellationToken.None);
        var now = Now;
        _book.Load(used.Used, now);
        if (!_isLoaded) foreach (var at in used.RequestTimes) _book.LoadRequest(ElapsedAt(at, now));
        _isLoaded = true;
    }

    private static TimeSpan ElapsedAt(DateTimeOffset at, Moment now) => at < now.Utc ? now.Elapsed - (now.Utc - at) : now.Elapsed;
}
