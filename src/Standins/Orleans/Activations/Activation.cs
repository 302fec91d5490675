// SPDX-License-Identifier: Apache-2.0
using Microsoft.Extensions.DependencyInjection;
using Orleans.Runtime;
using Orleans.Storage;
using Orleans.Streams;
using Orleans.Timers;

namespace Orleans.Activations;

/// <summary>
/// One life of a grain. Requests are queued by any thread; everything else happens in turns of its <see cref="Turns"/>.
/// <code>
/// Created ──▶ Activating ──▶ Active ──▶ Deactivating ──▶ Ended
///                 └───────── failed ────────────────────▶ ┘
/// </code>
/// </summary>
internal sealed partial class Activation : IGrainContext, IRequestHost, IRequestTarget, IWorkItemScheduler, ICallChainReentrant
{
    private readonly Lock _gate = new();
    private readonly Silo _silo;
    private readonly IActivationOwner _owner;
    private readonly GrainStages _lifecycle = new();
    private readonly HashSet<GrainTimer> _timers = [];
    private readonly TaskCompletionSource _ended;
    private readonly Func<Request, bool> _mayStart;

    private WaitingRequests _waiting;
    private Phase _phase = Phase.Created;
    private int _running;
    private Request? _blocking;
    private Dictionary<Guid, int>? _reentrantSections;
    private DeactivationReason _reason;
    private Exception? _activationFailure;
    private bool _endingStarted;
    private long _lastUse;
    private long _keepUntil = long.MinValue;
    private AsyncServiceScope? _scope;
    private Enumerations? _enumerations;

    public Activation(Silo silo, GrainClass grainClass, GrainId id, IActivationOwner owner)
    {
        _silo = silo;
        _owner = owner;
        _mayStart = MayStart;
        _ended = new TaskCompletionSource(silo.Executor.CompletionOptions);
        Class = grainClass;
        GrainId = id;
        Number = silo.Catalog.NextNumber();
        Turns = new TurnQueue(silo.Executor, this, Pump, silo.Scheduling.ActivationSchedulingQuantum);
        _lastUse = silo.Time.GetTimestamp();
    }

    private enum Phase
    {
        Created,
        Activating,
        Active,
        Deactivating,
        Ended,
    }

    public GrainClass Class { get; }

    /// <summary>Counts the activations of the silo in the order they were made.</summary>
    public long Number { get; }

    public TurnQueue Turns { get; }

    public GrainId GrainId { get; }

    public ActivationId ActivationId { get; } = ActivationId.NewId();

    public object? GrainInstance { get; private set; }

    public object? Instance => GrainInstance;

    public GrainReference GrainReference => field ??= _silo.References.Untyped(GrainId);

    public IServiceProvider ActivationServices => (_scope ?? throw new InvalidOperationException($"{this} has not been activated.")).ServiceProvider;

    public IGrainLifecycle ObservableLifecycle => _lifecycle;

    public IWorkItemScheduler Scheduler => this;

    public Task Deactivated => _ended.Task;

    public Silo Silo => _silo;

    /// <summary>The enumerations that callers of <c>IAsyncEnumerable</c> methods have open here.</summary>
    public Enumerations Enumerations => _enumerations ??= new Enumerations(this);

    /// <summary>How many requests run or wait here.</summary>
    public int Load
    {
        get
        {
            lock (_gate)
            {
                return _running + _waiting.Count;
            }
        }
    }

    public bool Equals(IGrainContext? other) => ReferenceEquals(this, other);

    public override string ToString() => $"{GrainId}{ActivationId}";

