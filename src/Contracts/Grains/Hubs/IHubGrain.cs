using System.Collections.Immutable;
using Federation.Contracts.Nodes;

namespace Federation.Contracts.Hubs;

/// <summary>
/// The hub's one directory of who is connected and which models there are. Soft state, rebuilt from the nodes' reports.
/// The key is 0.
/// </summary>
[Alias("Federation.Hub")]
public interface IHubGrain : IGrainWithIntegerKey
{
    /// <summary>A node is connected and looks like this.</summary>
    [Alias("ReportNode")]
    Task ReportNode(NodeView node);

    /// <summary>A node is no longer connected.</summary>
    [Alias("RemoveNode")]
    Task RemoveNode(string nodeId);

    /// <summary>All connected nodes and known models. <see langword="null"/> when nothing changed since <paramref name="knownVersion"/>.</summary>
    [Alias("GetDirectory")]
    Task<HubDirectory?> GetDirectory(long knownVersion);
}

/// <summary>A snapshot of the directory; versions only grow within one life of the grain.</summary>
[GenerateSerializer, Immutable, Alias("Federation.HubDirectory")]
public sealed record HubDirectory(
    [property: Id(0)] long Version,
    [property: Id(1)] ImmutableArray<NodeView> Nodes,
    [property: Id(2)] ImmutableArray<KnownModel> Models);

/// <summary>A model some node serves, or served not long ago.</summary>

[GenerateSerializer, Immutable, Alias("Federation.KnownModel")]
public sealed record KnownModel(
    [property: Id(0)] string Name,
    [property: Id(1)] int Nodes,
    [property: Id(2)] int Slots,
    [property: Id(3)] ImmutableArray<string> Digests,
    [property: Id(4)] ImmutableArray<string> Capabilities,
    [property: Id(5)] int ContextLength,
    [property: Id(6)] DateTimeOffset FirstSeen);
