using Federation.Silo.Accounts.Ledger;

namespace Federation.Silo.Tests.Ledger;

/// <summary>
/// The precedence of statuses, as tables: the first row has everything wrong that can be wrong at once, each row after it
/// repairs one thing more and meets the next status, until the last one succeeds.
/// </summary>
public sealed class TransferStatusTests
{
    private static readonly DateTimeOffset Noon = new(2026, 11, 20, 12, 0, 0, TimeSpan.Zero);
    private static readonly LedgerAccountId Rich = LedgerAccountId.Available("rich");
    private static readonly LedgerAccountId Poor = LedgerAccountId.Available("poor");
    private static readonly LedgerAccountId Full = LedgerAccountId.Available("full");
    private static readonly LedgerAccountId Nobody = LedgerAccountId.Available("nobody");

    // Rich has 1000; 10 of them are in each of the holds. Full has received almost as much as a counter can count.
    private static readonly LedgerState Ledger = Seed();

    private static readonly (Transfer Transfer, TransferStatus Expected)[][] Tables =
    [
        [
            (Hold("taken-post", Nobody, Nobody, 0, 0), TransferStatus.AmountNotPositive),
            (Hold("taken-post", Nobody, Nobody, 2_000, 0), TransferStatus.TimeoutOutOfRange),
            (Hold("taken-post", Nobody, Nobody, 2_000, TimeSpan.FromDays(31).TotalSeconds), TransferStatus.TimeoutOutOfRange),
            (Hold("taken-post", Nobody, Nobody, 2_000, 9), TransferStatus.SameAccount),
            (Hold("taken-post", Nobody, Poor, 2_000, 9), TransferStatus.ExistsWithDifferentKind),
            (Hold("taken-hold", Nobody, Poor, 2_000, 9), TransferStatus.ExistsWithDifferentDebitAccount),
            (Hold("taken-hold", Rich, Nobody, 2_000, 9), TransferStatus.ExistsWithDifferentCreditAccount),
            (Hold("taken-hold", Rich, Poor, 2_000, 9), TransferStatus.ExistsWithDifferentAmount),
            (Hold("taken-hold", Rich, Poor, 10, 9), TransferStatus.ExistsWithDifferentTimeout),
            (Hold("taken-hold", Rich, Poor, 10, 60, TransferReason.Refund), TransferStatus.ExistsWithDifferentReason),
            (Hold("taken-hold", Rich, Poor, 10, 60, reference: "other"), TransferStatus.ExistsWithDifferentReference),
            (Hold("taken-hold", Rich, Poor, 10, 60), TransferStatus.Exists),
        ],
        [
            (Post("new", Nobody, Poor, 2_000), TransferStatus.DebitAccountNotFound),
            (Post("new", Rich, Nobody, 2_000), TransferStatus.CreditAccountNotFound),
            (Post("new", Rich, Full, 2_000), TransferStatus.InsufficientCredits),
            (Post("new", Rich, Full, 20), TransferStatus.Overflow),
            (Post("new", LedgerAccountId.Treasury, Poor, long.MaxValue), TransferStatus.Overflow),
            (Hold("new", Rich, Full, 20, 60), TransferStatus.Overflow),
            (Post("new", Rich, Poor, 20), TransferStatus.Created),
        ],
        [
            (PostHold("taken-post", "nothing", 0), TransferStatus.AmountNotPositive),
            (PostHold("taken-post", "nothing", 11), TransferStatus.ExistsWithDifferentKind),
            (PostHold("posting", "nothing", 11), TransferStatus.ExistsWithDifferentHold),
            (PostHold("posting", "posted", 11), TransferStatus.ExistsWithDifferentAmount),
            (PostHold("posting", "posted", 10), TransferStatus.Exists),
            (PostHold("new", "nothing", 11), TransferStatus.HoldNotFound),
            (PostHold("new", "taken-post", 11), TransferStatus.HoldNotFound),
            (PostHold("new", "posted", 11), TransferStatus.HoldAlreadyPosted),
            (PostHold("new", "voided", 11), TransferStatus.HoldAlreadyVoided),
            (PostHold("new", "expired", 11), TransferStatus.HoldExpired),
            (PostHold("new", "overdue", 11), TransferStatus.HoldExpired),
            (PostHold("new", "taken-hold", 11), TransferStatus.ExceedsHold),
            (PostHold("new", "taken-hold", 10), TransferStatus.Created),
        ],
        [
            (VoidHold("taken-post", "nothing"), TransferStatus.ExistsWithDifferentKind),
            (VoidHold("voiding", "nothing"), TransferStatus.ExistsWithDifferentHold),
            (VoidHold("voiding", "voided"), TransferStatus.Exists),
            (VoidHold("new", "nothing"), TransferStatus.HoldNotFound),
            (VoidHold("new", "posted"), TransferStatus.HoldAlreadyPosted),
            (VoidHold("new", "voided"), TransferStatus.HoldAlreadyVoided),
            (VoidHold("new", "overdue"), TransferStatus.HoldExpired),
            (VoidHold("new", "taken-hold"), TransferStatus.Created),
        ],
        [
            (Expire("nothing"), TransferStatus.HoldNotFound),
            (Expire("posted"), TransferStatus.HoldAlreadyPosted),
            (Expire("voided"), TransferStatus.HoldAlreadyVoided),
            (Expire("expired"), TransferStatus.Exists),
            (Expire("taken-hold"), TransferStatus.HoldNotDue),
            (Expire("overdue"), TransferStatus.Created),
        ],
    ];