    public bool TryReceive(Request request)
    {
        int waiting;
        bool isOverloaded;
        var wasAtRest = false;
        lock (_gate)
        {
            if (_phase == Phase.Ended)
            {
                return false;
            }

            waiting = _waiting.Count;
            isOverloaded = IsOverloaded(waiting, request);
            if (!isOverloaded)
            {
                _waiting.Add(request);
                if (request.KeepsActive)
                {
                    _lastUse = _silo.Time.GetTimestamp();
                }

                wasAtRest = Turns.TryQueuePump();
            }
        }

        if (isOverloaded)
        {
            request.Reject(new LimitExceededException("MaxEnqueuedRequests", waiting + 1, _silo.HardLimitFor(Class), this));
        }
        else if (wasAtRest)
        {
            Turns.Start();
        }

        return true;
    }

    public void Deactivate(DeactivationReason deactivationReason, CancellationToken cancellationToken = default)
    {
        lock (_gate)
        {
            if (_phase is Phase.Deactivating or Phase.Ended)
            {
                return;
            }

            _reason = deactivationReason;
            if (_phase == Phase.Activating)
            {
                // What waits is for the next life; this one ends as soon as it has come to be.
                LogDeactivatingWhileActivating(_silo.Log, this, deactivationReason);
            }

            _phase = Phase.Deactivating;
            Turns.QueuePump();
        }
    }

    public void DelayDeactivation(TimeSpan span)
    {
        lock (_gate)
        {
            _keepUntil = span <= TimeSpan.Zero
                ? long.MinValue
                : span == TimeSpan.MaxValue ? long.MaxValue : _silo.Time.GetTimestamp() + _silo.Ticks(span);
        }
    }

    /// <summary>Deactivates if nobody has used the grain for long enough.</summary>
    public void CollectIfIdle()
    {
        var age = Class.CollectionAge(_silo.Collection);
        lock (_gate)
        {
            var now = _silo.Time.GetTimestamp();
            if (_phase != Phase.Active || _running > 0 || _waiting.Count > 0 || age == TimeSpan.MaxValue
                || now < _keepUntil || now - _lastUse < _silo.Ticks(age))
            {
                return;
            }
        }

        Deactivate(new DeactivationReason(DeactivationReasonCode.ActivationIdle, $"Idle for {age} or longer."));
    }

    public void Post(Action action) => QueueAction(action);

    public void QueueAction(Action action) => QueueTask(new Task(action));

    public void QueueAction(Action<object> action, object state) => QueueTask(new Task(action!, state));

    public void QueueTask(Task task) => task.Start(Turns);

    public void AddTimer(GrainTimer timer) => _timers.Add(timer);

    public void RemoveTimer(GrainTimer timer)
    {
        if (RuntimeContext.Current == this)
        {
            _timers.Remove(timer);
        }
        else
        {
            Post(() => _timers.Remove(timer));
        }
    }

    void ICallChainReentrant.EnterSection(Guid reentrancyId)
    {
        lock (_gate)
        {
            _reentrantSections ??= [];
            _reentrantSections[reentrancyId] = _reentrantSections.GetValueOrDefault(reentrancyId) + 1;
        }
    }

    void ICallChainReentrant.LeaveSection(Guid reentrancyId)
    {
        lock (_gate)
        {
            if (_reentrantSections is null || !_reentrantSections.TryGetValue(reentrancyId, out var depth))
            {
                return;
            }

            if (depth > 1)
            {
                _reentrantSections[reentrancyId] = depth - 1;
            }
            else
            {
                _reentrantSections.Remove(reentrancyId);
            }
        }
    }

    void IRequestHost.OnRequestFailed(Request request, Exception failure)
    {
        _silo.NoteThrown(failure, this);
        if (request.IsOneWay)
        {
            LogOneWayFailed(_silo.Log, failure, request.GetMethodName(), this);
        }

        if (failure is InconsistentStateException { IsSourceActivation: true } conflict)
        {
            conflict.IsSourceActivation = false;
            LogInconsistentState(_silo.Log, conflict, this);
            Deactivate(new DeactivationReason(DeactivationReasonCode.ApplicationError, conflict, conflict.Message));
        }
    }

    /// <summary>Starts what may start now. A turn of its own.</summary>
    private void Pump()
    {
        try
        {
            StartWhatMay();
        }
        catch (Exception failure)
        {
            LogBroken(_silo.Log, failure, this);
        }
    }

