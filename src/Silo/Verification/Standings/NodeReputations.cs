namespace Federation.Silo.Verification.Standings;

/// <summary>What is remembered of one node by the weights it answers with, and how many others have the same: read once, and kept in step with what is written. Belongs to the node's grain.</summary>
internal sealed class NodeReputations(string nodeId, VerificationStore store, TimeProvider time)
{
    private const int WeightsMax = 1_024;

    private static readonly TimeSpan PeersAreKnownFor = TimeSpan.FromMinutes(10);

    private readonly Dictionary<string, Reputation> _known = new(StringComparer.Ordinal);
    private readonly Dictionary<string, (int Count, long At)> _peers = new(StringComparer.Ordinal);

    /// <summary>The reputation with these weights; a new one where there is none.</summary>
    public async Task<Reputation> FindAsync(string weights)
    {
        if (_known.TryGetValue(weights, out var known)) return known;
        var stored = await store.FindReputationAsync(nodeId, weights, CancellationToken.None) ?? Reputation.New(time.GetUtcNow());
        if (_known.Count >= WeightsMax) _known.Clear();
        // Another job may have read it meanwhile, and counted since.
        return _known.TryAdd(weights, stored) ? stored : _known[weights];
    }

    /// <summary>Changes a reputation that was found, with no await between reading and changing it: jobs are counted beside each other.</summary>
    public Reputation Change(string weights, Reputation found, Func<Reputation, Reputation> change) => _known[weights] = change(_known.GetValueOrDefault(weights, found));

    /// <summary>What audits changed is written; units may have been counted meanwhile.</summary>
    public void Keep(string weights, Reputation after)
    {
        var now = _known.GetValueOrDefault(weights, after);
        _known[weights] = after with { RecentUnits = now.RecentUnits, CountedAt = now.CountedAt, Abandoned = now.Abandoned };
    }

    /// <summary>Nobody knows what is on disk: it is read again. How many others there are is not this node's to write.</summary>
    public void Forget() => _known.Clear();

    /// <summary>Nodes with these weights, this one among them; as it was ten minutes ago at most.</summary>
    public async Task<int> CountPeersAsync(string weights)
    {
        if (_peers.TryGetValue(weights, out var known) && time.GetElapsedTime(known.At) < PeersAreKnownFor) return known.Count;
        var count = Math.Max(1, await store.CountPeersAsync(weights, CancellationToken.None));
        if (_peers.Count >= WeightsMax) _peers.Clear();
        _peers[weights] = (count, time.GetTimestamp());
        return count;
    }
}
