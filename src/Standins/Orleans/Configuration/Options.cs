// SPDX-License-Identifier: Apache-2.0
using System.Net;

namespace Orleans.Configuration;

/// <summary>Which cluster the silo belongs to.</summary>
public class ClusterOptions
{
    /// <summary>The cluster, which may change from one deployment to the next.</summary>
    public string ClusterId { get; set; } = "default";

    /// <summary>The service, which stays and owns the stored state.</summary>
    public string ServiceId { get; set; } = "default";
}

/// <summary>The silo's name.</summary>
public class SiloOptions
{
    /// <summary>The name.</summary>
    public string SiloName { get; set; } = $"Silo_{Environment.MachineName}";
}

/// <summary>Where the silo listens. The stand-in listens nowhere.</summary>
public class EndpointOptions
{
    /// <summary>The address told to others.</summary>
    public IPAddress AdvertisedIPAddress { get; set; } = IPAddress.Loopback;

    /// <summary>The port for other silos.</summary>
    public int SiloPort { get; set; } = 11111;

    /// <summary>The port for clients.</summary>
    public int GatewayPort { get; set; } = 30000;

    /// <summary>The endpoint for other silos, if not the advertised one.</summary>
    public IPEndPoint? SiloListeningEndpoint { get; set; }

    /// <summary>The endpoint for clients, if not the advertised one.</summary>
    public IPEndPoint? GatewayListeningEndpoint { get; set; }
}

/// <summary>How calls wait for their answers.</summary>
public abstract class MessagingOptions
{
    /// <summary>How long a caller waits. Default 30 seconds.</summary>
    public TimeSpan ResponseTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>How long a caller waits while a debugger is attached. Default 30 minutes.</summary>
    public TimeSpan ResponseTimeoutWithDebugger { get; set; } = TimeSpan.FromMinutes(30);

    /// <summary>Whether calls whose caller no longer waits are dropped instead of run. Default true.</summary>
    public bool DropExpiredMessages { get; set; } = true;

    /// <summary>Whether a call that timed out is cancelled in the grain, if it takes a token. Default false.</summary>
    public bool CancelRequestOnTimeout { get; set; }

    /// <summary>Whether a cancelled caller waits for the grain's answer. Default false: it is told at once.</summary>
    public bool WaitForCancellationAcknowledgement { get; set; }
}

/// <summary>How a silo treats calls.</summary>
public class SiloMessagingOptions : MessagingOptions
{
    /// <summary>How many calls may wait in one activation before further ones are refused; 0 for no bound. Default 0.</summary>
    public int MaxEnqueuedRequestsHardLimit { get; set; }

    /// <summary>How many calls may wait in one activation before a warning is logged; 0 for none. Default 0.</summary>
    public int MaxEnqueuedRequestsSoftLimit { get; set; }

    /// <summary>As <see cref="MaxEnqueuedRequestsHardLimit"/>, for stateless workers. Default 0.</summary>
    public int MaxEnqueuedRequestsHardLimit_StatelessWorker { get; set; }

    /// <summary>As <see cref="MaxEnqueuedRequestsSoftLimit"/>, for stateless workers. Default 0.</summary>
    public int MaxEnqueuedRequestsSoftLimit_StatelessWorker { get; set; }

    /// <summary>How long a call may run before its activation counts as stuck. Default 2 hours.</summary>
    public TimeSpan MaxRequestProcessingTime { get; set; } = TimeSpan.FromHours(2);
}

/// <summary>How a client treats calls. In the stand-in the client is the silo.</summary>
public class ClientMessagingOptions : MessagingOptions;

/// <summary>When idle activations are collected.</summary>
public class GrainCollectionOptions
{
    /// <summary>How long an activation may be idle. More than <see cref="CollectionQuantum"/>. Default 15 minutes.</summary>
    public TimeSpan CollectionAge { get; set; } = TimeSpan.FromMinutes(15);

    /// <summary>The same for single classes, by full name.</summary>
    public Dictionary<string, TimeSpan> ClassSpecificCollectionAge { get; set; } = [];

    /// <summary>How often idle activations are looked for. Default 1 minute.</summary>
    public TimeSpan CollectionQuantum { get; set; } = TimeSpan.FromMinutes(1);

    /// <summary>How long activating may take. Default 30 seconds.</summary>
    public TimeSpan ActivationTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>How long deactivating may take. Default 30 seconds.</summary>
    public TimeSpan DeactivationTimeout { get; set; } = TimeSpan.FromSeconds(30);
}

/// <summary>How turns are run.</summary>
public class SchedulingOptions
{
    /// <summary>How long one activation may keep a thread while others wait. Default 100 milliseconds.</summary>
    public TimeSpan ActivationSchedulingQuantum { get; set; } = TimeSpan.FromMilliseconds(100);
}

/// <summary>The in-memory storage.</summary>
public class MemoryGrainStorageOptions;
