using System.Collections.Immutable;
using Federation.Silo.Accounts.Ledger;

namespace Federation.Silo.Tests.Ledger;

public sealed class LedgerStateTests
{
    private static readonly DateTimeOffset Noon = new(2026, 11, 20, 12, 0, 0, TimeSpan.Zero);
    private static readonly LedgerAccountId Ann = LedgerAccountId.Available("ann");
    private static readonly LedgerAccountId Bob = LedgerAccountId.Available("bob");

    private LedgerState _ledger = LedgerState.Empty.Open(LedgerAccountId.Treasury).Open(Ann).Open(Bob);

    [Fact]
    public void Post_moves_credits_from_one_account_to_another()
    {
        Do(Grant("g", Ann, 100));
        Do(Post("p", Ann, Bob, 30));

        Assert.Equal(70, _ledger.Accounts[Ann].Available.Value);
        Assert.Equal(30, _ledger.Accounts[Bob].Available.Value);
        Assert.Equal(-100, _ledger.Accounts[LedgerAccountId.Treasury].Balance.Value);
    }

    [Fact]
    public void Only_the_treasury_goes_below_zero()
    {
        Do(Grant("g", Ann, 100));

        Do(Post("p", Ann, Bob, 101), TransferStatus.InsufficientCredits);
        Do(Post("q", Ann, Bob, 100));

        Assert.Equal(0, _ledger.Accounts[Ann].Available.Value);
        Assert.Equal(-100, _ledger.Accounts[LedgerAccountId.Treasury].Available.Value);
    }

    [Fact]
    public void Hold_reserves_credits_so_that_they_cannot_be_spent_twice()
    {
        Do(Grant("g", Ann, 100));
        Do(Hold("h", Ann, Bob, 80));

        Assert.Equal(20, _ledger.Accounts[Ann].Available.Value);
        Assert.Equal(100, _ledger.Accounts[Ann].Balance.Value);
        Assert.Equal(0, _ledger.Accounts[Bob].Available.Value);
        Do(Post("p", Ann, Bob, 21), TransferStatus.InsufficientCredits);
        Do(Hold("h2", Ann, Bob, 21), TransferStatus.InsufficientCredits);
    }

    [Fact]
    public void Posting_a_part_of_a_hold_frees_the_rest()
    {
        Do(Grant("g", Ann, 100));
        Do(Hold("h", Ann, Bob, 80));
        Do(PostHold("p", "h", 30));

        Assert.Equal(70, _ledger.Accounts[Ann].Available.Value);
        Assert.Equal(30, _ledger.Accounts[Bob].Available.Value);
        Assert.Equal(80, _ledger.Transfers[TransferId.Of("p")].Released.Value);
        Assert.Equal(HoldState.Posted, _ledger.Holds[TransferId.Of("h")].State);
        AssertNothingPending();
    }

    [Fact]
    public void Voiding_a_hold_frees_all_of_it()
    {
        Do(Grant("g", Ann, 100));
        Do(Hold("h", Ann, Bob, 80));
        Do(VoidHold("v", "h"));

        Assert.Equal(100, _ledger.Accounts[Ann].Available.Value);
        Assert.Equal(0, _ledger.Accounts[Bob].Balance.Value);
        AssertNothingPending();
    }

    [Fact]
    public void Hold_expires_at_its_moment_and_not_before()
    {
        Do(Grant("g", Ann, 100));
        Do(Hold("h", Ann, Bob, 80, TimeSpan.FromSeconds(10)));
        var expiry = Transfer.ExpireHold(TransferId.Of("h"), TransferReason.Usage, "");

        Do(expiry, TransferStatus.HoldNotDue, at: Noon.AddSeconds(10).AddMilliseconds(-1));
        Do(PostHold("late", "h", 1), TransferStatus.HoldExpired, at: Noon.AddSeconds(10));
        Do(expiry, TransferStatus.Created, at: Noon.AddSeconds(10));

        Assert.Equal(100, _ledger.Accounts[Ann].Available.Value);
        Assert.Equal(HoldState.Expired, _ledger.Holds[TransferId.Of("h")].State);
        AssertNothingPending();
    }

    [Fact]
    public void Hold_ends_once()
    {
        Do(Grant("g", Ann, 100));
        Do(Hold("h", Ann, Bob, 10));
        Do(Hold("i", Ann, Bob, 10));
        Do(PostHold("p", "h", 10));
        Do(VoidHold("v", "i"));

        Do(PostHold("p2", "h", 10), TransferStatus.HoldAlreadyPosted);
        Do(VoidHold("v2", "h"), TransferStatus.HoldAlreadyPosted);
        Do(PostHold("p3", "i", 10), TransferStatus.HoldAlreadyVoided);
    }

