using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using Federation.Contracts.Nodes;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Nodes;

/// <summary>The sessions whose streams this silo holds.</summary>
internal sealed class NodeSessions(IOptions<NodeLinkOptions> options)
{
    private readonly ConcurrentDictionary<string, NodeSession> _sessions = new(StringComparer.Ordinal);

    public bool TryAdd(NodeSession session) => _sessions.Count < options.Value.MaxSessions && _sessions.TryAdd(session.SessionId, session);

    public void Remove(NodeSession session) => _sessions.TryRemove(session.SessionId, out _);

    public bool TryGet(string sessionId, [NotNullWhen(true)] out NodeSession? session) => _sessions.TryGetValue(sessionId, out session);

    /// <summary>Connections that this silo holds.</summary>
    public int Count => _sessions.Count;

    /// <summary>Whether a connection of this node is here.</summary>
    public bool HasNode(string nodeId) => _sessions.Values.Any(session => session.NodeId == nodeId);

    /// <summary>Those that are here now.</summary>
    public IEnumerable<NodeSession> All => _sessions.Values;

    /// <summary>Tells every node to dial again.</summary>
    public void CloseAll()
    {
        foreach (var session in _sessions.Values) session.Close(SessionEnd.Stopping);
    }
}
