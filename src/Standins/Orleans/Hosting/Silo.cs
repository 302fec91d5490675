// SPDX-License-Identifier: Apache-2.0
using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans.Activations;
using Orleans.Calls;
using Orleans.Configuration;
using Orleans.Contracts;
using Orleans.Core;
using Orleans.Observers;
using Orleans.Runtime;
using Orleans.Storage;
using Orleans.Timers;

namespace Orleans;

/// <summary>The one silo of the process: its grain classes, its activations, its clock.</summary>
internal sealed partial class Silo : IGrainRuntime, ILocalSiloDetails, IGrainContextAccessor, IDisposable
{
    private readonly ClusterOptions _cluster;
    private readonly SiloOptions _options;
    private readonly ConcurrentDictionary<Type, bool> _hiddenExceptions = new();

    public Silo(
        IServiceProvider services,
        TimeProvider time,
        ITurnExecutor executor,
        IOptions<ClusterOptions> cluster,
        IOptions<SiloOptions> options,
        IOptions<EndpointOptions> endpoint,
        IOptions<SiloMessagingOptions> messaging,
        IOptions<GrainCollectionOptions> collection,
        IOptions<SchedulingOptions> scheduling,
        ILoggerFactory loggers)
    {
        Services = services;
        Time = time;
        Executor = executor;
        _cluster = cluster.Value;
        _options = options.Value;
        Messaging = messaging.Value;
        Collection = collection.Value;
        Scheduling = scheduling.Value;
        Log = loggers.CreateLogger("Orleans.Silo");
        SiloAddress = SiloAddress.New(new IPEndPoint(endpoint.Value.AdvertisedIPAddress, endpoint.Value.SiloPort), 1);
        GatewayAddress = SiloAddress.New(new IPEndPoint(endpoint.Value.AdvertisedIPAddress, endpoint.Value.GatewayPort), 0);
        ResponseTimeout = Debugger.IsAttached ? Messaging.ResponseTimeoutWithDebugger : Messaging.ResponseTimeout;
        Classes = new GrainClasses();
        Catalog = new Catalog(this);
        References = new References(this);
        Observers = new ObserverDirectory(this);
        Deadlines = new CallDeadlines(time);
    }

    public IServiceProvider Services { get; }

    public TimeProvider Time { get; }

    public ITurnExecutor Executor { get; }

    public ILogger Log { get; }

    public SiloMessagingOptions Messaging { get; }

    public GrainCollectionOptions Collection { get; }

    public SchedulingOptions Scheduling { get; }

    public TimeSpan ResponseTimeout { get; }

    public GrainClasses Classes { get; }

    public Catalog Catalog { get; }

    public References References { get; }

    public ObserverDirectory Observers { get; }

    public CallDeadlines Deadlines { get; }

    public SiloPhase Phase { get; set; }

    /// <summary>Why no grain can be activated now; null when it can.</summary>
    public Exception? WhyClosed => Phase switch
    {
        SiloPhase.Running => null,
        SiloPhase.NotStarted => new OrleansMessageRejectionException("The silo has not started."),
        _ => new SiloUnavailableException("The silo is shutting down and activates no more grains."),
    };

    public SiloAddress SiloAddress { get; }

    public SiloAddress GatewayAddress { get; }

    public string SiloIdentity => SiloAddress.ToString();

    public string Name => _options.SiloName;

    public string ClusterId => _cluster.ClusterId;

    public string DnsHostName => Environment.MachineName;

    IGrainFactory IGrainRuntime.GrainFactory => References;

    ITimerRegistry IGrainRuntime.TimerRegistry { get; } = new TimerRegistry();

    IServiceProvider IGrainRuntime.ServiceProvider => Services;

    TimeProvider IGrainRuntime.TimeProvider => Time;

    IGrainContext IGrainContextAccessor.GrainContext => RuntimeContext.Current!;

    public void Send(Request request)
    {
        if (ObserverDirectory.IsObserver(request.Target))
        {
            Observers.Send(request);
        }
        else
        {
            Catalog.Send(request);
        }
    }

    /// <summary>How many requests may wait in an activation of the class; 0 for no bound.</summary>
    public int HardLimitFor(GrainClass grainClass) => grainClass.StatelessWorker is null
        ? Messaging.MaxEnqueuedRequestsHardLimit
        : Messaging.MaxEnqueuedRequestsHardLimit_StatelessWorker;

    /// <summary>The span as a difference of the clock's timestamps.</summary>
    public long Ticks(TimeSpan span) => (long)(span.TotalSeconds * Time.TimestampFrequency);

    public void DeactivateOnIdle(IGrainContext grainContext) =>
        grainContext.Deactivate(new DeactivationReason(DeactivationReasonCode.ApplicationRequested, $"{nameof(DeactivateOnIdle)} was called."));

    public void DelayDeactivation(IGrainContext grainContext, TimeSpan timeSpan) => ((Activation)grainContext).DelayDeactivation(timeSpan);

    public IStorage<TGrainState> GetStorage<TGrainState>(IGrainContext grainContext) => StoredStates.ForGrainClass<TGrainState>(grainContext);

    /// <summary>Warns, once for each type, of exceptions that callers in another silo would not get to see.</summary>
    public void NoteThrown(Exception exception, Activation thrower)
    {
        var type = exception.GetType();
        if (!TravelRules.ExceptionTravels(type) && _hiddenExceptions.TryAdd(type, true))
        {
            LogHiddenException(Log, type, thrower);
        }
    }

    [LoggerMessage(151, LogLevel.Warning, "{Type}, thrown by {Activation}, has no [GenerateSerializer]. A caller in another silo would get a CodecNotFoundException instead.")]
    private static partial void LogHiddenException(ILogger logger, Type type, Activation activation);

    public void Dispose() => Deadlines.Dispose();
}

/// <summary>Whether grains can be activated.</summary>
internal enum SiloPhase
{
    NotStarted,
    Running,
    Stopping,
}
