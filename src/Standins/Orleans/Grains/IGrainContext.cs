// SPDX-License-Identifier: Apache-2.0
using Orleans.Timers;

namespace Orleans.Runtime;

/// <summary>One activation of a grain: the grain's life from its first call to its last.</summary>
public interface IGrainContext : IEquatable<IGrainContext>
{
    /// <summary>A reference to the grain.</summary>
    GrainReference GrainReference { get; }

    /// <summary>The grain's id.</summary>
    GrainId GrainId { get; }

    /// <summary>The grain object; null before it is made.</summary>
    object? GrainInstance { get; }

    /// <summary>Which life of the grain this is.</summary>
    ActivationId ActivationId { get; }

    /// <summary>The services of this activation, disposed with it.</summary>
    IServiceProvider ActivationServices { get; }

    /// <summary>What starts and stops with the activation.</summary>
    IGrainLifecycle ObservableLifecycle { get; }

    /// <summary>Queues work as turns of the grain.</summary>
    IWorkItemScheduler Scheduler { get; }

    /// <summary>Ends when the activation has been deactivated.</summary>
    Task Deactivated { get; }

    /// <summary>Deactivates once the running calls are done. Later calls go to a new activation.</summary>
    void Deactivate(DeactivationReason deactivationReason, CancellationToken cancellationToken = default);
}

/// <summary>Queues work as turns of a grain.</summary>
public interface IWorkItemScheduler
{
    /// <summary>Queues a turn.</summary>
    void QueueAction(Action action);

    /// <summary>Queues a turn.</summary>
    void QueueAction(Action<object> action, object state);

    /// <summary>Queues a task that has not been started.</summary>
    void QueueTask(Task task);
}

/// <summary>The activation whose turn is running.</summary>
public interface IGrainContextAccessor
{
    /// <summary>The activation; null outside of grains.</summary>
    IGrainContext GrainContext { get; }
}

/// <summary>The silo as grains see it.</summary>
public interface IGrainRuntime
{
    /// <summary>The silo's name as text.</summary>
    string SiloIdentity { get; }

    /// <summary>The silo's address.</summary>
    SiloAddress SiloAddress { get; }

    /// <summary>Makes references to grains.</summary>
    IGrainFactory GrainFactory { get; }

    /// <summary>Makes grain timers.</summary>
    ITimerRegistry TimerRegistry { get; }

    /// <summary>The silo's services.</summary>
    IServiceProvider ServiceProvider { get; }

    /// <summary>The silo's clock.</summary>
    TimeProvider TimeProvider { get; }

    /// <summary>Deactivates once the running calls are done.</summary>
    void DeactivateOnIdle(IGrainContext grainContext);

    /// <summary>Keeps an activation from being collected for being idle.</summary>
    void DelayDeactivation(IGrainContext grainContext, TimeSpan timeSpan);

    /// <summary>The storage of <c>Grain&lt;TState&gt;</c>.</summary>
    Core.IStorage<TGrainState> GetStorage<TGrainState>(IGrainContext grainContext);
}

/// <summary>The silo of this process.</summary>
public interface ILocalSiloDetails
{
    /// <summary>The silo's name.</summary>
    string Name { get; }

    /// <summary>The cluster it belongs to.</summary>
    string ClusterId { get; }

    /// <summary>The machine's name.</summary>
    string DnsHostName { get; }

    /// <summary>The silo's address.</summary>
    SiloAddress SiloAddress { get; }

    /// <summary>The gateway's address.</summary>
    SiloAddress GatewayAddress { get; }
}

/// <summary>Which activation the running turn belongs to.</summary>
internal static class RuntimeContext
{
    [ThreadStatic]
    private static IGrainContext? _current;

    /// <summary>The activation; null outside of grains.</summary>
    public static IGrainContext? Current => _current;

    /// <summary>Enters an activation's turn.</summary>
    /// <returns>What was current before, for <see cref="Restore"/>.</returns>
    public static IGrainContext? Enter(IGrainContext? context)
    {
        var previous = _current;
        _current = context;
        return previous;
    }

    /// <summary>Leaves an activation's turn.</summary>
    public static void Restore(IGrainContext? previous) => _current = previous;
}
