namespace Federation.Silo.Nodes;

internal sealed partial class NodeSession
{
    [LoggerMessage(3000, LogLevel.Warning, "Node {NodeId} broke the protocol: {What}; it is disconnected")]
    private partial void LogViolation(string nodeId, string what);

    [LoggerMessage(3001, LogLevel.Information, "Node {NodeId} is leaving ({Reason}); {Running} leases still run")]
    private partial void LogDraining(string nodeId, string reason, int running);

    [LoggerMessage(3002, LogLevel.Information, "Node {NodeId} no longer takes messages; the connection is closed")]
    private partial void LogWriteFailed(string nodeId, Exception exception);

    [LoggerMessage(3003, LogLevel.Debug, "Node {NodeId} could not be announced; tried again in the next period")]
    private partial void LogAnnounceFailed(string nodeId, Exception exception);

    [LoggerMessage(3004, LogLevel.Information, "Node {NodeId}: the consumer of lease {LeaseId} is gone; the lease is cancelled")]
    private partial void LogConsumerLost(string nodeId, string leaseId, Exception exception);

    [LoggerMessage(3006, LogLevel.Warning, "Node {NodeId}: a receipt's signature could not be recorded now; the receipt is offered again")]
    private partial void LogSigningFailed(string nodeId, Exception exception);

    [LoggerMessage(3007, LogLevel.Information, "Node {NodeId} is silent for {Seconds:0.0} s and does not answer; its line is dead, and {Running} leases with it")]
    private partial void LogDead(string nodeId, double seconds, int running);

    [LoggerMessage(3008, LogLevel.Warning, "Node {NodeId} is silent for {Seconds:0.0} s with most others: the hub's own network is away; the line is closed, and {Running} leases go elsewhere")]
    private partial void LogCutOff(string nodeId, double seconds, int running);

    [LoggerMessage(3005, LogLevel.Debug, "Node {NodeId} pulls {Model}: {Status}")]
    private partial void LogPull(string nodeId, string model, string status);
}
