using System.Numerics;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Pricing;
using FsCheck;
using FsCheck.Fluent;

namespace Federation.Silo.Tests.Pricing;

public sealed class PriceTests
{
    // FsCheck prints the seed of a failure; give it to WithReplay to see the same prices again.
    private static readonly Config Thorough = Config.QuickThrowOnFailure.WithMaxTest(2_000);

    private static readonly Gen<(Price Price, long Prompt, long Completion, int Millionths)> Orders =
        from input in Amounts(Price.PerThousandMax)
        from output in Amounts(Price.PerThousandMax)
        from prompt in Amounts(Price.TokensMax)
        from completion in Amounts(Price.TokensMax)
        from millionths in Amounts(Price.Whole)
        select (new Price(input, output), prompt, completion, (int)millionths);

    [Fact]
    public void Nobody_pays_a_microcredit_or_more_above_the_exact_price_nor_anything_below() => Check.One(Thorough, Prop.ForAll(Arb.From(Orders), order =>
    {
        // The exact price in parts of a microcredit, counted by another arithmetic.
        var exact = ((new BigInteger(order.Price.InputPerThousand) * order.Prompt) + (new BigInteger(order.Price.OutputPerThousand) * order.Completion)) * order.Millionths;
        var paid = new BigInteger(order.Price.Of(order.Prompt, order.Completion, order.Millionths).Value) * 1_000_000_000;
        Assert.True(paid >= exact && paid - exact < 1_000_000_000, $"{paid} for {exact}");
    }));

    [Fact]
    public void More_tokens_never_cost_less() => Check.One(Thorough, Prop.ForAll(Arb.From(Orders), Arb.From(Amounts(1_000_000)), (order, more) =>
    {
        var cost = order.Price.Of(order.Prompt, order.Completion, order.Millionths);
        Assert.True(order.Price.Of(Math.Min(Price.TokensMax, order.Prompt + more), order.Completion, order.Millionths) >= cost);
        Assert.True(order.Price.Of(order.Prompt, Math.Min(Price.TokensMax, order.Completion + more), order.Millionths) >= cost);
    }));

    [Fact]
    public void What_a_budget_lasts_for_is_within_it_and_one_token_more_is_not() => Check.One(Thorough, Prop.ForAll(Arb.From(Orders), Arb.From(Amounts(long.MaxValue)), (order, budget) =>
    {
        var most = new Microcredits(budget);
        if (order.Price.CompletionTokensWithin(most, order.Prompt, order.Millionths) is not { } tokens)
        {
            Assert.True(order.Price.Of(order.Prompt, 0, order.Millionths) > most);
            return;
        }
        Assert.InRange(tokens, 0, Price.TokensMax);
        Assert.True(order.Price.Of(order.Prompt, tokens, order.Millionths) <= most);
        if (tokens < Price.TokensMax) Assert.True(order.Price.Of(order.Prompt, tokens + 1, order.Millionths) > most);
    }));

    [Fact]
    public void Answers_in_two_parts_cost_at_most_a_microcredit_more_than_in_one() => Check.One(Thorough, Prop.ForAll(Arb.From(Orders), order =>
    {
        var half = order.Completion / 2;
        var parts = (Int128)order.Price.Of(order.Prompt, half, order.Millionths).Value + order.Price.Of(0, order.Completion - half, order.Millionths).Value;
        Assert.InRange(parts - order.Price.Of(order.Prompt, order.Completion, order.Millionths).Value, 0, 1);
    }));

    [Fact]
    public void The_table_of_the_design_costs_what_it_says()
    {
        Assert.Equal(Microcredits.FromCredits(10), Price.FromCredits(10, 10).Of(500, 500));
        Assert.Equal(new Microcredits(10_000), Price.FromCredits(10, 10).Of(0, 1));
        Assert.Equal(new Microcredits(5_000), Price.FromCredits(10, 10).Of(0, 1, 500_000));
        Assert.Equal(new Microcredits(1), new Price(1, 0).Of(1, 0));
        Assert.True(Price.Free.Of(Price.TokensMax, Price.TokensMax).IsZero);
    }

    [Theory]
    [InlineData("-0.000001")]
    [InlineData("0.0000001")]
    [InlineData("1000000.000001")]
    [InlineData("79228162514264337593543950335")]
    public void Credits_that_are_no_price_are_refused(string credits)
    {
        var amount = decimal.Parse(credits, System.Globalization.CultureInfo.InvariantCulture);
        Assert.Null(Price.MicrocreditsOf(amount));
        Assert.Throws<ArgumentOutOfRangeException>(() => Price.FromCredits(amount, 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => Price.FromCredits(0, amount));
        var options = new PricingOptions { Rules = [new PriceRule { Input = amount }] };
        Assert.True(new PricingOptionsValidator().Validate(null, options).Failed);
    }

    [Theory]
    [InlineData(-1, 0, 1)]
    [InlineData(0, -1, 1)]
    [InlineData(0, 0, -1)]
    [InlineData(Price.TokensMax + 1, 0, 1)]
    [InlineData(0, long.MaxValue, 1)]
    [InlineData(0, 0, Price.Whole + 1)]
    public void Counts_that_are_none_are_refused_instead_of_priced(long prompt, long completion, int millionths)
        => Assert.Throws<ArgumentOutOfRangeException>(() => new Price(1, 1).Of(prompt, completion, millionths));

    /// <summary>Small ones, large ones and those at the edge.</summary>
    private static Gen<long> Amounts(long max) => Gen.OneOf(
        Gen.Constant(0L), Gen.Constant(max), Gen.Choose(0, 2_000).Select(value => Math.Min(value, max)), ArbMap.Default.GeneratorFor<long>().Select(value => (value & long.MaxValue) % max));
}
