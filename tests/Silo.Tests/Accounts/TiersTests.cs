using Federation.Contracts.Accounts;
using Federation.Silo.Accounts;

namespace Federation.Silo.Tests.Accounts;

public sealed class TiersTests
{
    private static readonly TierOptionsValidator Validator = new();

    [Fact]
    public void The_defaults_are_the_price_lists()
    {
        var tiers = new TierOptions();
        Assert.True(Validator.Validate(null, tiers).Succeeded);
        Assert.Equal([1, 1, 1, 2, 1], Enum.GetValues<Tier>().Select(tier => tiers.EarningMultipliers[tier]));
        Assert.Equal(tiers.Weights.OrderBy(entry => entry.Key).Select(entry => entry.Value), tiers.Weights.Values.Order());
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(1_000.5)]
    [InlineData(double.NaN)]
    [InlineData(double.PositiveInfinity)]
    public void A_weight_that_cannot_be_queued_by_is_named(double weight)
    {
        var result = Validator.Validate(null, new TierOptions { Weights = new TierOptions().Weights.With(Tier.Pro, weight) });
        Assert.Equal("Tiers:Weights:Pro must be above 0 and at most 1000.", Assert.Single(result.Failures!));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-2)]
    [InlineData(101)]
    public void A_multiplier_that_cannot_be_paid_is_named(int multiplier)
    {
        var result = Validator.Validate(null, new TierOptions { EarningMultipliers = new TierOptions().EarningMultipliers.With(Tier.Free, multiplier) });
        Assert.Equal("Tiers:EarningMultipliers:Free must be 1 to 100.", Assert.Single(result.Failures!));
    }

    [Fact]
    public void A_tier_that_was_left_out_is_named_with_all_that_is_wrong()
    {
        var result = Validator.Validate(null, new TierOptions { Weights = [], EarningMultipliers = [] });
        Assert.Equal(2 * Enum.GetValues<Tier>().Length, result.Failures!.Count());
    }

    [Fact]
    public void Every_tier_has_one_word_and_is_found_by_it()
    {
        foreach (var tier in Enum.GetValues<Tier>())
        {
            Assert.True(TierNames.TryParse(TierNames.Of(tier), out var parsed));
            Assert.Equal(tier, parsed);
        }
        foreach (var word in new[] { null, "", "Free", "gold" }) Assert.False(TierNames.TryParse(word, out _));
        Assert.Throws<FormatException>(() => TierNames.Parse("gold"));
    }
}

internal static class DictionaryExtensions
{
    /// <summary>The dictionary with one entry changed.</summary>
    public static Dictionary<Tier, T> With<T>(this Dictionary<Tier, T> entries, Tier tier, T value)
    {
        entries[tier] = value;
        return entries;
    }
}
