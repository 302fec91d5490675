using System.Collections.Immutable;
using Federation.Contracts.Jobs;
using Federation.Contracts.Models;
using Federation.Contracts.Nodes;
using Federation.Silo.Models;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Nodes;

/// <summary>The grains a session talks to.</summary>
internal sealed class SessionGrains(IGrainFactory grains, IOptions<PoolOptions> pool)
{
    public TimeSpan AnnouncePeriod { get; } = pool.Value.AnnouncePeriod;

    /// <summary>How other silos reach the session. The reference holds it weakly; <see cref="NodeSessions"/> keeps it alive, then <see cref="EndedSessions"/>.</summary>
    public INodeSession ReferenceTo(NodeSession session) => grains.CreateObjectReference<INodeSession>(session);

    public void Forget(INodeSession reference) => grains.DeleteObjectReference<INodeSession>(reference);

    public Task AnnounceAsync(string model, PoolMember member) => grains.GetGrain<IModelPoolGrain>(model).Announce(member);

    public Task WithdrawAsync(string model, string sessionId, string engine) => grains.GetGrain<IModelPoolGrain>(model).Withdraw(sessionId, engine);

    public Task<NodeIdentity?> GetIdentityAsync(string nodeId) => Node(nodeId).GetIdentity();

    public Task<EnrolmentStatus> EnrolAsync(string nodeId, NodeEnrolment enrolment) => Node(nodeId).Enrol(enrolment);

    public Task<ConnectionStatus> ConnectAsync(string nodeId, NodeConnection connection) => Node(nodeId).Connect(connection);

    public Task DisconnectAsync(string nodeId, string sessionId) => Node(nodeId).Disconnect(sessionId);

    public Task<ReportStatus> ReportAsync(string nodeId, string sessionId, NodeReport report) => Node(nodeId).Report(sessionId, report);

    public Task<ImmutableArray<ReceiptSigning>> SignReceiptsAsync(string nodeId, OfferAnswer answer) => Node(nodeId).SignReceipts(answer);

    private INodeGrain Node(string nodeId) => grains.GetGrain<INodeGrain>(nodeId);
}
