namespace Federation.Silo.Accounts.Ledger;

/// <summary>What a transfer does. The numbers are stored: never renumber.</summary>
public enum TransferKind
{
    /// <summary>Moves the amount at once.</summary>
    Post = 1,

    /// <summary>Reserves the amount until it is posted, voided, or expires.</summary>
    Hold = 2,

    /// <summary>Ends a hold by moving its amount or a part of it; the rest is free again.</summary>
    PostHold = 3,

    /// <summary>Ends a hold by freeing all of it.</summary>
    VoidHold = 4,

    /// <summary>Ends a hold whose time has passed by freeing all of it. Made by the ledger itself.</summary>
    ExpireHold = 5,
}

/// <summary>Why credits move, for statements and sums. The numbers are stored: never renumber, never reuse.</summary>
public enum TransferReason
{
    /// <summary>Credits given by the hub's operator.</summary>
    Grant = 1,

    /// <summary>Credits bought.</summary>
    Purchase = 2,

    /// <summary>A job, paid by the account that asked for it.</summary>
    Usage = 3,

    /// <summary>A node's verified or to-be-verified work.</summary>
    Earning = 4,

    /// <summary>A node's availability.</summary>
    Standby = 5,

    /// <summary>Earned credits that became spendable.</summary>
    Maturation = 6,

    /// <summary>Earned credits lost by a failed check.</summary>
    Forfeiture = 7,

    /// <summary>The hub's share.</summary>
    Fee = 8,

    /// <summary>Credits given back.</summary>
    Refund = 9,

    /// <summary>A correction by the hub's operator.</summary>
    Adjustment = 10,

    /// <summary>Work done by or for another hub.</summary>
    Peering = 11,
}

/// <summary>
/// One movement of credits as its caller asks for it. Immutable, and made by its factories only, so that each kind has what it
/// needs and nothing else.
/// </summary>
public sealed record Transfer
{
    /// <summary>The longest <see cref="Reference"/>, characters.</summary>
    public const int ReferenceLengthMax = 128;

    private Transfer()
    {
    }

    /// <summary>Makes doing it twice harmless.</summary>
    public TransferId Id { get; private init; }

    /// <summary>What it does.</summary>
    public TransferKind Kind { get; private init; }

    /// <summary>Who pays; null when a hold says so.</summary>
    public LedgerAccountId? DebitAccount { get; private init; }

    /// <summary>Who receives; null when a hold says so.</summary>
    public LedgerAccountId? CreditAccount { get; private init; }

    /// <summary>How much is moved or reserved; zero where a hold just ends.</summary>
    public Microcredits Amount { get; private init; }

    /// <summary>Why.</summary>
    public TransferReason Reason { get; private init; }

    /// <summary>The hold it ends; null for <see cref="TransferKind.Post"/> and <see cref="TransferKind.Hold"/>.</summary>
    public TransferId? HoldId { get; private init; }

    /// <summary>How long a hold lasts unless it is ended before, whole milliseconds; null for all but <see cref="TransferKind.Hold"/>.</summary>
    public TimeSpan? Timeout { get; private init; }

    /// <summary>What it is for, usually a job's id; empty when nothing.</summary>
    public string Reference { get; private init; } = "";

    /// <summary>Moves <paramref name="amount"/> from one account to another.</summary>
    /// <exception cref="ArgumentException">An id is missing, or the reference is longer than <see cref="ReferenceLengthMax"/>.</exception>
    public static Transfer Post(
        TransferId id, LedgerAccountId debit, LedgerAccountId credit, Microcredits amount, TransferReason reason, string reference = "") => new()
        {
            Id = Given(id),
            Kind = TransferKind.Post,
            DebitAccount = Given(debit),
            CreditAccount = Given(credit),
            Amount = amount,
            Reason = reason,
            Reference = Short(reference),
        };

