using Federation.Contracts.Models;
using Federation.Silo.Pricing;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Gateway.Routing;

/// <summary>Where answers come from, and in which order.</summary>
internal sealed class RoutingOptions
{
    public const string SectionName = "Routing";

    /// <summary>The nodes of a hub, all alike.</summary>
    public const string Nodes = "nodes";

    /// <summary>The operator's nodes.</summary>
    public const string Own = "own";

    /// <summary>Everybody else's nodes.</summary>
    public const string Contributors = "contributors";

    /// <summary>Cloud providers.</summary>
    public const string Cloud = "cloud";

    /// <summary>
    /// Sources of answers, the first that has a free slot first: <c>own</c>, <c>contributors</c>, or <c>nodes</c> for both alike, and <c>cloud</c>. What is not named does not answer. Default <c>nodes,cloud</c>: the operator's
    /// nodes judge what the others answer, and only idle ones do.
    /// </summary>
    public string Sources { get; set; } = $"{Nodes},{Cloud}";

    /// <summary>The same for some models, by name or pattern; of several that fit, the longest counts.</summary>
    public Dictionary<string, string> Models { get; set; } = [];
}

/// <summary>Checks that every order is one of known words.</summary>
internal sealed class RoutingOptionsValidator : IValidateOptions<RoutingOptions>
{
    public ValidateOptionsResult Validate(string? name, RoutingOptions options)
    {
        var problems = new List<string>();
        if (!SourceOrder.TryRead(options.Sources, out _)) problems.Add($"Routing:Sources ({options.Sources}) must be a list of {SourceOrder.Words}, each once.");
        foreach (var (model, sources) in options.Models)
        {
            if (model.Length == 0 || !SourceOrder.TryRead(sources, out _)) problems.Add($"Routing:Models:{model} ({sources}) must be a list of {SourceOrder.Words}, each once.");
        }
        return problems.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(problems);
    }
}

/// <summary>The order of sources of one model.</summary>
/// <param name="Nodes">Of the hub's nodes.</param>
/// <param name="Cloud">Place of the clouds; below 0: none.</param>
internal sealed record SourceOrder(NodeSources Nodes, int Cloud)
{
    /// <summary>What an order is made of.</summary>
    public const string Words = "'own', 'contributors', 'nodes' and 'cloud'";

    /// <summary>Whether any node may serve the model.</summary>
    public bool HasNodes => Nodes.Own >= 0 || Nodes.Contributors >= 0;

    /// <summary>Clouds answer what they have, and nodes only the rest.</summary>
    public bool IsCloudFirst => Cloud == 0 && HasNodes;

    /// <summary>Reads "own, contributors, cloud".</summary>
    public static bool TryRead(string text, out SourceOrder order)
    {
        var words = text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        int PlaceOf(string word) => Math.Max(Array.IndexOf(words, word), word is RoutingOptions.Cloud ? -1 : Array.IndexOf(words, RoutingOptions.Nodes));
        order = new SourceOrder(new NodeSources(PlaceOf(RoutingOptions.Own), PlaceOf(RoutingOptions.Contributors)), PlaceOf(RoutingOptions.Cloud));
        return words.Length > 0 && words.All(word => word is RoutingOptions.Own or RoutingOptions.Contributors or RoutingOptions.Nodes or RoutingOptions.Cloud) && words.Distinct(StringComparer.Ordinal).Count() == words.Length
            && !(words.Contains(RoutingOptions.Nodes, StringComparer.Ordinal) && (words.Contains(RoutingOptions.Own, StringComparer.Ordinal) || words.Contains(RoutingOptions.Contributors, StringComparer.Ordinal)));
    }
}

/// <summary>Which sources serve which model. Settings, so it does not change while the hub runs.</summary>
internal sealed class SourceOrders
{
    private readonly SourceOrder _usual;
    private readonly (NamePattern Pattern, SourceOrder Order)[] _models;

    public SourceOrders(IOptions<RoutingOptions> options)
    {
        _usual = Read(options.Value.Sources);
        _models = [.. options.Value.Models.OrderByDescending(entry => entry.Key.Length).Select(entry => (new NamePattern(entry.Key), Read(entry.Value)))];
    }

    /// <summary>A model's order.</summary>
    public SourceOrder For(string model)
    {
        foreach (var (pattern, order) in _models)
        {
            if (pattern.Matches(model)) return order;
        }
        return _usual;
    }

    private static SourceOrder Read(string text) => SourceOrder.TryRead(text, out var order) ? order : throw new InvalidOperationException($"'{text}' is no order of sources.");
}
