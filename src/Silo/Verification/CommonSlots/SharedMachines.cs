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
/// <para>Of two, the one comes first that alone passed the last slot of both: a neighbour who fails on purpose whenever a stranger is challenged with him, and passes the slots of an account of his
/// own, takes nothing from the stranger. Else whoever passed last comes first, so that a machine that fails, or never sits, keeps nobody else from being paid.</para>
/// <para>Identities of one machine never pass the same slot: its time for one is more than what is left of the deadline for another.</para>
/// </remarks>
internal sealed class SharedMachines
{
    /// <summary>By node, the latest first.</summary>
    private readonly Dictionary<string, ImmutableArray<SlotResult>> _results;

    public SharedMachines(IEnumerable<SlotResult> results) => _results = results
        .GroupBy(result => result.NodeId, StringComparer.Ordinal)
        .ToDictionary(group => group.Key, group => group.OrderByDescending(result => result.SlotAt).ToImmutableArray(), StringComparer.Ordinal);

    /// <summary>Why a node is paid no standby, in words; null when it is.</summary>
    /// <param name="node">The node.</param>
    /// <param name="others">All that are <see cref="Neighbour.IsBeside"/> it, and on standby themselves.</param>
    public string? WhyUnpaid(Neighbour node, IEnumerable<Neighbour> others)
    {
        var left = others.Append(node).OrderByDescending(LastPass).ThenBy(neighbour => neighbour.NodeId, StringComparer.Ordinal).ToList();
        var outdone = left.ToDictionary(one => one, one => left.Count(other => Outdoes(other, one)));
        var paid = new List<Neighbour>();
        while (true)
        {
            // Three may outdo each other in a ring, in slots of different times.
            var next = left.Find(one => outdone[one] == 0) ?? left[0];
            var same = paid.Find(other => other.IsBeside(next) && !AreTwo(other, next));
            if (next == node) return same is null ? null : Words(node, same);
            if (same is null) paid.Add(next);
            left.Remove(next);
            foreach (var other in left.Where(other => Outdoes(next, other))) outdone[other]--;
        }
    }

    private bool AreTwo(Neighbour a, Neighbour b) => LastCommon(a, b) is { Of.Passed: true, And.Passed: true };

    private bool Outdoes(Neighbour a, Neighbour b) => a.IsBeside(b) && LastCommon(a, b) is { Of.Passed: true, And.Passed: false };

    private (SlotResult Of, SlotResult And)? LastCommon(Neighbour a, Neighbour b)
    {
        var (ofA, ofB) = (ResultsOf(a), ResultsOf(b));
        for (int i = 0, j = 0; i < ofA.Length && j < ofB.Length;)
        {
            if (ofA[i].SlotAt == ofB[j].SlotAt) return (ofA[i], ofB[j]);
            if (ofA[i].SlotAt > ofB[j].SlotAt) i++;
            else j++;
        }
        return null;
    }

    private DateTimeOffset LastPass(Neighbour node) => ResultsOf(node).FirstOrDefault(result => result.Passed)?.SlotAt ?? default;

    private ImmutableArray<SlotResult> ResultsOf(Neighbour node) => _results.GetValueOrDefault(node.NodeId, []);

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
