using Federation.Contracts.Models;
using Federation.Contracts.Nodes;
using Federation.Protocol.OpenAi;

namespace Federation.Silo.Gateway;

/// <summary>What the hub asks of one certain node.</summary>
/// <param name="NodeId">The node.</param>
/// <param name="Engine">Which of its engines.</param>
/// <param name="Model">Which of that engine's models.</param>
/// <param name="JobId">The job; its one lease has this id and ".1".</param>
/// <param name="Kind">What the body is.</param>
/// <param name="Body">What the engine is asked.</param>
/// <param name="Stream">Whether the body asks for a stream.</param>
/// <param name="TimeLimit">For the whole answer.</param>
internal sealed record DirectLease(string NodeId, EngineReport Engine, ModelReport Model, string JobId, JobKind Kind, ReadOnlyMemory<byte> Body, bool Stream, TimeSpan TimeLimit)
{
    /// <inheritdoc cref="LeaseAssignment.Yields"/>
    public bool Yields { get; init; }

    /// <inheritdoc cref="LeaseAssignment.Unpaid"/>
    public bool Unpaid { get; init; }
}

/// <summary>
/// Leases that go to one certain node past its pools: what the hub itself wants to know of it. They wait for nothing: a node without a free
/// slot is not asked, since clients come first.
/// </summary>
internal sealed partial class DirectLeases(IGrainFactory grains, LeaseDispatcher dispatcher, TimeProvider time, ILogger<DirectLeases> logger)
{
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(5);

    /// <summary>Sends the lease and has its answer read.</summary>
    /// <param name="lease">What is asked.</param>
    /// <param name="read">Makes sense of the answer until its token is cancelled, which the end of the lease's time does too; may throw <see cref="TimeoutException"/> when the node falls silent.</param>
    /// <param name="cancellationToken">Stops it.</param>
    /// <returns>What <paramref name="read"/> made of it; <see langword="null"/> too when the node is away, has no free slot, or fell silent.</returns>
    public async Task<T?> AskAsync<T>(DirectLease lease, Func<LeaseStream, CancellationToken, Task<T?>> read, CancellationToken cancellationToken)
        where T : class
    {
        if (await grains.GetGrain<INodeGrain>(lease.NodeId).GetConnection() is not { } connection) return null;
        var member = new PoolMember(connection.SessionId, 0, lease.NodeId, lease.Engine.Name, lease.Engine.Slots, lease.Engine.Slots, lease.Model, connection.Session);
        var assignment = new LeaseAssignment($"{lease.JobId}.1", lease.JobId, lease.Kind, lease.Model.Name, lease.Engine.Name, lease.Body, lease.Stream, lease.TimeLimit, Attempt: 1, lease.Yields, lease.Unpaid);
        var (status, stream) = await dispatcher.DispatchAsync(member, assignment);
        if (status is not AssignStatus.Sent) return null;
        await using (stream)
        {
            // The node is told the limit too, but a word now and then must not keep the hub waiting beyond it. Whoever has a limit of his own comes first.
            using var overdue = new CancellationTokenSource(lease.TimeLimit + Grace, time);
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, overdue.Token);
            try
            {
                return await read(stream!, limit.Token);
            }
            catch (Exception exception) when (exception is TimeoutException or OperationCanceledException && !cancellationToken.IsCancellationRequested)
            {
                LogSilent(lease.NodeId, lease.JobId);
                stream!.Cancel("deadline");
                return null;
            }
        }
    }

    [LoggerMessage(4020, LogLevel.Information, "Node {NodeId} fell silent, or took too long, over {JobId}, which the hub itself had asked")]
    private partial void LogSilent(string nodeId, string jobId);
}