    /// <summary>Reserves <paramref name="amount"/> for at most <paramref name="timeout"/>.</summary>
    /// <param name="id">Also the id of the hold.</param>
    /// <param name="debit">Who will pay.</param>
    /// <param name="credit">Who will receive.</param>
    /// <param name="amount">The most that can be posted.</param>
    /// <param name="timeout">Until it expires by itself; cut to whole milliseconds.</param>
    /// <param name="reason">Why.</param>
    /// <param name="reference">What it is for.</param>
    /// <inheritdoc cref="Post" path="/exception"/>
    public static Transfer Hold(
        TransferId id, LedgerAccountId debit, LedgerAccountId credit, Microcredits amount, TimeSpan timeout, TransferReason reason, string reference = "") => new()
        {
            Id = Given(id),
            Kind = TransferKind.Hold,
            DebitAccount = Given(debit),
            CreditAccount = Given(credit),
            Amount = amount,
            Timeout = TimeSpan.FromMilliseconds((long)timeout.TotalMilliseconds),
            Reason = reason,
            Reference = Short(reference),
        };

    /// <summary>Moves <paramref name="amount"/> of what <paramref name="hold"/> reserved and frees the rest.</summary>
    /// <inheritdoc cref="Post" path="/exception"/>
    public static Transfer PostHold(TransferId id, TransferId hold, Microcredits amount, TransferReason reason, string reference = "") => new()
    {
        Id = Given(id),
        Kind = TransferKind.PostHold,
        HoldId = Given(hold),
        Amount = amount,
        Reason = reason,
        Reference = Short(reference),
    };

    /// <summary>Frees all that <paramref name="hold"/> reserved.</summary>
    /// <inheritdoc cref="Post" path="/exception"/>
    public static Transfer VoidHold(TransferId id, TransferId hold, TransferReason reason, string reference = "") => new()
    {
        Id = Given(id),
        Kind = TransferKind.VoidHold,
        HoldId = Given(hold),
        Reason = reason,
        Reference = Short(reference),
    };

    /// <summary>Frees what <paramref name="hold"/> reserved, once its time has passed.</summary>
    internal static Transfer ExpireHold(TransferId hold, TransferReason reason, string reference) => new()
    {
        Id = TransferId.OfExpiry(hold),
        Kind = TransferKind.ExpireHold,
        HoldId = hold,
        Reason = reason,
        Reference = reference,
    };

    /// <summary>A transfer as it was recorded; trusted, since it passed once.</summary>
    internal static Transfer FromStorage(
        TransferId id, TransferKind kind, LedgerAccountId debit, LedgerAccountId credit, Microcredits amount, TransferReason reason,
        TransferId? hold, TimeSpan? timeout, string reference)
    {
        var endsHold = kind is TransferKind.PostHold or TransferKind.VoidHold or TransferKind.ExpireHold;
        return new Transfer
        {
            Id = id,
            Kind = kind,
            DebitAccount = endsHold ? null : debit,
            CreditAccount = endsHold ? null : credit,
            Amount = amount,
            Reason = reason,
            HoldId = hold,
            Timeout = timeout,
            Reference = reference,
        };
    }

    private static TransferId Given(TransferId id) => id != default ? id : throw new ArgumentException("The id is missing.", nameof(id));

    private static LedgerAccountId Given(LedgerAccountId account) =>
        account != default ? account : throw new ArgumentException("The account is missing.", nameof(account));

    private static string Short(string reference)
    {
        ArgumentNullException.ThrowIfNull(reference);
        return reference.Length <= ReferenceLengthMax
            ? reference
            : throw new ArgumentException($"A reference has at most {ReferenceLengthMax} characters, not {reference.Length}.", nameof(reference));
    }
}

/// <summary>A transfer the ledger has accepted, with what it made of it. Immutable, and never removed.</summary>
/// <param name="Transfer">What was asked.</param>
/// <param name="DebitAccount">Who paid, of the hold where the transfer ended one.</param>
/// <param name="CreditAccount">Who received.</param>
/// <param name="Released">What it took from pending, moved or not; zero unless it ended a hold.</param>
/// <param name="DebitAvailableAfter">What the payer could spend afterwards.</param>
/// <param name="CreditAvailableAfter">What the receiver could spend afterwards.</param>
/// <param name="Timestamp">When, to the millisecond, UTC.</param>
public sealed record RecordedTransfer(
    Transfer Transfer,
    LedgerAccountId DebitAccount,
    LedgerAccountId CreditAccount,
    Microcredits Released,
    Microcredits DebitAvailableAfter,
    Microcredits CreditAvailableAfter,
    DateTimeOffset Timestamp);