    [Fact]
    public void Same_transfer_again_changes_nothing_and_says_when_it_was_recorded()
    {
        Do(Grant("g", Ann, 100));
        var before = _ledger;

        var (after, result) = _ledger.Apply(Grant("g", Ann, 100), Noon.AddDays(1));

        Assert.Same(before, after);
        Assert.Equal(new TransferResult(TransferStatus.Exists, Noon), result);
    }

    [Fact]
    public void Chain_with_a_transfer_that_fails_leaves_no_trace()
    {
        Do(Grant("g", Ann, 100));
        var before = _ledger;

        var (after, results) = _ledger.Apply([Post("a", Ann, Bob, 60), Post("b", Ann, Bob, 60), Post("c", Bob, Ann, 1)], Noon);

        Assert.Same(before, after);
        Assert.Equal(
            [TransferStatus.ChainFailed, TransferStatus.InsufficientCredits, TransferStatus.ChainFailed], results.Select(result => result.Status));
    }

    [Fact]
    public void Chain_sees_its_own_earlier_transfers()
    {
        var (after, results) = _ledger.Apply([Grant("g", Ann, 100), Hold("h", Ann, Bob, 100), PostHold("p", "h", 40), Post("q", Bob, Ann, 40)], Noon);

        Assert.All(results, result => Assert.Equal(TransferStatus.Created, result.Status));
        Assert.Equal(100, after.Accounts[Ann].Available.Value);
    }

    [Fact]
    public void Chain_that_was_recorded_in_part_is_completed()
    {
        Do(Grant("g", Ann, 100));
        Do(Post("a", Ann, Bob, 60));

        var (_, results) = _ledger.Apply([Post("a", Ann, Bob, 60), Post("b", Ann, Bob, 40)], Noon);

        Assert.Equal([TransferStatus.Exists, TransferStatus.Created], results.Select(result => result.Status));
    }

    [Fact]
    public void Time_is_recorded_in_whole_milliseconds_so_that_a_replay_sees_what_was_seen_live()
    {
        var (_, result) = _ledger.Apply(Grant("g", Ann, 1), Noon.AddTicks(12_345));

        Assert.Equal(Noon.AddMilliseconds(1), result.Timestamp);
    }

    [Theory]
    [InlineData("")]
    [InlineData("a b")]
    [InlineData("a:b")]
    [InlineData("ä")]
    public void Account_id_with_other_characters_names_no_ledger_account(string accountId) =>
        Assert.Throws<ArgumentException>(() => LedgerAccountId.Available(accountId));

    [Theory]
    [InlineData("")]
    [InlineData("a b")]
    [InlineData("expire:h")]
    [InlineData("ä")]
    public void Transfer_id_that_callers_may_not_make_is_refused(string id) => Assert.ThrowsAny<ArgumentException>(() => TransferId.Of(id));

    [Fact]
    public void Missing_ids_are_refused_when_a_transfer_is_made() =>
        Assert.Throws<ArgumentException>(() => Transfer.Post(default, Ann, Bob, new(1), TransferReason.Grant));

    [Fact]
    public void Account_name_survives_storage()
    {
        ImmutableArray<LedgerAccountId> names = [.. LedgerAccountId.System, Ann, LedgerAccountId.Pending("node-owner_1.x")];

        Assert.All(names, name => Assert.Equal(name, LedgerAccountId.Parse(name.Value)));
        Assert.Throws<FormatException>(() => LedgerAccountId.Parse("acct:x:other"));
    }

    private void AssertNothingPending() => Assert.All(
        _ledger.Accounts.Values, account => Assert.Equal((Microcredits.Zero, Microcredits.Zero), (account.DebitsPending, account.CreditsPending)));

    private void Do(Transfer transfer, TransferStatus expected = TransferStatus.Created, DateTimeOffset? at = null)
    {
        (_ledger, var result) = _ledger.Apply(transfer, at ?? Noon);
        Assert.Equal(expected, result.Status);
    }

    private static Transfer Grant(string id, LedgerAccountId to, long amount) =>
        Transfer.Post(TransferId.Of(id), LedgerAccountId.Treasury, to, new(amount), TransferReason.Grant);

    private static Transfer Post(string id, LedgerAccountId from, LedgerAccountId to, long amount) =>
        Transfer.Post(TransferId.Of(id), from, to, new(amount), TransferReason.Usage);

    private static Transfer Hold(string id, LedgerAccountId from, LedgerAccountId to, long amount, TimeSpan? timeout = null) =>
        Transfer.Hold(TransferId.Of(id), from, to, new(amount), timeout ?? TimeSpan.FromMinutes(1), TransferReason.Usage);

    private static Transfer PostHold(string id, string hold, long amount) =>
        Transfer.PostHold(TransferId.Of(id), TransferId.Of(hold), new(amount), TransferReason.Usage);

    private static Transfer VoidHold(string id, string hold) => Transfer.VoidHold(TransferId.Of(id), TransferId.Of(hold), TransferReason.Usage);
}
