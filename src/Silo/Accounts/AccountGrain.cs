using Federation.Contracts.Accounts;
using Federation.Silo.Accounts.Ledger;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Accounts;

/// <inheritdoc cref="IAccountGrain"/>
internal sealed class AccountGrain(AccountStore store, ILedger ledger, IOptions<TierOptions> tiers) : Grain, IAccountGrain
{
    private AccountRow? _account;

    private string Id => this.GetPrimaryKeyString();

    public override async Task OnActivateAsync(CancellationToken cancellationToken) => _account = await store.FindAsync(Id, cancellationToken);

    public Task<Admission> Admit(CancellationToken cancellationToken)
    {
        var tier = _account?.Tier ?? Tier.Free;
        return Task.FromResult(new Admission(_account is { ClosedAt: null }, tier, tiers.Value.Weights[tier], tiers.Value.EarningMultipliers[tier]));
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

    public async Task Refresh() => _account = await store.FindAsync(Id, CancellationToken.None);
}
