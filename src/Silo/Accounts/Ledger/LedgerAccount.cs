namespace Federation.Silo.Accounts.Ledger;

/// <summary>
/// One account: four counters. The posted ones only grow, the pending ones rise with a hold and fall with its end; the balance
/// is derived from them and never stored.
/// </summary>
/// <param name="Id">Its name.</param>
/// <param name="DebitsPending">Reserved by holds that this account will pay.</param>
/// <param name="DebitsPosted">Paid, ever.</param>
/// <param name="CreditsPending">Reserved by holds that this account will receive.</param>
/// <param name="CreditsPosted">Received, ever.</param>
public sealed record LedgerAccount(
    LedgerAccountId Id, Microcredits DebitsPending, Microcredits DebitsPosted, Microcredits CreditsPending, Microcredits CreditsPosted)
{
    /// <summary>What it owns, reserved or not.</summary>
    public Microcredits Balance => CreditsPosted - DebitsPosted;

    /// <summary>What it can spend now. Below zero for the treasury only.</summary>
    public Microcredits Available => CreditsPosted - DebitsPosted - DebitsPending;

    /// <summary>A new account: nothing has happened to it.</summary>
    public static LedgerAccount Open(LedgerAccountId id) => new(id, default, default, default, default);
}

/// <summary>Where a hold stands. The numbers are stored: never renumber.</summary>
public enum HoldState
{
    /// <summary>The amount is reserved.</summary>
    Pending = 1,

    /// <summary>Ended by a movement.</summary>
    Posted = 2,

    /// <summary>Ended without one.</summary>
    Voided = 3,

    /// <summary>Ended by time.</summary>
    Expired = 4,
}

/// <summary>Credits reserved for one job while it runs.</summary>
/// <param name="Id">The id of the transfer that made it.</param>
/// <param name="DebitAccount">Who will pay.</param>
/// <param name="CreditAccount">Who will receive.</param>
/// <param name="Amount">How much is reserved.</param>
/// <param name="ExpiresAt">From this moment on it can no longer be posted or voided.</param>
/// <param name="State">Where it stands.</param>
public sealed record LedgerHold(
    TransferId Id, LedgerAccountId DebitAccount, LedgerAccountId CreditAccount, Microcredits Amount, DateTimeOffset ExpiresAt, HoldState State);
