using System.Collections.Immutable;
using Federation.Silo.Storage;

namespace Federation.Silo.Accounts.Ledger;

/// <summary>
/// What is written together or not at all: accounts to open, a chain of transfers, and rows that belong to them, such as the
/// usage record of the job that a settlement pays.
/// </summary>
public sealed record LedgerUnit
{
    /// <summary>The most accounts, transfers, or rows in one unit, each.</summary>
    public const int PartsMax = 512;

    /// <summary>
    /// Accounts that are opened first, unless they exist. Opening is harmless: an account stays open, empty, even if the
    /// transfers are refused.
    /// </summary>
    public ImmutableArray<LedgerAccountId> Open { get; init; } = [];

    /// <summary>The transfers, in order: all are recorded or none. One that was recorded before counts as recorded.</summary>
    public ImmutableArray<Transfer> Transfers { get; init; } = [];

    /// <summary>
    /// Rows written if the transfers are recorded. Submitting a unit again writes them again, so each must be harmless to
    /// repeat: <c>INSERT … ON CONFLICT DO NOTHING</c>, or an update to fixed values.
    /// </summary>
    public ImmutableArray<SqlStatement> Rows { get; init; } = [];

    /// <summary>A unit of one transfer or of a chain of them.</summary>
    public static LedgerUnit Of(params ImmutableArray<Transfer> chain) => new() { Transfers = chain };

    internal LedgerUnit Validated()
    {
        if (Open.Length > PartsMax || Transfers.Length > PartsMax || Rows.Length > PartsMax)
            throw new ArgumentException($"A unit has at most {PartsMax} accounts, transfers, and rows each.");
        return this;
    }
}

/// <summary>The ledger's answer to a <see cref="LedgerUnit"/>.</summary>
/// <param name="Transfers">One result for each transfer, in their order.</param>
public sealed record LedgerUnitResult(ImmutableArray<TransferResult> Transfers)
{
    /// <summary>Whether the unit is on disk: every transfer of it is on record, and so are its rows.</summary>
    public bool IsRecorded => Transfers.All(static transfer => transfer.IsRecorded);

    /// <summary>What stopped the unit; <see cref="TransferStatus.Created"/> when nothing did.</summary>
    public TransferStatus Status => Transfers
        .Select(static transfer => transfer.Status)
        .FirstOrDefault(static status => !status.IsRecorded() && status is not TransferStatus.ChainFailed, TransferStatus.Created);
}
