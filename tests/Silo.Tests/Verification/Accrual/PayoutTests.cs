using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Verification.Accrual;
using FsCheck;
using FsCheck.Fluent;

namespace Federation.Silo.Tests.Verification.Accrual;

/// <summary>P10: whoever is client and node at once gains nothing by it.</summary>
public sealed class PayoutTests
{
    private static readonly AccrualOptions Options = new();
    private static readonly Config Thorough = Config.QuickThrowOnFailure.WithMaxTest(Counts.Of(100_000, 5_000));
    private static readonly Arbitrary<(int Price, int Earned, bool OneAccount)[]> Jobs = Gen.ArrayOf(
        Gen.Choose(0, 50_000_000).SelectMany(price => Gen.Choose(0, 100_000_000).SelectMany(earned => Gen.Elements(true, false).Select(one => (price, earned, one))))).ToArbitrary();

    [Fact]
    public void Of_priced_work_an_owner_of_client_and_node_loses_at_least_the_fee_under_one_account_or_several() => Check.One(Thorough, Prop.ForAll(Jobs, jobs =>
    {
        long net = 0, fees = 0;
        foreach (var (price, earned, oneAccount) in jobs.Where(job => job.Price > 0))
        {
            var client = new PayingClient(oneAccount, IsFree: false, new Microcredits(price));
            net += Payout.Of(new Microcredits(earned), client, Options).Value - price;
            fees += Payout.Fee(client.Price, Options).Value;
        }
        Assert.True(net <= -fees, $"nets {net} after fees of {fees}");
        Assert.InRange(fees, jobs.Sum(job => (long)job.Price) / 20, long.MaxValue);
    }));

    [Fact]
    public void The_free_tier_and_ones_own_work_mint_nothing() => Check.One(Thorough, Prop.ForAll(Jobs, jobs =>
    {
        foreach (var (price, earned, isOwner) in jobs)
            Assert.True(Payout.Of(new Microcredits(earned), new PayingClient(isOwner, !isOwner, new Microcredits(price)), Options).IsZero);
    }));

    [Fact]
    public void Nobody_is_paid_more_than_was_earned_or_less_than_nothing() => Check.One(Thorough, Prop.ForAll(Jobs, jobs =>
    {
        foreach (var (price, earned, _) in jobs)
            Assert.InRange(Payout.Of(new Microcredits(earned), new PayingClient(false, false, new Microcredits(price)), Options).Value, 0, earned);
    }));

    [Theory]
    [InlineData(0, 0)]
    [InlineData(1, 1)]
    [InlineData(20, 1)]
    [InlineData(21, 2)]
    [InlineData(100, 5)]
    [InlineData(1_000_000, 50_000)]
    public void The_fee_is_five_percent_rounded_up(long price, long fee) => Assert.Equal(fee, Payout.Fee(new Microcredits(price), Options).Value);
}
