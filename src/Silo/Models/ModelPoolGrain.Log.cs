namespace Federation.Silo.Models;

internal sealed partial class ModelPoolGrain
{
    [LoggerMessage(2000, LogLevel.Information, "Model {Model}: node {NodeId} can serve it in {Slots} slots")]
    private partial void LogJoined(string model, string nodeId, int slots);

    [LoggerMessage(2001, LogLevel.Information, "Model {Model}: node {NodeId} no longer serves it")]
    private partial void LogLeft(string model, string nodeId);

    [LoggerMessage(2002, LogLevel.Warning, "Model {Model}: node {NodeId} said nothing for {Silence}; it gets no more leases until it does")]
    private partial void LogSilent(string model, string nodeId, TimeSpan silence);

    [LoggerMessage(2003, LogLevel.Warning, "Model {Model}: {Waiting} jobs wait already; the next ones are answered 503")]
    private partial void LogQueueFull(string model, int waiting);

    [LoggerMessage(2004, LogLevel.Warning, "Model {Model}: lease {LeaseId} was not given back within {Lifetime}; its slot is free again")]
    private partial void LogLeaseLost(string model, string leaseId, TimeSpan lifetime);
}