    [Fact]
    public void Each_repair_meets_the_next_status()
    {
        foreach (var (transfer, expected) in Tables.SelectMany(table => table))
        {
            var (after, result) = Ledger.Apply(transfer, Noon);
            Assert.True(expected == result.Status, $"Expected {expected}, got {result.Status}, for {transfer}.");
            Assert.True(result.Status is TransferStatus.Created || ReferenceEquals(Ledger, after), $"{result.Status} changed the ledger.");
        }
    }

    [Fact]
    public void Rows_of_a_table_stand_in_the_order_of_the_statuses()
    {
        foreach (var table in Tables)
        {
            // Created is first in the enumeration and last in a table.
            var order = table.Select(row => row.Expected).Where(status => status is not TransferStatus.Created).ToArray();
            Assert.Equal(order.Where(status => status < TransferStatus.Exists).Order(), order.Where(status => status < TransferStatus.Exists));
            Assert.Equal(order.Where(status => status > TransferStatus.Exists).Order(), order.Where(status => status > TransferStatus.Exists));
        }
    }

    [Fact]
    public void Every_status_is_met_by_a_row()
    {
        // ChainFailed is about a transfer's neighbours: see LedgerStateTests.
        var met = Tables.SelectMany(table => table).Select(row => row.Expected).Append(TransferStatus.ChainFailed).ToHashSet();

        Assert.Equal(Enum.GetValues<TransferStatus>().ToHashSet(), met);
    }

    [Fact]
    public void Every_status_says_whether_a_retry_may_help()
    {
        foreach (var status in Enum.GetValues<TransferStatus>())
            Assert.False(status.IsTransient() && status.IsRecorded(), $"{status} asks to retry what is on record.");
    }

    private static LedgerState Seed()
    {
        var ledger = LedgerState.Empty.Open(LedgerAccountId.Treasury).Open(LedgerAccountId.Fees).Open(Rich).Open(Poor).Open(Full);
        (ledger, var results) = ledger.Apply(
            [
                Transfer.Post(TransferId.Of("grant"), LedgerAccountId.Treasury, Rich, new(1_000), TransferReason.Grant),
                Post("taken-post", Rich, Poor, 1),
                Hold("taken-hold", Rich, Poor, 10, 60),
                Hold("posted", Rich, Poor, 10, 60),
                PostHold("posting", "posted", 10),
                Hold("voided", Rich, Poor, 10, 60),
                VoidHold("voiding", "voided"),
            ],
            Noon);
        Assert.All(results, result => Assert.Equal(TransferStatus.Created, result.Status));
        (ledger, results) = ledger.Apply([Hold("expired", Rich, Poor, 10, 1), Hold("overdue", Rich, Poor, 10, 1)], Noon.AddMinutes(-1));
        Assert.All(results, result => Assert.Equal(TransferStatus.Created, result.Status));
        (ledger, var expired) = ledger.Apply(Expire("expired"), Noon);
        Assert.Equal(TransferStatus.Created, expired.Status);

        // What Full had it has paid on, so that it does not matter to the sum; what it ever received is what counts here.
        var full = LedgerAccount.Open(Full) with { CreditsPosted = new(long.MaxValue - 10), DebitsPosted = new(long.MaxValue - 10) };
        return ledger with { Accounts = ledger.Accounts.SetItem(Full, full) };
    }

    private static Transfer Post(string id, LedgerAccountId from, LedgerAccountId to, long amount) =>
        Transfer.Post(TransferId.Of(id), from, to, new(amount), TransferReason.Usage, "job");

    private static Transfer Hold(
        string id, LedgerAccountId from, LedgerAccountId to, long amount, double seconds, TransferReason reason = TransferReason.Usage, string reference = "job") =>
        Transfer.Hold(TransferId.Of(id), from, to, new(amount), TimeSpan.FromSeconds(seconds), reason, reference);

    private static Transfer PostHold(string id, string hold, long amount) =>
        Transfer.PostHold(TransferId.Of(id), TransferId.Of(hold), new(amount), TransferReason.Usage, "job");

    private static Transfer VoidHold(string id, string hold) =>
        Transfer.VoidHold(TransferId.Of(id), TransferId.Of(hold), TransferReason.Usage, "job");

    private static Transfer Expire(string hold) => Transfer.ExpireHold(TransferId.Of(hold), TransferReason.Usage, "job");
}
