using System.Collections.Immutable;
using Federation.Contracts.Models;

namespace Federation.Silo.Models;

/// <summary>
/// Which engine of which node has read the beginning of which conversation lately: it goes on with it sooner than another, which would have to read it anew. Bounded, the oldest first to go. Not safe for use by several threads.
/// </summary>
/// <param name="capacity">Beginnings that are remembered; several of each conversation.</param>
internal sealed class StickyNodes(int capacity)
{
    /// <summary>Of each conversation the longest beginnings are remembered: what stands behind the messages in a body differs from what the next one has there.</summary>
    private const int RememberedOfEach = 8;

    private readonly LinkedList<(ulong Prefix, string Member)> _byAge = [];
    private readonly Dictionary<ulong, LinkedListNode<(ulong Prefix, string Member)>> _byPrefix = [];

    /// <summary>Beginnings that are remembered now.</summary>
    public int Count => _byPrefix.Count;

    /// <summary>The member that read the longest of these beginnings, of a third of the text or more; <see langword="null"/> when none did that may be had.</summary>
    /// <param name="prefixes">Of ever longer beginnings, see <see cref="LeaseRequest.Prefixes"/>.</param>
    /// <param name="mayServe">Whether a member may be had now.</param>
    public string? Find(ImmutableArray<ulong> prefixes, Func<string, bool> mayServe)
    {
        for (var at = prefixes.Length - 1; at >= prefixes.Length / 3; at--)
        {
            if (_byPrefix.TryGetValue(prefixes[at], out var known) && mayServe(known.Value.Member)) return known.Value.Member;
        }
        return null;
    }

    /// <summary>The member reads this text now.</summary>
    public void Note(ImmutableArray<ulong> prefixes, string member)
    {
        for (var at = Math.Max(0, prefixes.Length - RememberedOfEach); at < prefixes.Length; at++)
        {
            if (_byPrefix.Remove(prefixes[at], out var known)) _byAge.Remove(known);
            _byPrefix.Add(prefixes[at], _byAge.AddLast((prefixes[at], member)));
        }
        while (_byAge.Count > capacity)
        {
            _byPrefix.Remove(_byAge.First!.Value.Prefix);
            _byAge.RemoveFirst();
        }
    }
}
