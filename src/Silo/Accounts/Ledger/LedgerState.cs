using System.Collections.Immutable;

namespace Federation.Silo.Accounts.Ledger;

/// <summary>
/// The ledger, or as much of it as some transfers touch, as a value: accounts, holds and recorded transfers. All its rules are
/// here, pure; the live ledger and the audit that replays its records both run them, so neither can drift from the other.
/// </summary>
/// <remarks>Being immutable it makes all-or-nothing trivial: who does not like the outcome keeps the state before.</remarks>
public sealed record LedgerState
{
    /// <summary>The longest a hold may last.</summary>
    public static readonly TimeSpan HoldTimeoutMax = TimeSpan.FromDays(30);

    /// <summary>A ledger nothing has happened to.</summary>
    public static LedgerState Empty { get; } = new();

    /// <summary>The accounts by name.</summary>
    public ImmutableDictionary<LedgerAccountId, LedgerAccount> Accounts { get; init; } = ImmutableDictionary<LedgerAccountId, LedgerAccount>.Empty;

    /// <summary>The holds, ended ones too, by id.</summary>
    public ImmutableDictionary<TransferId, LedgerHold> Holds { get; init; } = ImmutableDictionary<TransferId, LedgerHold>.Empty;

    /// <summary>The recorded transfers by id.</summary>
    public ImmutableDictionary<TransferId, RecordedTransfer> Transfers { get; init; } = ImmutableDictionary<TransferId, RecordedTransfer>.Empty;

    /// <summary>Adds an account, unless it is there.</summary>
    public LedgerState Open(LedgerAccountId id) =>
        Accounts.ContainsKey(id) ? this : this with { Accounts = Accounts.Add(id, LedgerAccount.Open(id)) };

    /// <summary>Applies the transfers in their order: all of them, or none.</summary>
    /// <param name="chain">At least one. Each sees what those before it did.</param>
    /// <param name="now">The moment they are recorded under.</param>
    /// <returns>The state after, and a result for each. If one could not be recorded, this state, and what stopped it.</returns>
    public (LedgerState State, ImmutableArray<TransferResult> Results) Apply(ImmutableArray<Transfer> chain, DateTimeOffset now)
    {
        var state = this;
        var results = ImmutableArray.CreateBuilder<TransferResult>(chain.Length);
        foreach (var transfer in chain)
        {
            (state, var result) = state.Apply(transfer, now);
            results.Add(result);
            if (!result.IsRecorded)
                return (this, Refused(chain.Length, culprit: results.Count - 1, result));
        }

        return (state, results.MoveToImmutable());
    }

    /// <summary>Applies one transfer.</summary>
    /// <param name="transfer">What is asked.</param>
    /// <param name="now">The moment it is recorded under; cut to whole milliseconds.</param>
    /// <returns>The state after, unchanged unless the result is <see cref="TransferStatus.Created"/>.</returns>
    public (LedgerState State, TransferResult Result) Apply(Transfer transfer, DateTimeOffset now)
    {
        ArgumentNullException.ThrowIfNull(transfer);
        now = DateTimeOffset.FromUnixTimeMilliseconds(now.ToUnixTimeMilliseconds());
        return transfer.Kind switch
        {
            TransferKind.Post or TransferKind.Hold => Begin(transfer, now),
            TransferKind.PostHold or TransferKind.VoidHold or TransferKind.ExpireHold => EndHold(transfer, now),
            _ => throw new InvalidOperationException($"Unknown kind of transfer {transfer.Kind}."),
        };
    }

    // A post or a hold. Each rung of the ladder answers one status, in the order of TransferStatus.
    private (LedgerState, TransferResult) Begin(Transfer transfer, DateTimeOffset now)
    {
        var amount = transfer.Amount;
        var debitId = transfer.DebitAccount!.Value;
        var creditId = transfer.CreditAccount!.Value;

        if (!amount.IsPositive)
            return Refuse(TransferStatus.AmountNotPositive);
        if (transfer.Timeout is { } timeout && (timeout <= TimeSpan.Zero || timeout > HoldTimeoutMax))
            return Refuse(TransferStatus.TimeoutOutOfRange);
        if (debitId == creditId)
            return Refuse(TransferStatus.SameAccount);

        if (Transfers.TryGetValue(transfer.Id, out var recorded))
            return Repeat(transfer, recorded);

        if (!Accounts.TryGetValue(debitId, out var debit))
            return Refuse(TransferStatus.DebitAccountNotFound);
        if (!Accounts.TryGetValue(creditId, out var credit))
            return Refuse(TransferStatus.CreditAccountNotFound);

        if (!debitId.MayOverdraw && debit.Available < amount)
            return Refuse(TransferStatus.InsufficientCredits);

        // Pending and posted together stay below the limit, so that a hold that fits can always be posted.
        if (!Fits(debit.DebitsPending, debit.DebitsPosted, amount) || !Fits(credit.CreditsPending, credit.CreditsPosted, amount))
            return Refuse(TransferStatus.Overflow);

        // From here on the transfer succeeds.
        if (transfer.Kind is TransferKind.Post)
        {
            return Record(
                transfer,
                debit with { DebitsPosted = debit.DebitsPosted + amount },
                credit with { CreditsPosted = credit.CreditsPosted + amount },
                released: default,
                now);
        }

        LedgerHold hold = new(transfer.Id, debitId, creditId, amount, now + transfer.Timeout!.Value, HoldState.Pending);
        return WithHold(hold).Record(
            transfer,
            debit with { DebitsPending = debit.DebitsPending + amount },
            credit with { CreditsPending = credit.CreditsPending + amount },
            released: default,
            now);
    }

