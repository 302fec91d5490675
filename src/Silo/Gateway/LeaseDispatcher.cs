using Federation.Contracts.Models;
using Federation.Contracts.Nodes;
using Federation.Silo.Nodes;

namespace Federation.Silo.Gateway;

/// <summary>Brings a granted lease to its node, on this silo or another.</summary>
internal sealed class LeaseDispatcher(NodeSessions sessions, IGrainFactory grains, TimeProvider time, ILogger<LeaseDispatcher> logger)
{
    /// <summary>Sends the lease; the stream is set when it was sent.</summary>
    public ValueTask<(AssignStatus Status, LeaseStream? Stream)> DispatchAsync(PoolMember member, LeaseAssignment assignment)
    {
        if (!sessions.TryGet(member.SessionId, out var session)) return DispatchElsewhereAsync(member, assignment);
        var status = session.TryAssign(assignment, out var lease);
        return ValueTask.FromResult((status, status is AssignStatus.Sent ? new LocalLeaseStream(session, lease!) : (LeaseStream?)null));
    }

    private async ValueTask<(AssignStatus Status, LeaseStream? Stream)> DispatchElsewhereAsync(PoolMember member, LeaseAssignment assignment)
    {
        var remote = new RemoteLeaseStream(member.Session, assignment.LeaseId, grains, time, logger);
        try
        {
            var status = await remote.AssignAsync(assignment);
            if (status is AssignStatus.Sent) return (status, remote);
            await remote.DisposeAsync();
            return (status, null);
        }
        catch (Exception exception) when (exception is OrleansException or TimeoutException)
        {
            await remote.DisposeAsync();
            return (AssignStatus.Gone, null);
        }
    }
}
