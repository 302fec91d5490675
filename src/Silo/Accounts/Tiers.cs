using Federation.Contracts.Accounts;

namespace Federation.Silo.Accounts;

/// <summary>What each tier gets. All of it is configuration; the defaults are the price list's.</summary>
internal sealed class TierOptions
{
    public const string SectionName = "Tiers";

    /// <summary>Share of a busy model's slots beside other accounts.</summary>
    public Dictionary<Tier, double> Weights { get; set; } = new()
    {
        [Tier.Free] = 1,
        [Tier.Contributor] = 2,
        [Tier.Pro] = 4,
        [Tier.Unlimited] = 8,
        [Tier.Enterprise] = 8,
    };

    /// <summary>What earned credits are multiplied by.</summary>
    public Dictionary<Tier, int> EarningMultipliers { get; set; } = new()
    {
        [Tier.Free] = 1,
        [Tier.Contributor] = 1,
        [Tier.Pro] = 1,
        [Tier.Unlimited] = 2,
        [Tier.Enterprise] = 1,
    };
}

/// <summary>Checks that every tier has a usable weight and multiplier.</summary>
internal sealed class TierOptionsValidator : Microsoft.Extensions.Options.IValidateOptions<TierOptions>
{
    public Microsoft.Extensions.Options.ValidateOptionsResult Validate(string? name, TierOptions options)
    {
        var problems = new List<string>();
        foreach (var tier in Enum.GetValues<Tier>())
        {
            if (!options.Weights.TryGetValue(tier, out var weight) || weight is not (> 0 and <= 1_000)) problems.Add($"Tiers:Weights:{tier} must be above 0 and at most 1000.");
            if (!options.EarningMultipliers.TryGetValue(tier, out var multiplier) || multiplier is < 1 or > 100) problems.Add($"Tiers:EarningMultipliers:{tier} must be 1 to 100.");
        }
        return problems.Count == 0 ? Microsoft.Extensions.Options.ValidateOptionsResult.Success : Microsoft.Extensions.Options.ValidateOptionsResult.Fail(problems);
    }
}
