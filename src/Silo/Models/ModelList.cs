using System.Collections.Immutable;
using Federation.Contracts.Accounts;
using Federation.Contracts.Hubs;
using Federation.Silo.Accounts;
using Federation.Silo.Gateway.Routing;
using Federation.Silo.Hubs;
using Federation.Silo.Providers;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Models;

/// <summary>The models that somebody may ask now. A model that nodes have is theirs: clouds help out at most.</summary>
/// <param name="Directory">All of the hub's.</param>
/// <param name="OfNodes">Those that nodes have.</param>
/// <param name="OfClouds">Those that clouds alone have.</param>
internal sealed record ListedModels(HubDirectory Directory, ImmutableArray<KnownModel> OfNodes, ImmutableArray<ListedCloudModel> OfClouds);

/// <summary>What a caller is told of models: those its key and its account's tier allow, on the ways that the hub's operator does. The others need not be known to exist.</summary>
internal sealed class ModelList(HubDirectoryView directory, CloudRoutes clouds, SourceOrders sources, IOptions<TierOptions> tiers, IGrainFactory grains)
{
    /// <summary>All that the caller may ask.</summary>
    public async Task<ListedModels> ListAsync(ApiCaller caller, CancellationToken cancellationToken)
    {
        var terms = await TermsAsync(caller);
        var all = await directory.GetAsync(cancellationToken);
        var onNodes = all.Models.Where(model => sources.For(model.Name).HasNodes).ToDictionary(model => model.Name, StringComparer.Ordinal);
        return new ListedModels(
            all,
            [.. onNodes.Values.Where(model => MayUse(caller, terms, model.Name))],
            [.. clouds.Listed.Where(model => !onNodes.ContainsKey(model.Name) && sources.For(model.Name).Cloud >= 0 && MayUse(caller, terms, model.Name))]);
    }

    /// <summary>A model of nodes, by any of its names; null where there is none that the caller may ask.</summary>
    public async Task<KnownModel?> FindOnNodesAsync(ApiCaller caller, string name, CancellationToken cancellationToken)
        => await directory.FindModelAsync(name, cancellationToken, insist: clouds.Find(name, null).IsEmpty) is { } model && sources.For(model.Name).HasNodes && MayUse(caller, await TermsAsync(caller), model.Name) ? model : null;

    /// <summary>A model of clouds, also one that only a pattern fits; null where there is none that the caller may ask.</summary>
    public async Task<ListedCloudModel?> FindInCloudsAsync(ApiCaller caller, string name)
    {
        var routes = clouds.Find(name, null);
        if (routes.IsEmpty || sources.For(name).Cloud < 0 || !MayUse(caller, await TermsAsync(caller), name)) return null;
        return clouds.Listed.FirstOrDefault(listed => listed.Name == name) ?? new ListedCloudModel(name, routes, []);
    }

    private async Task<TierTerms> TermsAsync(ApiCaller caller) => TierTerms.Of(tiers.Value, (await grains.GetGrain<IAccountGrain>(caller.AccountId).GetTerms()).Tier);

    private static bool MayUse(ApiCaller caller, TierTerms terms, string model) => caller.MayUse(model) && terms.MayUse(model);
}
