using System.Collections.Immutable;
using System.Globalization;
using Federation.Contracts.Nodes;

namespace Federation.Silo.Verification.CommonSlots;

/// <summary>A node on standby as another one's neighbour: what the two may have in common.</summary>
/// <param name="NodeId">The node.</param>
/// <param name="AccountId">Whose it is.</param>
/// <param name="Network">Where it connects from, see <see cref="RemoteNetwork"/>; empty where unknown.</param>
internal sealed record Neighbour(string NodeId, string AccountId, string Network)
{
    public static Neighbour Of(NodeView view) => new(view.NodeId, view.AccountId, view.Network);

    /// <summary>Whether the two may well be one machine.</summary>
    public bool IsBeside(Neighbour other) => AccountId == other.AccountId || (Network.Length > 0 && Network == other.Network);
}

/// <summary>
/// Which of several nodes, that may all be one machine, are paid standby. Two of them are two machines as long as the last slot in which both were challenged was passed by both; of those that are
/// not shown to be different one is paid. Pure.
/// </summary>
/// <remarks>
/// Whoever passed last comes first, so that a machine that fails, or never sits, keeps nobody else from being paid; and of identities that pass in turns it is the one whose turn it was. Identities
/// of one machine never pass the same slot: its time for one is more than what is left of the deadline for another.
/// </remarks>
internal sealed class SharedMachines
{
    private readonly Dictionary<string, ImmutableSortedDictionary<DateTimeOffset, SlotResult>> _results;

    public SharedMachines(IEnumerable<SlotResult> results) => _results = results
        .GroupBy(result => result.NodeId, StringComparer.Ordinal)
        .ToDictionary(group => group.Key, group => group.ToImmutableSortedDictionary(result => result.SlotAt, result => result), StringComparer.Ordinal);

    /// <summary>Why a node is paid no standby, in words; null when it is.</summary>
    /// <param name="node">The node.</param>
    /// <param name="others">All that are <see cref="Neighbour.IsBeside"/> it, and on standby themselves.</param>
    public string? WhyUnpaid(Neighbour node, IEnumerable<Neighbour> others)
    {
        var paid = new List<Neighbour>();
        foreach (var next in others.Append(node).OrderByDescending(LastPass).ThenBy(neighbour => neighbour.NodeId, StringComparer.Ordinal))
        {
            var same = paid.FirstOrDefault(other => other.IsBeside(next) && !AreTwo(other, next));
            if (next == node) return same is null ? null : Words(node, same);
            if (same is null) paid.Add(next);
        }
        throw new ArgumentException("A node is not among its own.", nameof(node));
    }

    private bool AreTwo(Neighbour a, Neighbour b) => LastCommon(a, b) is { } last && last.Of.Passed && last.And.Passed;

    private (SlotResult Of, SlotResult And)? LastCommon(Neighbour a, Neighbour b)
    {
        if (!_results.TryGetValue(a.NodeId, out var ofA) || !_results.TryGetValue(b.NodeId, out var ofB)) return null;
        foreach (var (slot, result) in ofA.Reverse())
        {
            if (ofB.TryGetValue(slot, out var beside)) return (result, beside);
        }
        return null;
    }

    private DateTimeOffset LastPass(Neighbour node)
        => _results.TryGetValue(node.NodeId, out var results) ? results.Values.Where(result => result.Passed).Select(result => result.SlotAt).LastOrDefault() : default;

    /// <summary>Another account's node is not named to the owner.</summary>
    private string Words(Neighbour node, Neighbour same)
    {
        var who = node.AccountId == same.AccountId ? $"node {same.NodeId} of the same account is paid" : "another node of the same network is paid";
        var why = LastCommon(node, same) switch
        {
            null => "the two have not been challenged in the same moment yet",
            var (own, beside) => Format($"when both were challenged at {own.SlotAt:u}, {(own.Passed ? string.Empty : $"this one {own.Finding}")}{(own.Passed || beside.Passed ? string.Empty : ", and ")}{(beside.Passed ? string.Empty : $"the other {beside.Finding}")}"),
        };
        return $"{who}, and nothing shows that this one is another machine: {why}";
    }

    private static string Format(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
