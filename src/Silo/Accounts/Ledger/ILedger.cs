using System.Collections.Immutable;
using Federation.Silo.Storage;

namespace Federation.Silo.Accounts.Ledger;

/// <summary>
/// The hub's books. Safe to use from any number of threads and silos. A task that has completed means: it is on disk.
/// </summary>
/// <remarks>
/// Expected outcomes are results. A <see cref="StorageException"/> means the database failed; with
/// <see cref="StorageException.IsTransient"/> submit the same, with the same ids, again: that is safe however often.
/// </remarks>
public interface ILedger
{
    /// <summary>Opens the account, unless it is open.</summary>
    Task OpenAsync(LedgerAccountId account, CancellationToken cancellationToken = default);

    /// <summary>Records one transfer.</summary>
    /// <exception cref="StorageException">It was not recorded, or nobody knows: see the remarks of <see cref="ILedger"/>.</exception>
    Task<TransferResult> SubmitAsync(Transfer transfer, CancellationToken cancellationToken = default);

    /// <summary>Records a unit: all of it or nothing.</summary>
    /// <inheritdoc cref="SubmitAsync(Transfer, CancellationToken)" path="/exception"/>
    /// <exception cref="ArgumentException">The unit has more than <see cref="LedgerUnit.PartsMax"/> parts of a kind.</exception>
    Task<LedgerUnitResult> SubmitAsync(LedgerUnit unit, CancellationToken cancellationToken = default);

    /// <summary>The account as of the latest commit; null when it is not open.</summary>
    Task<LedgerAccount?> GetAccountAsync(LedgerAccountId account, CancellationToken cancellationToken = default);

    /// <summary>The accounts that are open, among these, all as of the same moment.</summary>
    /// <param name="accounts">At most 1000.</param>
    /// <param name="cancellationToken">Stops the wait.</param>
    Task<ImmutableArray<LedgerAccount>> GetAccountsAsync(IReadOnlyCollection<LedgerAccountId> accounts, CancellationToken cancellationToken = default);

    /// <summary>A recorded transfer; null when there is none by that id.</summary>
    Task<RecordedTransfer?> GetTransferAsync(TransferId id, CancellationToken cancellationToken = default);

    /// <summary>A hold, ended or not; null when there is none by that id.</summary>
    Task<LedgerHold?> GetHoldAsync(TransferId id, CancellationToken cancellationToken = default);

    /// <summary>What happened to an account, one page at a time.</summary>
    Task<StatementPage> GetStatementAsync(StatementQuery query, CancellationToken cancellationToken = default);

    /// <summary>Ends holds whose time has passed, the longest overdue first.</summary>
    /// <param name="holdsMax">At most this many, 1 to 10 000.</param>
    /// <param name="cancellationToken">Stops the wait.</param>
    /// <returns>How many holds this call ended.</returns>
    Task<int> ExpireHoldsAsync(int holdsMax, CancellationToken cancellationToken = default);

    /// <summary>
    /// Audits the books: replays every recorded transfer by the ledger's own rules and compares with what is stored. Reads
    /// the whole ledger, at one moment; for operators and tests.
    /// </summary>
    Task<LedgerAudit> AuditAsync(CancellationToken cancellationToken = default);
}

/// <summary>Which entries of which account a caller wants to see.</summary>
public sealed record StatementQuery
{
    /// <summary>The largest <see cref="Limit"/>.</summary>
    public const int LimitMax = 1000;

    /// <summary>Whose entries.</summary>
    public required LedgerAccountId Account { get; init; }

    /// <summary>Entries on one page at most, 1 to <see cref="LimitMax"/>; 100 by default.</summary>
    public int Limit { get; init; } = 100;

    /// <summary>Where the page begins: the <see cref="StatementPage.Next"/> of the page before; null for the first page.</summary>
    public long? Cursor { get; init; }

    /// <summary>The oldest entries first; by default the newest.</summary>
    public bool OldestFirst { get; init; }

    /// <summary>Leaves out entries before this moment; null for no bound.</summary>
    public DateTimeOffset? From { get; init; }

    /// <summary>Leaves out entries at or after this moment; null for no bound.</summary>
    public DateTimeOffset? Until { get; init; }
}

/// <summary>One page of a statement.</summary>
/// <param name="Entries">The entries, in the order asked for.</param>
/// <param name="Next">The cursor of the next page; null when this is the last one.</param>
public sealed record StatementPage(ImmutableArray<StatementEntry> Entries, long? Next);

/// <summary>What one transfer did to one account.</summary>
/// <param name="Sequence">Its place among the account's entries: later ones are larger, with gaps.</param>
/// <param name="Recorded">The transfer.</param>
/// <param name="IsDebit">Whether the account is the one that pays.</param>
public sealed record StatementEntry(long Sequence, RecordedTransfer Recorded, bool IsDebit)
{
    /// <summary>The other side.</summary>
    public LedgerAccountId Counterparty => IsDebit ? Recorded.CreditAccount : Recorded.DebitAccount;

    /// <summary>The change of the balance: negative for what was paid, zero for a hold or its end without a movement.</summary>
    public Microcredits Posted =>
        Recorded.Transfer.Kind is TransferKind.Hold ? Microcredits.Zero
        : IsDebit ? -Recorded.Transfer.Amount
        : Recorded.Transfer.Amount;

    /// <summary>The change of what is reserved: positive for a hold, negative for its end. On the receiver's side, of what it may expect.</summary>
    public Microcredits Held => Recorded.Transfer.Kind is TransferKind.Hold ? Recorded.Transfer.Amount : -Recorded.Released;

    /// <summary>What the account could spend afterwards.</summary>
    public Microcredits AvailableAfter => IsDebit ? Recorded.DebitAvailableAfter : Recorded.CreditAvailableAfter;
}

/// <summary>What an audit of the books found.</summary>
/// <param name="Accounts">Accounts read.</param>
/// <param name="Transfers">Transfers replayed.</param>
/// <param name="PendingHolds">Holds that are not ended.</param>
/// <param name="Findings">What does not add up, in words, at most 100; empty when everything does.</param>
public sealed record LedgerAudit(long Accounts, long Transfers, long PendingHolds, ImmutableArray<string> Findings);