    private void StartWhatMay()
    {
        if (BeginActivating())
        {
            Observe(ActivateAsync());
            return;
        }

        if (BeginEnding())
        {
            Observe(EndAsync());
            return;
        }

        while (TakeNext() is { } request)
        {
            Start(request);
        }
    }

    private bool BeginActivating()
    {
        lock (_gate)
        {
            if (_phase != Phase.Created)
            {
                return false;
            }

            _phase = Phase.Activating;
            return true;
        }
    }

    private bool BeginEnding()
    {
        lock (_gate)
        {
            if (_phase != Phase.Deactivating || _endingStarted || _running > 0 || _isActivating)
            {
                return false;
            }

            return _endingStarted = true;
        }
    }

    private Request? TakeNext()
    {
        lock (_gate)
        {
            var request = _phase switch
            {
                Phase.Active => _waiting.Take(_mayStart, anyMayOvertake: Class.Interleaving is not null),
                Phase.Deactivating when !_endingStarted => _waiting.Take(r => r.IsLocal && MayStart(r), anyMayOvertake: true),
                _ => null,
            };
            if (request is null)
            {
                return null;
            }

            _running++;
            if (!request.AlwaysInterleaves)
            {
                _blocking ??= request;
            }

            return request;
        }
    }

    private bool MayStart(Request request) =>
        _running == 0
        || request.AlwaysInterleaves
        || _blocking is null
        || (_blocking.IsReadOnly && request.IsReadOnly)
        || (request.ReentrancyId != Guid.Empty && _reentrantSections?.ContainsKey(request.ReentrancyId) == true)
        || MayInterleave(request, _blocking);

    private bool MayInterleave(Request request, Request running)
    {
        if (Class.Interleaving is not { } interleaving)
        {
            return false;
        }

        try
        {
            return interleaving(GrainInstance!, request) || interleaving(GrainInstance!, running);
        }
        catch (Exception failure)
        {
            LogMayInterleaveFailed(_silo.Log, failure, this, request.GetMethodName());
            request.Reject(failure);
            return true;
        }
    }

    private void Start(Request request)
    {
        if (request.IsAbandoned)
        {
            OnDone(request);
            return;
        }

        var clean = ExecutionContext.Capture();
        if (request.Context is { } context)
        {
            RequestContext.Values = context;
        }

        var outcome = request.Start(this);
        if (clean is not null)
        {
            ExecutionContext.Restore(clean);
        }

        if (outcome is null)
        {
            OnDone(request);
            return;
        }

        outcome.ContinueWith(
            static (outcome, state) =>
            {
                var (activation, request) = ((Activation, Request))state!;
                request.Finish(activation, outcome);
                activation.OnDone(request);
            },
            (this, request),
            CancellationToken.None,
            TaskContinuationOptions.ExecuteSynchronously | TaskContinuationOptions.DenyChildAttach,
            Turns);
    }

    private void OnDone(Request request)
    {
        lock (_gate)
        {
            _running--;
            if (_blocking is null || _blocking == request)
            {
                _blocking = null;
            }

            if (request.KeepsActive)
            {
                _lastUse = _silo.Time.GetTimestamp();
            }

            if (_waiting.Count > 0 || _phase == Phase.Deactivating)
            {
                Turns.QueuePump();
            }
        }
    }

    private bool IsOverloaded(int waiting, Request request) =>
        !request.AlwaysInterleaves && !request.IsLocal && _silo.HardLimitFor(Class) is > 0 and var limit && waiting >= limit;

    private void Observe(Task work) => work.ContinueWith(
        static (work, state) =>
        {
            var self = (Activation)state!;
            LogBroken(self._silo.Log, work.Exception!.GetBaseException(), self);
        },
        this,
        CancellationToken.None,
        TaskContinuationOptions.OnlyOnFaulted | TaskContinuationOptions.ExecuteSynchronously,
        TaskScheduler.Default);
}
