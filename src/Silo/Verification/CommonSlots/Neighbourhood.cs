using System.Collections.Immutable;
using Federation.Contracts.Nodes;
using Federation.Silo.Hubs;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification.CommonSlots;

/// <summary>Who else is on standby in a node's account and network, and whether they are other machines.</summary>
internal sealed class Neighbourhood(HubDirectoryView directory, SlotResultStore results, IOptions<CommonSlotOptions> options, TimeProvider time)
{
    /// <summary>Those that take work beside a node, by id, at most <see cref="CommonSlotOptions.MaxNeighbours"/>.</summary>
    public async Task<ImmutableArray<Neighbour>> OfAsync(Neighbour node, CancellationToken cancellationToken)
        => options.Value.Enabled
            ? [.. (await directory.GetAsync(cancellationToken)).Nodes.Where(StandsBy).Select(Neighbour.Of).Where(other => other.NodeId != node.NodeId && other.IsBeside(node)).Take(options.Value.MaxNeighbours)]
            : [];

    /// <summary>Why a node is paid no standby, in words; null when it is.</summary>
    public async Task<string?> WhyUnpaidAsync(Neighbour node, CancellationToken cancellationToken)
    {
        var others = await OfAsync(node, cancellationToken);
        if (others.IsEmpty) return null;
        var since = time.GetUtcNow() - options.Value.EvidenceAge;
        return new SharedMachines(await results.ListAsync(others.Select(other => other.NodeId).Append(node.NodeId), since, cancellationToken)).WhyUnpaid(node, others);
    }

    /// <summary>Whoever takes no work, or holds no model in memory, earns no standby, and stands in nobody's way.</summary>
    private static bool StandsBy(NodeView view) => view is { Connected: true, Report: { AcceptsWork: true } report, Standing: not (Standing.Quarantined or Standing.Banned) }
        && report.Engines.Any(engine => engine.Models.Any(model => model.Loaded));
}
