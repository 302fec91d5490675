using Federation.Silo.Accounts.Ledger;
using FsCheck;
using FsCheck.Fluent;

namespace Federation.Silo.Tests.Ledger;

public sealed class LedgerPropertyTests
{
    private static readonly DateTimeOffset Noon = new(2026, 11, 20, 12, 0, 0, TimeSpan.Zero);

    // FsCheck prints the seed of a failure; give it to WithReplay to see the same lives again.
    private static readonly Config Thorough = Config.QuickThrowOnFailure.WithMaxTest(1_000);

    [Fact]
    public void Ledger_answers_and_counts_as_the_naive_one_does() => Check.One(Thorough, Prop.ForAll(LedgerWorkload.Lives, life =>
    {
        NaiveLedger naive = new(LedgerWorkload.Open);
        Live(life, (step, now, ledger, statuses) =>
        {
            Assert.Equal(naive.Submit(step.Chain, now), statuses);
            foreach (var account in ledger.Accounts.Values)
            {
                Assert.Equal(naive.Balance(account.Id), account.Balance.Value);
                Assert.Equal(naive.Held(account.Id), account.DebitsPending.Value);
            }
        });
    }));

    [Fact]
    public void What_is_paid_is_received_and_nobody_but_the_treasury_owes() => Check.One(Thorough, Prop.ForAll(LedgerWorkload.Lives, life =>
        Live(life, (_, _, ledger, _) =>
        {
            var accounts = ledger.Accounts.Values;
            Assert.Equal(0, accounts.Sum(account => account.Balance.Value));
            Assert.Equal(accounts.Sum(account => account.DebitsPending.Value), accounts.Sum(account => account.CreditsPending.Value));
            Assert.All(accounts, account => Assert.True(account.Id.MayOverdraw || account.Available >= Microcredits.Zero));
        })));

    [Fact]
    public void What_is_reserved_is_the_sum_of_the_holds_that_have_not_ended() => Check.One(Thorough, Prop.ForAll(LedgerWorkload.Lives, life =>
        Live(life, (_, _, ledger, _) =>
        {
            var pending = ledger.Holds.Values.Where(hold => hold.State is HoldState.Pending).ToArray();
            foreach (var account in ledger.Accounts.Values)
            {
                Assert.Equal(pending.Where(hold => hold.DebitAccount == account.Id).Sum(hold => hold.Amount.Value), account.DebitsPending.Value);
                Assert.Equal(pending.Where(hold => hold.CreditAccount == account.Id).Sum(hold => hold.Amount.Value), account.CreditsPending.Value);
            }
        })));

    [Fact]
    public void Submitting_everything_once_more_changes_nothing() => Check.One(Thorough, Prop.ForAll(LedgerWorkload.Lives, life =>
    {
        var (ledger, now) = Live(life, static (_, _, _, _) => { });
        foreach (var recorded in ledger.Transfers.Values)
        {
            var (after, result) = ledger.Apply(recorded.Transfer, now);
            Assert.Same(ledger, after);
            Assert.Equal(new TransferResult(TransferStatus.Exists, recorded.Timestamp), result);
        }
    }));

    [Fact]
    public void Refused_chain_leaves_no_trace() => Check.One(Thorough, Prop.ForAll(LedgerWorkload.Lives, life =>
    {
        var before = Opened();
        Live(life, (_, _, ledger, statuses) =>
        {
            if (!statuses.All(status => status.IsRecorded()))
                Assert.Same(before, ledger);
            before = ledger;
        }, before);
    }));

    [Fact]
    public void Replaying_the_records_arrives_at_the_same_books() => Check.One(Thorough, Prop.ForAll(LedgerWorkload.Lives, life =>
    {
        List<RecordedTransfer> records = [];
        var (ledger, _) = Live(life, (step, _, after, statuses) => records.AddRange(
            step.Chain.Zip(statuses).Where(pair => pair.Second is TransferStatus.Created).Select(pair => after.Transfers[pair.First.Id])));

        LedgerReplay replay = new([.. ledger.Accounts.Values]);
        records.ForEach(replay.Add);
        var audit = replay.CompareWith([.. ledger.Holds.Values.Where(hold => hold.State is HoldState.Pending)]);

        Assert.Empty(audit.Findings);
        Assert.Equal(records.Count, audit.Transfers);
    }));

    [Fact]
    public void Made_up_lives_reach_the_statuses_they_are_meant_to_reach()
    {
        // A workload that never runs dry or never collides proves nothing.
        HashSet<TransferStatus> met = [];
        foreach (var life in Gen.Sample(LedgerWorkload.Lives.Generator, 100, new Rnd(20261120), 300))
            Live(life, (_, _, _, statuses) => met.UnionWith(statuses));

        var unmet = Enum.GetValues<TransferStatus>().Except(met);
        Assert.Equal([TransferStatus.Overflow], unmet);
    }

    private static LedgerState Opened() => LedgerWorkload.Open.Aggregate(LedgerState.Empty, (ledger, account) => ledger.Open(account));

    private static (LedgerState Ledger, DateTimeOffset Now) Live(
        LedgerStep[] life, Action<LedgerStep, DateTimeOffset, LedgerState, TransferStatus[]> after, LedgerState? begin = null)
    {
        var ledger = begin ?? Opened();
        var now = Noon;
        foreach (var step in life)
        {
            now += step.Pause;
            (ledger, var results) = ledger.Apply([.. step.Chain], now);
            after(step, now, ledger, [.. results.Select(result => result.Status)]);
        }

        return (ledger, now);
    }
}
