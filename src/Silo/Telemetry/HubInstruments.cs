using System.Diagnostics.Metrics;
using Federation.Silo.Batches;
using Federation.Silo.Jobs;
using Federation.Silo.Nodes;

namespace Federation.Silo.Telemetry;

/// <summary>What a silo has at the moment: looked up when somebody asks, and not before.</summary>
internal sealed class HubInstruments
{
    /// <summary>The meter's name.</summary>
    public const string MeterName = "Federation.Silo.Hub";

    public HubInstruments(IMeterFactory meters, NodeSessions sessions, AsyncJobRunner jobs, BatchRunner batches, AsyncJobSignals followers)
    {
        var meter = meters.Create(MeterName);
        meter.CreateObservableGauge("federation.nodes.connected", () => sessions.Count, "{node}", "Connections of nodes that this silo holds.");
        meter.CreateObservableGauge("federation.jobs.running", () => jobs.Running, "{job}", "Asynchronous jobs that this silo runs.");
        meter.CreateObservableGauge("federation.jobs.followers", () => followers.Followers, "{connection}", "Connections that follow asynchronous jobs on this silo.");
        meter.CreateObservableGauge("federation.batches.running", () => batches.Running, "{batch}", "Batches that this silo works on.");
    }
}
