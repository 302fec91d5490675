using System.Collections.Immutable;
using Federation.Contracts.Accounts;
using Federation.Protocol.OpenAi;
using Federation.Silo.Accounts.Limits;

namespace Federation.Silo.Accounts;

/// <summary>What one tier gets, fit for asking on every request.</summary>
/// <param name="Tier">Which.</param>
/// <param name="Weight">Share of a busy model's slots.</param>
/// <param name="EarningMultiplier">Of what its nodes earn.</param>
/// <param name="Limits">What its accounts may.</param>
/// <param name="Models">Patterns of models; empty for all.</param>
/// <param name="Capabilities">Kinds of jobs; empty for all.</param>
internal sealed record TierTerms(Tier Tier, double Weight, int EarningMultiplier, AccountCaps Limits, ImmutableArray<string> Models, ImmutableArray<JobKind> Capabilities)
{
    public static TierTerms Of(TierOptions options, Tier tier) => new(
        tier,
        options.Weights[tier],
        options.EarningMultipliers[tier],
        new AccountCaps(options.RequestsPerMinute[tier], options.ConcurrentStreams[tier], options.TokensPerDay[tier], options.CloudTokensPerDay[tier]),
        [.. options.Models.GetValueOrDefault(tier) ?? []],
        [.. JobKinds.ForClients.Where(kind => options.Capabilities.GetValueOrDefault(tier)?.Contains(kind.Word()) == true)]);

    /// <summary>Whether its accounts may ask the model.</summary>
    public bool MayUse(string model) => Models.IsEmpty || ModelPatterns.Match(Models, model);

    /// <summary>Which of the two stands against a job; <see langword="null"/> when neither does.</summary>
    public RefusalReason? WhyNot(string model, JobKind kind)
    {
        if (!MayUse(model)) return RefusalReason.Model;
        return Capabilities.Length > 0 && !Capabilities.Contains(kind) ? RefusalReason.Capability : null;
    }
}