    private (LedgerState, TransferResult) EndHold(Transfer transfer, DateTimeOffset now)
    {
        var posts = transfer.Kind is TransferKind.PostHold;
        var expires = transfer.Kind is TransferKind.ExpireHold;

        if (posts && !transfer.Amount.IsPositive)
            return Refuse(TransferStatus.AmountNotPositive);

        if (Transfers.TryGetValue(transfer.Id, out var recorded))
            return Repeat(transfer, recorded);

        if (!Holds.TryGetValue(transfer.HoldId!.Value, out var hold))
            return Refuse(TransferStatus.HoldNotFound);
        if (hold.State is HoldState.Posted)
            return Refuse(TransferStatus.HoldAlreadyPosted);
        if (hold.State is HoldState.Voided)
            return Refuse(TransferStatus.HoldAlreadyVoided);
        if (hold.State is HoldState.Expired || (!expires && hold.ExpiresAt <= now))
            return Refuse(TransferStatus.HoldExpired);
        if (expires && hold.ExpiresAt > now)
            return Refuse(TransferStatus.HoldNotDue);
        if (transfer.Amount > hold.Amount)
            return Refuse(TransferStatus.ExceedsHold);

        // From here on the transfer succeeds: what was held is there, and room for it was kept.
        var debit = Accounts[hold.DebitAccount];
        var credit = Accounts[hold.CreditAccount];
        var end = posts ? HoldState.Posted : expires ? HoldState.Expired : HoldState.Voided;
        return WithHold(hold with { State = end }).Record(
            transfer,
            debit with { DebitsPending = debit.DebitsPending - hold.Amount, DebitsPosted = debit.DebitsPosted + transfer.Amount },
            credit with { CreditsPending = credit.CreditsPending - hold.Amount, CreditsPosted = credit.CreditsPosted + transfer.Amount },
            released: hold.Amount,
            now);
    }

    // The id is taken: by the same transfer, which is fine, or by another one, which is the caller's mistake.
    private (LedgerState, TransferResult) Repeat(Transfer transfer, RecordedTransfer recorded)
    {
        var first = recorded.Transfer;
        if (first.Kind != transfer.Kind)
            return Refuse(TransferStatus.ExistsWithDifferentKind);
        if (first.DebitAccount != transfer.DebitAccount)
            return Refuse(TransferStatus.ExistsWithDifferentDebitAccount);
        if (first.CreditAccount != transfer.CreditAccount)
            return Refuse(TransferStatus.ExistsWithDifferentCreditAccount);
        if (first.HoldId != transfer.HoldId)
            return Refuse(TransferStatus.ExistsWithDifferentHold);
        if (first.Amount != transfer.Amount)
            return Refuse(TransferStatus.ExistsWithDifferentAmount);
        if (first.Timeout != transfer.Timeout)
            return Refuse(TransferStatus.ExistsWithDifferentTimeout);
        if (first.Reason != transfer.Reason)
            return Refuse(TransferStatus.ExistsWithDifferentReason);
        if (first.Reference != transfer.Reference)
            return Refuse(TransferStatus.ExistsWithDifferentReference);
        return (this, new TransferResult(TransferStatus.Exists, recorded.Timestamp));
    }

    private (LedgerState, TransferResult) Record(
        Transfer transfer, LedgerAccount debit, LedgerAccount credit, Microcredits released, DateTimeOffset now)
    {
        Check(debit);
        Check(credit);
        RecordedTransfer recorded = new(transfer, debit.Id, credit.Id, released, debit.Available, credit.Available, now);
        var next = this with
        {
            Accounts = Accounts.SetItem(debit.Id, debit).SetItem(credit.Id, credit),
            Transfers = Transfers.Add(transfer.Id, recorded),
        };
        return (next, new TransferResult(TransferStatus.Created, now));
    }

    private LedgerState WithHold(LedgerHold hold) => this with { Holds = Holds.SetItem(hold.Id, hold) };

    private (LedgerState, TransferResult) Refuse(TransferStatus status) => (this, new TransferResult(status, null));

    private static ImmutableArray<TransferResult> Refused(int count, int culprit, TransferResult result)
    {
        var results = Enumerable.Repeat(new TransferResult(TransferStatus.ChainFailed, null), count).ToArray();
        results[culprit] = result;
        return [.. results];
    }

    private static bool Fits(Microcredits pending, Microcredits posted, Microcredits more) =>
        pending.Value + (Int128)posted.Value + more.Value <= long.MaxValue;

    // Money that does not add up stops the work, in production too: a wrong balance written down is worse than none.
    private static void Check(LedgerAccount account)
    {
        var sound = account.DebitsPending >= default(Microcredits) && account.CreditsPending >= default(Microcredits)
            && account.DebitsPosted >= default(Microcredits) && account.CreditsPosted >= default(Microcredits)
            && (account.Id.MayOverdraw || account.Available >= default(Microcredits));
        if (!sound)
            throw new InvalidOperationException($"The ledger's rules were broken: {account}.");
    }
}
