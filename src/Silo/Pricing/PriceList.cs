using Microsoft.Extensions.Options;

namespace Federation.Silo.Pricing;

/// <summary>What each model costs, wherever it is asked.</summary>
internal sealed class PriceList(IOptions<PricingOptions> options)
{
    private readonly Rule[] _rules = [.. options.Value.Rules.Select(rule => new Rule(new NamePattern(rule.Source), new NamePattern(rule.Model), Price.FromCredits(rule.Input, rule.Output)))];

    /// <summary>The price of a model on the federation's nodes: nothing, unless a rule says otherwise.</summary>
    public Price OnNodes(string model) => _rules.Length == 0 ? Price.Free : Find(PriceRule.Nodes, model) ?? Price.Free;

    /// <summary>The price of a model of a cloud provider.</summary>
    /// <param name="provider">Its name.</param>
    /// <param name="model">As clients write it.</param>
    /// <param name="listed">What the provider's own list says.</param>
    public Price At(string provider, string model, Price listed) => Find(provider, model) ?? listed;

    private Price? Find(string source, string model)
    {
        foreach (var rule in _rules)
        {
            if (rule.Source.Matches(source) && rule.Model.Matches(model)) return rule.Price;
        }
        return null;
    }

    private sealed record Rule(NamePattern Source, NamePattern Model, Price Price);
}
