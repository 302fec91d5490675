// SPDX-License-Identifier: Apache-2.0
namespace Orleans.Runtime;

/// <summary>The observers of a lifecycle, started stage by stage and stopped in reverse.</summary>
internal class Stages : ILifecycleObservable
{
    private readonly Lock _gate = new();
    private readonly List<Subscription> _subscriptions = [];

    public int HighestCompletedStage { get; private set; } = int.MinValue;

    public int LowestStoppedStage { get; private set; } = int.MaxValue;

    public IDisposable Subscribe(string observerName, int stage, ILifecycleObserver observer)
    {
        ArgumentNullException.ThrowIfNull(observer);
        var subscription = new Subscription(this, stage, observer);
        lock (_gate)
        {
            _subscriptions.Add(subscription);
        }

        return subscription;
    }

    public async Task StartAsync(CancellationToken token)
    {
        foreach (var stage in Snapshot().GroupBy(s => s.Stage).OrderBy(g => g.Key))
        {
            token.ThrowIfCancellationRequested();
            await Task.WhenAll(stage.Select(s => s.StartAsync(token)));
            HighestCompletedStage = stage.Key;
        }
    }

    /// <summary>Stops what was started, all of it, whatever fails on the way.</summary>
    public async Task StopAsync(Action<Exception> onFailure, CancellationToken token)
    {
        foreach (var stage in Snapshot().Where(s => s.Started).GroupBy(s => s.Stage).OrderByDescending(g => g.Key))
        {
            try
            {
                await Task.WhenAll(stage.Select(s => s.StopAsync(token)));
            }
            catch (Exception failure)
            {
                onFailure(failure);
            }

            LowestStoppedStage = stage.Key;
        }
    }

    private List<Subscription> Snapshot()
    {
        lock (_gate)
        {
            return [.. _subscriptions];
        }
    }

    private void Remove(Subscription subscription)
    {
        lock (_gate)
        {
            _subscriptions.Remove(subscription);
        }
    }

    private sealed class Subscription(Stages owner, int stage, ILifecycleObserver observer) : IDisposable
    {
        public int Stage => stage;

        public bool Started { get; private set; }

        public Task StartAsync(CancellationToken token)
        {
            Started = true;
            return observer.OnStart(token);
        }

        public Task StopAsync(CancellationToken token) => observer.OnStop(token);

        public void Dispose() => owner.Remove(this);
    }
}

internal sealed class GrainStages : Stages, IGrainLifecycle;

internal sealed class SiloStages : Stages, ISiloLifecycle;
