using System.Security.Cryptography;
using System.Text;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Storage;

namespace Federation.Silo.Verification.Accrual;

/// <summary>
/// What an earning that is due becomes: matured, forfeited, or paid as another class. Maturing and forfeiting have the same transfer id, so that the ledger itself refuses to do both. Pure.
/// </summary>
/// <param name="classes">What other classes are paid.</param>
/// <param name="pending">The owner's pending purse, where the earning is.</param>
/// <param name="available">The owner's purse that can be spent from.</param>
internal sealed class Settlement(HardwareClasses classes, LedgerAccountId pending, LedgerAccountId available)
{
    /// <summary>The movement, null where no money moves, and what is written about the earning in the same commit.</summary>
    public (Transfer? Transfer, SqlStatement Row) Of(EarningRow row, DateTimeOffset now)
    {
        var amount = row.Earning.Amount;
        if (row.CondemnedBy is { } eventId)
        {
            return (
                amount.IsPositive ? Transfer.Post(EndOf(row.Id), pending, LedgerAccountId.Treasury, amount, TransferReason.Forfeiture, eventId) : null,
                EarningStore.End(row.Id, row.Earning.Forfeit().State, now));
        }
        if (row.ReRateTo is { } hardwareClass)
        {
            var right = ReRated(row, hardwareClass);
            // A class has one movement at most: a second time there is nothing left above it.
            var id = TransferId.Of($"rerate:{row.Id}:{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(hardwareClass)).AsSpan(0, 8))}");
            return (right < amount ? Transfer.Post(id, pending, LedgerAccountId.Treasury, amount - right, TransferReason.Forfeiture, row.ReRatedBy!) : null, EarningStore.ReRate(row.Id, hardwareClass, right));
        }
        var matured = row.Earning.Mature(row.Held(now));
        return (amount.IsPositive ? Transfer.Post(EndOf(row.Id), pending, available, amount, TransferReason.Maturation, row.Reference) : null, EarningStore.End(row.Id, matured.State, now));
    }

    /// <summary>What the same work earns in another class, never more than it was credited.</summary>
    private Microcredits ReRated(EarningRow row, string hardwareClass)
    {
        var work = row.Work;
        // Standby: the time is the same, its rate is not.
        var earned = row.ReceiptId is null
            ? new Microcredits((long)((Int128)row.Earning.Amount.Value * classes.CreditsPerHour(hardwareClass) / Math.Max(1, classes.CreditsPerHour(work.HardwareClass))))
            // The share that the caps left stays the share.
            : classes.ConfiguredPay(hardwareClass, work.ModelBytes).CreditsFor(classes, work.PromptTokens, work.CompletionTokens, work.ReferenceMicroseconds, work.PayableMicroseconds, work.Multiplier);
        return earned < row.Earning.Amount ? earned : row.Earning.Amount;
    }

    private static TransferId EndOf(string earningId) => TransferId.Of($"earned:{earningId}");
}
