using Federation.Contracts.Accounts;
using Federation.Protocol.OpenAi;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Accounts;

/// <summary>
/// What each tier gets. All of it is configuration, a value a tier: <c>Tiers:RequestsPerMinute:Free = 5</c>. A tier that is not named keeps its default; 0 means no limit.
/// </summary>
internal sealed class TierOptions
{
    public const string SectionName = "Tiers";

    /// <summary>The largest limit that can be set. Sums of what runs stay far from overflow.</summary>
    public const long LimitMax = 1_000_000_000_000;

    /// <summary>The most requests a minute that can be limited to: each of the last minute is remembered, eight bytes a request.</summary>
    public const long RequestsPerMinuteMax = 100_000;

    private const int PatternsMax = 1_000;
    private const int PatternLengthMax = 256;

    /// <summary>Share of a busy model's slots beside other accounts.</summary>
    public Dictionary<Tier, double> Weights { get; set; } = Each(1.0, 2, 4, 8, 8);

    /// <summary>What earned credits are multiplied by.</summary>
    public Dictionary<Tier, int> EarningMultipliers { get; set; } = Each(1, 1, 1, 2, 1);

    /// <summary>Prompt and completion tokens of an account in one day, UTC; 0: no limit. Default 200 000 for free, else none. [uncalibrated]</summary>
    public Dictionary<Tier, long> TokensPerDay { get; set; } = Each(200_000L, 0, 0, 0, 0);

    /// <summary>Of those, tokens from cloud providers, by the price list; 0: no limit but the account's credits. Default 10 000 for free, 250 000 for pro, else none.</summary>
    public Dictionary<Tier, long> CloudTokensPerDay { get; set; } = Each(10_000L, 0, 250_000, 0, 0);

    /// <summary>
    /// Prompt tokens of an account's batches that have not ended, as estimated when their lines are read, for each model; a batch with which there would be more fails. 0: no limit. Default 2, 100, 200 and 1 000
    /// million, none. [uncalibrated]
    /// </summary>
    public Dictionary<Tier, long> EnqueuedTokens { get; set; } = Each(2_000_000L, 100_000_000, 200_000_000, 1_000_000_000, 0);

    /// <summary>Requests of an account in any 60 seconds; 0: no limit. Default 20, 600, 1 200, 3 000, none. [uncalibrated]</summary>
    public Dictionary<Tier, long> RequestsPerMinute { get; set; } = Each(20L, 600, 1_200, 3_000, 0);

    /// <summary>Requests of an account that run or wait at once, streamed or not; 0: no limit. Default 2, 32, 64, 128, none. [uncalibrated]</summary>
    public Dictionary<Tier, long> ConcurrentStreams { get; set; } = Each(2L, 32, 64, 128, 0);

    /// <summary>Models a tier may use, as patterns with * and ?; empty: all. Default all. ":latest" at the end of a model's name need not be matched.</summary>
    public Dictionary<Tier, List<string>> Models { get; set; } = Each(_ => new List<string>());

    /// <summary>What a tier may ask for: chat, completion, embedding; empty: everything. Default everything.</summary>
    public Dictionary<Tier, List<string>> Capabilities { get; set; } = Each(_ => new List<string>());

    /// <summary>Everything that is wrong, each in a sentence that begins with the setting's name.</summary>
    public IEnumerable<string> Problems()
    {
        foreach (var tier in Enum.GetValues<Tier>())
        {
            if (!Weights.TryGetValue(tier, out var weight) || weight is not (> 0 and <= 1_000)) yield return $"Tiers:Weights:{tier} must be above 0 and at most 1000.";
            if (!EarningMultipliers.TryGetValue(tier, out var multiplier) || multiplier is < 1 or > 100) yield return $"Tiers:EarningMultipliers:{tier} must be 1 to 100.";
            if (WhyBad(nameof(TokensPerDay), TokensPerDay, tier, LimitMax) is { } tokens) yield return tokens;
            if (WhyBad(nameof(CloudTokensPerDay), CloudTokensPerDay, tier, LimitMax) is { } cloud) yield return cloud;
            if (WhyBad(nameof(EnqueuedTokens), EnqueuedTokens, tier, LimitMax) is { } enqueued) yield return enqueued;
            if (WhyBad(nameof(RequestsPerMinute), RequestsPerMinute, tier, RequestsPerMinuteMax) is { } requests) yield return requests;
            if (WhyBad(nameof(ConcurrentStreams), ConcurrentStreams, tier, RequestsPerMinuteMax) is { } streams) yield return streams;
            var patterns = Models.GetValueOrDefault(tier) ?? [];
            if (patterns.Count > PatternsMax || patterns.Any(pattern => string.IsNullOrWhiteSpace(pattern) || pattern.Length > PatternLengthMax))
                yield return $"Tiers:Models:{tier} must be at most {PatternsMax} patterns of 1 to {PatternLengthMax} characters each.";
            foreach (var word in (Capabilities.GetValueOrDefault(tier) ?? []).Where(word => !JobKinds.ForClients.Any(kind => kind.Word() == word)))
                yield return $"Tiers:Capabilities:{tier}: '{word}' is not a capability; there are: {string.Join(", ", JobKinds.ForClients.Select(kind => kind.Word()))}.";
        }
    }

    private static string? WhyBad(string name, Dictionary<Tier, long> limits, Tier tier, long max)
        => limits.TryGetValue(tier, out var limit) && limit >= 0 && limit <= max ? null : $"Tiers:{name}:{tier} must be 0 to {max}; 0 means no limit.";

    private static Dictionary<Tier, T> Each<T>(T free, T contributor, T pro, T unlimited, T enterprise) => new()
    {
        [Tier.Free] = free,
        [Tier.Contributor] = contributor,
        [Tier.Pro] = pro,
        [Tier.Unlimited] = unlimited,
        [Tier.Enterprise] = enterprise,
    };

    private static Dictionary<Tier, T> Each<T>(Func<Tier, T> value) => Enum.GetValues<Tier>().ToDictionary(tier => tier, value);
}

/// <summary>Checks that every tier has what it needs, in bounds.</summary>
internal sealed class TierOptionsValidator : IValidateOptions<TierOptions>
{
    public ValidateOptionsResult Validate(string? name, TierOptions options)
        => options.Problems().ToList() is { Count: > 0 } problems ? ValidateOptionsResult.Fail(problems) : ValidateOptionsResult.Success;
}
