using System.Collections.Immutable;
using Federation.Protocol.OpenAi;
using Federation.Silo.Pricing;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Providers;

/// <summary>A way to an answer: this provider, by this name, at this price.</summary>
/// <param name="Provider">Who is asked.</param>
/// <param name="Model">As the client wrote it.</param>
/// <param name="Theirs">As the provider writes it.</param>
/// <param name="Price">What it costs.</param>
internal sealed record CloudRoute(Provider Provider, string Model, string Theirs, Price Price)
{
    /// <summary>As answers and quotes call it.</summary>
    public string Name => $"cloud:{Provider.Name}";
}

/// <summary>A model that clouds have, by its full name.</summary>
/// <param name="Name">As clients write it.</param>
/// <param name="Routes">Who has it, in the order in which they are asked.</param>
/// <param name="Capabilities">What it can do.</param>
internal sealed record ListedCloudModel(string Name, ImmutableArray<CloudRoute> Routes, ImmutableArray<string> Capabilities);

/// <summary>Which cloud has which model. Settings, so it does not change while the hub runs.</summary>
internal sealed partial class CloudRoutes : IDisposable
{
    // A variant that OpenRouter has of any model, and bills for more than its tokens.
    private const string SearchesTheWeb = ":online";

    private readonly ImmutableArray<Provider> _providers;
    private readonly PriceList _prices;

    public CloudRoutes(IOptions<CloudOptions> options, PriceList prices, TimeProvider time, ILogger<CloudRoutes> logger)
    {
        _prices = prices;
        _providers = [.. options.Value.Providers.Where(entry => entry.Value.Keyless || ProviderKey.Of(entry.Value) is not null).Select(entry => new Provider(entry.Key, entry.Value, options.Value, time)).OrderBy(provider => provider.Priority)];
        foreach (var silent in options.Value.Providers.Keys.Except(_providers.Select(provider => provider.Name), StringComparer.Ordinal)) LogNoKey(logger, silent);
        Listed = [.. _providers.SelectMany(provider => provider.Models).Where(model => model.Name.IsName).GroupBy(model => model.Name.Text, StringComparer.Ordinal)
            .Select(group => new ListedCloudModel(group.Key, Find(group.Key, null), [.. group.SelectMany(model => model.Capabilities).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)]))
            .OrderBy(model => model.Name, StringComparer.Ordinal)];
    }

    /// <summary>The models that clouds have by their full names; those that only a pattern fits can be asked too.</summary>
    public ImmutableArray<ListedCloudModel> Listed { get; }

    /// <summary>Who has the model and can do this with it, in the order in which they are asked: priority, then price.</summary>
    /// <param name="model">As the client wrote it.</param>
    /// <param name="kind">What is asked; <see langword="null"/> for anything.</param>
    public ImmutableArray<CloudRoute> Find(string model, JobKind? kind)
        => _providers.IsEmpty ? [] : [.. _providers.Select(provider => Find(provider, model, kind)).OfType<CloudRoute>().OrderBy(route => route.Provider.Priority).ThenBy(route => route.Price.InputPerThousand + route.Price.OutputPerThousand)];

    public void Dispose()
    {
        foreach (var provider in _providers) provider.Dispose();
    }

    private CloudRoute? Find(Provider provider, string model, JobKind? kind)
    {
        foreach (var candidate in provider.Models)
        {
            if (!candidate.Has(model) || model.EndsWith(SearchesTheWeb, StringComparison.Ordinal) || (kind is { } wanted && !candidate.Capabilities.Contains(wanted.Word()))) continue;
            return new CloudRoute(provider, model, candidate.Theirs is { } theirs ? candidate.Name.Translate(model, theirs) : model, _prices.At(provider.Name, model, candidate.Listed));
        }
        return null;
    }

    [LoggerMessage(4530, LogLevel.Warning, "The cloud provider {Provider} has no key, so it is not asked")]
    private static partial void LogNoKey(ILogger logger, string provider);
}
