using Federation.Silo.Accounts.Ledger;
using FsCheck;
using FsCheck.Fluent;

namespace Federation.Silo.Tests.Ledger;

/// <summary>One step of a made-up life of the ledger: time passes, then a chain is submitted.</summary>
internal sealed record LedgerStep(TimeSpan Pause, Transfer[] Chain)
{
    public override string ToString() => $"+{Pause.TotalSeconds} s: {string.Join(" & ", Chain.Select(Describe))}";

    private static string Describe(Transfer transfer) =>
        $"{transfer.Kind} {transfer.Id} {transfer.DebitAccount}→{transfer.CreditAccount} {transfer.Amount.Value} hold={transfer.HoldId} timeout={transfer.Timeout?.TotalSeconds} {transfer.Reference}";
}

/// <summary>
/// Made-up lives. The world is small on purpose: few accounts and small amounts run dry often. And it is repetitive on purpose:
/// each life draws some transfers first and then submits them again and again, now and then with a mistake.
/// </summary>
internal static class LedgerWorkload
{
    public static readonly LedgerAccountId[] Open =
        [LedgerAccountId.Treasury, LedgerAccountId.Available("a"), LedgerAccountId.Pending("a"), LedgerAccountId.Available("b")];

    private static readonly TransferId[] PostIds = [.. Enumerable.Range(0, 14).Select(number => TransferId.Of($"post{number}"))];
    private static readonly TransferId[] HoldIds = [.. Enumerable.Range(0, 14).Select(number => TransferId.Of($"hold{number}"))];
    private static readonly TransferId[] EndIds = [.. Enumerable.Range(0, 18).Select(number => TransferId.Of($"end{number}"))];

    private static readonly Gen<LedgerAccountId> Account = Gen.Frequency(
        (4, Gen.Elements(Open)), (14, Gen.Elements(Open[1..])), (1, Gen.Constant(LedgerAccountId.Available("unopened"))));

    private static readonly Gen<Microcredits> Amount = Gen.Frequency(
        (1, Gen.Choose(-1, 0)), (20, Gen.Choose(1, 30))).Select(amount => new Microcredits(amount));

    private static readonly Gen<TimeSpan> Timeout = Gen.Frequency(
        (1, Gen.Constant(0)), (12, Gen.Choose(1, 30)), (1, Gen.Constant(31 * 24 * 60 * 60))).Select(seconds => TimeSpan.FromSeconds(seconds));

    private static readonly Gen<TransferReason> Reason = Gen.Elements(TransferReason.Usage, TransferReason.Refund);

    private static readonly Gen<string> Reference = Gen.Elements("job", "other");

    private static readonly Gen<TransferId> AnyHoldId = Gen.Frequency((9, Gen.Elements(HoldIds)), (1, Gen.Elements(PostIds)));

    /// <summary>Lives of up to 200 steps; a failing one is cut down to the steps that matter.</summary>
    public static Arbitrary<LedgerStep[]> Lives { get; } = Arb.From(
        from posts in Gen.CollectToArray(PostIds, Post)
        from holds in Gen.CollectToArray(HoldIds, Hold)
        from ends in Gen.CollectToArray(EndIds, End)
        from length in Gen.Choose(1, 200)
        from life in Gen.ArrayOf(Step([.. posts, .. holds, .. ends]), length)
        select life,
        Shorter);

    private static Gen<LedgerStep> Step(Transfer[] transfers)
    {
        var planned = Gen.Elements(transfers);
        var expiry = Gen.Elements(HoldIds).Select(hold => Transfer.ExpireHold(hold, TransferReason.Usage, ""));
        var any = Gen.Frequency((20, planned), (2, expiry), (3, planned.SelectMany(Mistake)));
        return
            from seconds in Gen.Frequency((3, Gen.Constant(0)), (1, Gen.Choose(1, 5)))
            from length in Gen.Frequency((5, Gen.Constant(1)), (1, Gen.Constant(2)), (1, Gen.Constant(4)))
            from chain in Gen.ArrayOf(any, length)
            select new LedgerStep(TimeSpan.FromSeconds(seconds), chain);
    }

    private static Gen<Transfer> Post(TransferId id)
    {
        var grant =
            from to in Gen.Elements(Open[1..])
            from amount in Amount
            select Transfer.Post(id, LedgerAccountId.Treasury, to, amount, TransferReason.Grant);
        var any =
            from debit in Account
            from credit in Account
            from amount in Amount
            from reason in Reason
            from reference in Reference
            select Transfer.Post(id, debit, credit, amount, reason, reference);
        return Gen.Frequency((1, grant), (1, any));
    }

    private static Gen<Transfer> Hold(TransferId id) =>
        from debit in Account
        from credit in Account
        from amount in Amount
        from timeout in Timeout
        from reason in Reason
        from reference in Reference
        select Transfer.Hold(id, debit, credit, amount, timeout, reason, reference);

    private static Gen<Transfer> End(TransferId id)
    {
        var post =
            from hold in AnyHoldId
            from amount in Amount
            from reference in Reference
            select Transfer.PostHold(id, hold, amount, TransferReason.Usage, reference);
        var release =
            from hold in AnyHoldId
            from reason in Reason
            select Transfer.VoidHold(id, hold, reason);
        return Gen.Frequency((2, post), (1, release));
    }

    // The same id with one field of another transfer, or with all of them.
    private static Gen<Transfer> Mistake(Transfer transfer) =>
        from field in Gen.Choose(0, 8)
        from debit in Account
        from credit in Account
        from hold in AnyHoldId
        from amount in Amount
        from timeout in Timeout
        from reason in Reason
        from reference in Reference
        from another in Gen.OneOf(Post(transfer.Id), Hold(transfer.Id), End(transfer.Id))
        select Remade(
            transfer,
            field is 0 ? debit : transfer.DebitAccount,
            field is 1 ? credit : transfer.CreditAccount,
            field is 2 ? hold : transfer.HoldId,
            field is 3 ? amount : transfer.Amount,
            field is 4 ? timeout : transfer.Timeout,
            field is 5 ? reason : transfer.Reason,
            field is 6 ? reference : transfer.Reference,
            field > 6 ? another : null);

    private static Transfer Remade(
        Transfer transfer, LedgerAccountId? debit, LedgerAccountId? credit, TransferId? hold, Microcredits amount, TimeSpan? timeout,
        TransferReason reason, string reference, Transfer? another) => another ?? transfer.Kind switch
        {
            TransferKind.Post => Transfer.Post(transfer.Id, debit!.Value, credit!.Value, amount, reason, reference),
            TransferKind.Hold => Transfer.Hold(transfer.Id, debit!.Value, credit!.Value, amount, timeout!.Value, reason, reference),
            TransferKind.PostHold => Transfer.PostHold(transfer.Id, hold!.Value, amount, reason, reference),
            TransferKind.VoidHold => Transfer.VoidHold(transfer.Id, hold!.Value, reason, reference),
            _ => transfer,
        };

    private static IEnumerable<LedgerStep[]> Shorter(LedgerStep[] life)
    {
        for (var cut = life.Length / 2; cut >= 1; cut /= 2)
        {
            for (var at = 0; at + cut <= life.Length; at += cut)
                yield return [.. life[..at], .. life[(at + cut)..]];
        }
    }
}
