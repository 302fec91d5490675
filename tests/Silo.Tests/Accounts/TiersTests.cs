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
    public void The_cloud_tokens_of_the_price_list_are_the_defaults()
        => Assert.Equal([10_000, 0, 250_000, 0, 0], Enum.GetValues<Tier>().Select(tier => new TierOptions().CloudTokensPerDay[tier]));

    [Theory]
    [InlineData(-1)]
    [InlineData(long.MinValue)]
    [InlineData(TierOptions.LimitMax + 1)]
    [InlineData(long.MaxValue)]
    public void A_limit_that_cannot_be_counted_is_named(long limit)
    {
        var tiers = new TierOptions();
        foreach (var limits in new[] { tiers.TokensPerDay, tiers.CloudTokensPerDay, tiers.RequestsPerMinute, tiers.ConcurrentStreams }) limits[Tier.Pro] = limit;
        Assert.Equal(
            ["Tiers:CloudTokensPerDay:Pro must be 0 to 1000000000000; 0 means no limit.", "Tiers:ConcurrentStreams:Pro must be 0 to 100000; 0 means no limit.",
             "Tiers:RequestsPerMinute:Pro must be 0 to 100000; 0 means no limit.", "Tiers:TokensPerDay:Pro must be 0 to 1000000000000; 0 means no limit."],
            Validator.Validate(null, tiers).Failures!.Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Models_and_capabilities_that_mean_nothing_are_named()
    {
        var tiers = new TierOptions();
        tiers.Models[Tier.Free] = ["llama*", " "];
        tiers.Capabilities[Tier.Pro] = ["chat", "audio"];
        Assert.Equal(
            ["Tiers:Models:Free must be at most 1000 patterns of 1 to 256 characters each.", "Tiers:Capabilities:Pro: 'audio' is not a capability; there are: chat, completion, embedding."],
            Validator.Validate(null, tiers).Failures!);
    }

    [Theory]
    [InlineData("llama3.2", "llama3.2", true)]
    [InlineData("llama3.2", "llama3.2:latest", true)]
    [InlineData("llama3.2", "llama3.2:1b", false)]
    [InlineData("llama*", "llama3.2:1b", true)]
    [InlineData("*", "weiß-nicht:ß", true)]
    [InlineData("LLAMA*", "llama", false)]
    [InlineData("?", "ab", false)]
    [InlineData("******************************b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false)]
    public void A_pattern_matches_a_models_name_with_or_without_its_latest(string pattern, string model, bool matches)
        => Assert.Equal(matches, ModelPatterns.Match([pattern], model));

    [Fact]
    public void A_tier_that_was_left_out_is_named_with_all_that_is_wrong()
    {
        var result = Validator.Validate(null, new TierOptions { Weights = [], EarningMultipliers = [], TokensPerDay = [], CloudTokensPerDay = [], RequestsPerMinute = [], ConcurrentStreams = [] });
        Assert.Equal(6 * Enum.GetValues<Tier>().Length, result.Failures!.Count());
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
