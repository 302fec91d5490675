namespace Federation.Silo.Accounts.Ledger;

/// <summary>
/// What became of a transfer. The members stand in order of precedence: of several things that are wrong the first one listed
/// is told, so that the answer to a given transfer in a given state is always the same one.
/// </summary>
public enum TransferStatus
{
    /// <summary>It is recorded, just now.</summary>
    Created,

    /// <summary>It could have been recorded, but another transfer of its chain could not; nothing of the chain was.</summary>
    ChainFailed,

    /// <summary>The amount is zero or less.</summary>
    AmountNotPositive,

    /// <summary>A hold would last no time, or longer than <see cref="LedgerState.HoldTimeoutMax"/>.</summary>
    TimeoutOutOfRange,

    /// <summary>It would move credits from an account to itself.</summary>
    SameAccount,

    /// <summary>The id is taken by a transfer of another kind.</summary>
    ExistsWithDifferentKind,

    /// <summary>The id is taken by a transfer from another account.</summary>
    ExistsWithDifferentDebitAccount,

    /// <summary>The id is taken by a transfer to another account.</summary>
    ExistsWithDifferentCreditAccount,

    /// <summary>The id is taken by the end of another hold.</summary>
    ExistsWithDifferentHold,

    /// <summary>The id is taken by a transfer of another amount.</summary>
    ExistsWithDifferentAmount,

    /// <summary>The id is taken by a hold with another timeout.</summary>
    ExistsWithDifferentTimeout,

    /// <summary>The id is taken by a transfer for another reason.</summary>
    ExistsWithDifferentReason,

    /// <summary>The id is taken by a transfer for something else.</summary>
    ExistsWithDifferentReference,

    /// <summary>The same transfer was recorded before. As good as <see cref="Created"/>.</summary>
    Exists,

    /// <summary>No such account to pay.</summary>
    DebitAccountNotFound,

    /// <summary>No such account to receive.</summary>
    CreditAccountNotFound,

    /// <summary>No such hold.</summary>
    HoldNotFound,

    /// <summary>The hold has been posted.</summary>
    HoldAlreadyPosted,

    /// <summary>The hold has been voided.</summary>
    HoldAlreadyVoided,

    /// <summary>The hold's time has passed.</summary>
    HoldExpired,

    /// <summary>The hold's time has not passed yet, so it cannot expire.</summary>
    HoldNotDue,

    /// <summary>More would be posted than was held.</summary>
    ExceedsHold,

    /// <summary>The payer has less than that to spend.</summary>
    InsufficientCredits,

    /// <summary>A counter would pass the largest <see cref="long"/>.</summary>
    Overflow,
}

/// <summary>What a <see cref="TransferStatus"/> means for who asked.</summary>
public static class TransferStatusMeaning
{
    /// <summary>Whether the transfer is on record: created now, or before.</summary>
    public static bool IsRecorded(this TransferStatus status) => status is TransferStatus.Created or TransferStatus.Exists;

    /// <summary>Whether the same transfer, submitted again later, may be recorded then.</summary>
    public static bool IsTransient(this TransferStatus status) => status switch
    {
        TransferStatus.ChainFailed => true,
        TransferStatus.DebitAccountNotFound => true,
        TransferStatus.CreditAccountNotFound => true,
        TransferStatus.HoldNotFound => true,
        TransferStatus.HoldNotDue => true,
        TransferStatus.InsufficientCredits => true,

        TransferStatus.Created => false,
        TransferStatus.AmountNotPositive => false,
        TransferStatus.TimeoutOutOfRange => false,
        TransferStatus.SameAccount => false,
        TransferStatus.ExistsWithDifferentKind => false,
        TransferStatus.ExistsWithDifferentDebitAccount => false,
        TransferStatus.ExistsWithDifferentCreditAccount => false,
        TransferStatus.ExistsWithDifferentHold => false,
        TransferStatus.ExistsWithDifferentAmount => false,
        TransferStatus.ExistsWithDifferentTimeout => false,
        TransferStatus.ExistsWithDifferentReason => false,
        TransferStatus.ExistsWithDifferentReference => false,
        TransferStatus.Exists => false,
        TransferStatus.HoldAlreadyPosted => false,
        TransferStatus.HoldAlreadyVoided => false,
        TransferStatus.HoldExpired => false,
        TransferStatus.ExceedsHold => false,
        TransferStatus.Overflow => false,
        _ => throw new InvalidOperationException($"Unknown transfer status {status}."),
    };
}

/// <summary>The ledger's answer to one transfer.</summary>
/// <param name="Status">What became of it.</param>
/// <param name="Timestamp">When it was recorded, now or before; null when it is not on record.</param>
public readonly record struct TransferResult(TransferStatus Status, DateTimeOffset? Timestamp)
{
    /// <summary>Whether the transfer is on record: created now, or before.</summary>
    public bool IsRecorded => Status.IsRecorded();
}
