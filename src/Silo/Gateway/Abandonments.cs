using System.Globalization;
using Federation.Contracts.Nodes;
using Federation.Silo.Storage;

namespace Federation.Silo.Gateway;

/// <summary>Tells a node's grain of leases that the node took and gave up. No client waits for it: what gets lost is a soft mark.</summary>
internal sealed partial class Abandonments(IGrainFactory grains, ILogger<Abandonments> logger)
{
    /// <summary>Both clocks run out at about the same moment: what then ends is an answer too long for its time, not an abandoned one.</summary>
    private static readonly TimeSpan ClockSlack = TimeSpan.FromSeconds(1);

    /// <summary>Whether a lease that ended so was abandoned by its node: not by the hub, and not because its time was up.</summary>
    /// <param name="failed">Its end.</param>
    /// <param name="after">How long it ran.</param>
    /// <param name="limit">How long it might.</param>
    public static bool IsOne(LeaseEvent.Failed failed, TimeSpan after, TimeSpan limit) => failed.Reason is not (LeaseFailure.HubLost or LeaseFailure.Cancelled or LeaseFailure.HandedBack) && after < limit - ClockSlack;

    /// <summary>The node took this lease and did not end it. Not for what its client did, or the hub.</summary>
    /// <param name="nodeId">The node.</param>
    /// <param name="model">With what it should have answered.</param>
    /// <param name="jobId">The job; told twice of one node, it counts once.</param>
    /// <param name="why">In words.</param>
    public void Tell(string nodeId, ModelReport model, string jobId, string why) => _ = TellAsync(nodeId, model.DeterminismClass, jobId, why);

    private async Task TellAsync(string nodeId, string determinismClass, string jobId, string why)
    {
        try
        {
            await grains.GetGrain<INodeGrain>(nodeId).RecordAbandonment(
                jobId, determinismClass, string.Create(CultureInfo.InvariantCulture, $"The node took job {jobId} and did not end it: {why}."));
        }
        catch (Exception exception) when (exception is OrleansException or TimeoutException or StorageException)
        {
            LogLost(nodeId, jobId, exception);
        }
    }

    /// <summary>How a lease ended, as the node tells it.</summary>
    public static string Words(LeaseEvent.Failed failed) => failed.Detail.Length > 0 ? $"{failed.Reason}: {failed.Detail}" : failed.Reason.ToString();

    [LoggerMessage(4030, LogLevel.Warning, "Node {NodeId} gave up job {JobId}, which could not be recorded")]
    private partial void LogLost(string nodeId, string jobId, Exception exception);
}
