using System.Globalization;
using Federation.Contracts.Models;
using Federation.Contracts.Nodes;
using Federation.Silo.Storage;

namespace Federation.Silo.Gateway;

/// <summary>Tells a node's grain of leases that the node took and gave up. No client waits for it: what gets lost is a soft mark.</summary>
internal sealed partial class Abandonments(IGrainFactory grains, ILogger<Abandonments> logger)
{
    /// <summary>The node took this lease and did not end it. Not for what its client did, or the hub.</summary>
    /// <param name="member">The node, and with what it should have answered.</param>
    /// <param name="jobId">The job; told twice of one node, it counts once.</param>
    /// <param name="why">In words.</param>
    public void Tell(PoolMember member, string jobId, string why) => _ = TellAsync(member, jobId, why);

    private async Task TellAsync(PoolMember member, string jobId, string why)
    {
        try
        {
            await grains.GetGrain<INodeGrain>(member.NodeId).RecordAbandonment(
                jobId, member.Model.DeterminismClass, string.Create(CultureInfo.InvariantCulture, $"The node took job {jobId} and did not end it: {why}."));
        }
        catch (Exception exception) when (exception is OrleansException or TimeoutException or StorageException)
        {
            LogLost(member.NodeId, jobId, exception);
        }
    }

    [LoggerMessage(4030, LogLevel.Warning, "Node {NodeId} gave up job {JobId}, which could not be recorded")]
    private partial void LogLost(string nodeId, string jobId, Exception exception);
}
