using Federation.Silo.Accounts.Ledger;

namespace Federation.Silo.Tests.Ledger;

/// <summary>
/// The ledger once more, by somebody who has never heard of counters: a list of what was accepted, everything else asked of the
/// list each time. Slow, and written to disagree with <see cref="LedgerState"/> should that be wrong.
/// </summary>
internal sealed class NaiveLedger(IEnumerable<LedgerAccountId> accounts)
{
    private readonly HashSet<LedgerAccountId> _open = [.. accounts];
    private List<(Transfer Transfer, DateTimeOffset At)> _accepted = [];

    public long Balance(LedgerAccountId account) => Moves().Sum(move =>
        (move.To == account ? move.Amount : 0) - (move.From == account ? move.Amount : 0));

    public long Held(LedgerAccountId account) => _accepted
        .Where(entry => entry.Transfer.Kind is TransferKind.Hold && entry.Transfer.DebitAccount == account && EndOf(entry.Transfer.Id) is null)
        .Sum(entry => entry.Transfer.Amount.Value);

    public TransferStatus[] Submit(Transfer[] chain, DateTimeOffset now)
    {
        var before = _accepted.ToList();
        var statuses = new TransferStatus[chain.Length];
        for (var i = 0; i < chain.Length; i++)
        {
            statuses[i] = Judge(chain[i], now);
            if (statuses[i] is TransferStatus.Created)
            {
                _accepted.Add((chain[i], now));
            }
            else if (statuses[i] is not TransferStatus.Exists)
            {
                _accepted = before;
                return [.. statuses.Select((status, at) => at == i ? status : TransferStatus.ChainFailed)];
            }
        }

        return statuses;
    }

    private TransferStatus Judge(Transfer transfer, DateTimeOffset now)
    {
        // Wrong in itself, whatever else there is.
        if (transfer.Kind is TransferKind.Post or TransferKind.Hold or TransferKind.PostHold && transfer.Amount.Value <= 0)
            return TransferStatus.AmountNotPositive;
        if (transfer.Kind is TransferKind.Hold && (transfer.Timeout <= TimeSpan.Zero || transfer.Timeout > TimeSpan.FromDays(30)))
            return TransferStatus.TimeoutOutOfRange;
        if (transfer.DebitAccount is not null && transfer.DebitAccount == transfer.CreditAccount)
            return TransferStatus.SameAccount;

        foreach (var (first, _) in _accepted.Where(entry => entry.Transfer.Id == transfer.Id))
        {
            return (first.Kind == transfer.Kind, first.DebitAccount == transfer.DebitAccount, first.CreditAccount == transfer.CreditAccount,
                    first.HoldId == transfer.HoldId, first.Amount == transfer.Amount, first.Timeout == transfer.Timeout,
                    first.Reason == transfer.Reason, first.Reference == transfer.Reference) switch
            {
                (false, _, _, _, _, _, _, _) => TransferStatus.ExistsWithDifferentKind,
                (_, false, _, _, _, _, _, _) => TransferStatus.ExistsWithDifferentDebitAccount,
                (_, _, false, _, _, _, _, _) => TransferStatus.ExistsWithDifferentCreditAccount,
                (_, _, _, false, _, _, _, _) => TransferStatus.ExistsWithDifferentHold,
                (_, _, _, _, false, _, _, _) => TransferStatus.ExistsWithDifferentAmount,
                (_, _, _, _, _, false, _, _) => TransferStatus.ExistsWithDifferentTimeout,
                (_, _, _, _, _, _, false, _) => TransferStatus.ExistsWithDifferentReason,
                (_, _, _, _, _, _, _, false) => TransferStatus.ExistsWithDifferentReference,
                _ => TransferStatus.Exists,
            };
        }

        return transfer.HoldId is { } hold ? JudgeEnd(transfer, hold, now) : JudgeBegin(transfer);
    }

    private TransferStatus JudgeBegin(Transfer transfer)
    {
        if (!_open.Contains(transfer.DebitAccount!.Value))
            return TransferStatus.DebitAccountNotFound;
        if (!_open.Contains(transfer.CreditAccount!.Value))
            return TransferStatus.CreditAccountNotFound;
        var spendable = Balance(transfer.DebitAccount.Value) - Held(transfer.DebitAccount.Value);
        return transfer.DebitAccount != LedgerAccountId.Treasury && spendable < transfer.Amount.Value
            ? TransferStatus.InsufficientCredits
            : TransferStatus.Created;
    }

    private TransferStatus JudgeEnd(Transfer transfer, TransferId holdId, DateTimeOffset now)
    {
        var made = _accepted.Where(entry => entry.Transfer.Id == holdId && entry.Transfer.Kind is TransferKind.Hold).ToArray();
        if (made.Length == 0)
            return TransferStatus.HoldNotFound;

        var (hold, at) = made[0];
        var due = at + hold.Timeout!.Value <= now;
        return EndOf(holdId)?.Kind switch
        {
            TransferKind.PostHold => TransferStatus.HoldAlreadyPosted,
            TransferKind.VoidHold => TransferStatus.HoldAlreadyVoided,
            TransferKind.ExpireHold => TransferStatus.HoldExpired,
            _ when transfer.Kind is TransferKind.ExpireHold => due ? TransferStatus.Created : TransferStatus.HoldNotDue,
            _ when due => TransferStatus.HoldExpired,
            _ when transfer.Amount.Value > hold.Amount.Value => TransferStatus.ExceedsHold,
            _ => TransferStatus.Created,
        };
    }

    private Transfer? EndOf(TransferId hold) => _accepted.Select(entry => entry.Transfer).FirstOrDefault(transfer => transfer.HoldId == hold);

    private IEnumerable<(LedgerAccountId From, LedgerAccountId To, long Amount)> Moves()
    {
        foreach (var (transfer, _) in _accepted)
        {
            if (transfer.Kind is TransferKind.Post)
                yield return (transfer.DebitAccount!.Value, transfer.CreditAccount!.Value, transfer.Amount.Value);
            if (transfer.Kind is TransferKind.PostHold)
            {
                var hold = _accepted.Single(entry => entry.Transfer.Id == transfer.HoldId).Transfer;
                yield return (hold.DebitAccount!.Value, hold.CreditAccount!.Value, transfer.Amount.Value);
            }
        }
    }
}
