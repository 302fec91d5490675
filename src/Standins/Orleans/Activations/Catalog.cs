// SPDX-License-Identifier: Apache-2.0
using System.Collections.Concurrent;
using Orleans.Runtime;

namespace Orleans.Activations;

/// <summary>Whom an activation tells that it has ended, and who passes on what still waited in it.</summary>
internal interface IActivationOwner
{
    void OnEnded(Activation activation);

    void Forward(Request request);
}

/// <summary>The activations of the silo, made when a request comes for a grain that has none.</summary>
internal sealed class Catalog(Silo silo) : IActivationOwner
{
    private readonly ConcurrentDictionary<GrainId, IRequestTarget> _targets = new();

    private long _lastNumber;

    /// <summary>All activations there are, oldest first.</summary>
    public IEnumerable<Activation> Activations => Unordered.OrderBy(activation => activation.Number);

    private IEnumerable<Activation> Unordered => _targets.Values.SelectMany(target => target switch
    {
        Activation activation => [activation],
        WorkerPool pool => pool.Workers,
        _ => Enumerable.Empty<Activation>(),
    });

    /// <summary>Hands a request to its target.</summary>
    public void Send(Request request)
    {
        while (true)
        {
            if (!_targets.TryGetValue(request.Target, out var target))
            {
                if (silo.WhyClosed is { } reason)
                {
                    request.Reject(reason);
                    return;
                }

                if (silo.Classes.Find(request.Target.Type) is not { } grainClass)
                {
                    request.Reject(new ArgumentException($"Could not find an implementation for grain type {request.Target.Type}."));
                    return;
                }

                target = _targets.GetOrAdd(request.Target, NewTarget, grainClass);
            }

            if (target.TryReceive(request))
            {
                return;
            }

            _targets.TryRemove(KeyValuePair.Create(request.Target, target));
        }
    }

    public long NextNumber() => Interlocked.Increment(ref _lastNumber);

    public void OnEnded(Activation activation) =>
        _targets.TryRemove(KeyValuePair.Create(activation.GrainId, (IRequestTarget)activation));

    public void Forward(Request request) => Send(request);

    private IRequestTarget NewTarget(GrainId id, GrainClass grainClass) => grainClass.StatelessWorker is { } workers
        ? new WorkerPool(silo, grainClass, id, workers.MaxLocalWorkers)
        : new Activation(silo, grainClass, id, this);
}

/// <summary>The activations of one stateless-worker id. A request goes to a free one, a new one, or the least busy.</summary>
internal sealed class WorkerPool(Silo silo, GrainClass grainClass, GrainId id, int maxWorkers) : IRequestTarget, IActivationOwner
{
    private readonly Lock _gate = new();
    private readonly List<Activation> _workers = [];

    public IReadOnlyList<Activation> Workers
    {
        get
        {
            lock (_gate)
            {
                return [.. _workers];
            }
        }
    }

    public bool TryReceive(Request request)
    {
        while (Choose() is { } worker)
        {
            if (worker.TryReceive(request))
            {
                return true;
            }

            // The chosen one ended in between.
            OnEnded(worker);
        }

        request.Reject(silo.WhyClosed ?? new SiloUnavailableException());
        return true;
    }

    public void OnEnded(Activation activation)
    {
        lock (_gate)
        {
            _workers.Remove(activation);
        }
    }

    public void Forward(Request request) => TryReceive(request);

    /// <returns>Null when there is none and no more are made.</returns>
    private Activation? Choose()
    {
        lock (_gate)
        {
            var best = _workers.MinBy(worker => worker.Load);
            if (silo.WhyClosed is not null || (best is not null && (best.Load == 0 || _workers.Count == maxWorkers)))
            {
                return best;
            }

            var worker = new Activation(silo, grainClass, id, this);
            _workers.Add(worker);
            return worker;
        }
    }
}
