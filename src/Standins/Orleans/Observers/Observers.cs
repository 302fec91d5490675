// SPDX-License-Identifier: Apache-2.0
using System.Collections.Concurrent;
using System.Globalization;
using Microsoft.Extensions.Logging;
using Orleans.Activations;
using Orleans.Runtime;

namespace Orleans.Observers;

/// <summary>The objects that grains can call back, held weakly.</summary>
internal sealed partial class ObserverDirectory(Silo silo)
{
    private const int AddsBetweenSweeps = 256;

    private static readonly GrainType ObserverType = GrainType.Create("sys.client");

    private readonly ConcurrentDictionary<GrainId, Observer> _observers = new();
    private long _lastId;

    public static bool IsObserver(GrainId id) => id.Type == ObserverType;

    public GrainId Add(IGrainObserver instance)
    {
        ArgumentNullException.ThrowIfNull(instance);
        if (instance is GrainReference or IGrainBase)
        {
            throw new ArgumentException("Argument must not be a grain or a reference.", nameof(instance));
        }

        var number = Interlocked.Increment(ref _lastId);
        if (number % AddsBetweenSweeps == 0)
        {
            Sweep();
        }

        var id = GrainId.Create(ObserverType, string.Create(CultureInfo.InvariantCulture, $"hosted+{number}"));
        _observers[id] = new Observer(silo, id, instance);
        return id;
    }

    public void Remove(GrainId id) => _observers.TryRemove(id, out _);

    /// <summary>Hands a request to its observer. One that is gone answers nothing, so an awaited call times out.</summary>
    public void Send(Request request)
    {
        if (_observers.TryGetValue(request.Target, out var observer) && observer.TryReceive(request))
        {
            return;
        }

        _observers.TryRemove(request.Target, out _);
        LogGone(silo.Log, request.GetMethodName(), request.Target);
    }

    /// <summary>Forgets those that were collected without having been deleted.</summary>
    private void Sweep()
    {
        foreach (var (id, observer) in _observers)
        {
            if (observer.Instance is null)
            {
                _observers.TryRemove(id, out _);
            }
        }
    }

    [LoggerMessage(121, LogLevel.Warning, "Call {Method} is dropped: observer {Observer} was deleted, or collected because nobody keeps it alive.")]
    private static partial void LogGone(ILogger logger, string method, GrainId observer);
}

/// <summary>One observer. Its calls run one at a time, outside of any grain.</summary>
internal sealed partial class Observer(Silo silo, GrainId id, IGrainObserver instance) : IRequestHost, IRequestTarget
{
    private readonly Lock _gate = new();
    private readonly WeakReference<IGrainObserver> _instance = new(instance);
    private readonly Queue<Request> _waiting = new();
    private readonly TaskScheduler _scheduler = silo.Executor.NewOffGrainScheduler();
    private bool _running;

    public object? Instance => _instance.TryGetTarget(out var target) ? target : null;

    public bool TryReceive(Request request)
    {
        if (Instance is null)
        {
            return false;
        }

        if (request.AlwaysInterleaves)
        {
            Run(() => RunAsync(request));
            return true;
        }

        lock (_gate)
        {
            if (silo.Messaging.MaxEnqueuedRequestsHardLimit is > 0 and var limit && _waiting.Count >= limit)
            {
                request.Reject(new LimitExceededException("MaxEnqueuedRequests", _waiting.Count + 1, limit, id));
                return true;
            }

            _waiting.Enqueue(request);
            if (_running)
            {
                return true;
            }

            _running = true;
        }

        Run(RunAllAsync);
        return true;
    }

    public void Post(Action action) => Run(() =>
    {
        action();
        return Task.CompletedTask;
    });

    public void OnRequestFailed(Request request, Exception failure)
    {
        if (request.IsOneWay)
        {
            LogOneWayFailed(silo.Log, failure, request.GetMethodName(), id);
        }
    }

    private void Run(Func<Task> work) =>
        CleanFlow.Run(() => Task.Factory.StartNew(work, CancellationToken.None, TaskCreationOptions.DenyChildAttach, _scheduler));

    private async Task RunAllAsync()
    {
        while (Next() is { } request)
        {
            await RunAsync(request);
        }

        Request? Next()
        {
            lock (_gate)
            {
                _running = _waiting.TryDequeue(out var request);
                return request;
            }
        }
    }

    private async Task RunAsync(Request request)
    {
        if (request.IsAbandoned)
        {
            return;
        }

        RequestContext.Values = request.Context;
        if (request.Start(this) is { } outcome)
        {
            await outcome.ConfigureAwait(ConfigureAwaitOptions.ContinueOnCapturedContext | ConfigureAwaitOptions.SuppressThrowing);
            request.Finish(this, outcome);
        }
    }

    [LoggerMessage(122, LogLevel.Warning, "One-way call {Method} of observer {Observer} failed. Nobody waits for it.")]
    private static partial void LogOneWayFailed(ILogger logger, Exception failure, string method, GrainId observer);
}
