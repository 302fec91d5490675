// SPDX-License-Identifier: Apache-2.0
using Microsoft.Extensions.DependencyInjection;
using Orleans.Runtime;

namespace Orleans.Activations;

internal sealed partial class Activation
{
    private bool _isActivating;

    private async Task ActivateAsync()
    {
        _isActivating = true;
        Exception? failure = null;
        using (var timeout = new CancellationTokenSource(_silo.Collection.ActivationTimeout, _silo.Time))
        {
            try
            {
                await MakeGrainAsync(timeout.Token);
            }
            catch (Exception activationFailure)
            {
                failure = activationFailure;
            }
        }

        _isActivating = false;
        if (failure is null)
        {
            lock (_gate)
            {
                _phase = _phase == Phase.Activating ? Phase.Active : _phase;
                _waiting.Shuffle(_silo.Executor);
            }

            Turns.QueuePump();
            return;
        }

        LogActivationFailed(_silo.Log, failure, this);
        _activationFailure = failure;
        lock (_gate)
        {
            _phase = Phase.Deactivating;
            _endingStarted = true;
            _reason = new DeactivationReason(DeactivationReasonCode.ActivationFailed, failure, "Failed to activate grain.");
        }

        await EndAsync();
    }

    private async Task MakeGrainAsync(CancellationToken token)
    {
        _scope = _silo.Services.CreateAsyncScope();
        GrainInstance = Class.Create(this);
        if (GrainInstance is ILifecycleParticipant<IGrainLifecycle> participant)
        {
            participant.Participate(_lifecycle);
        }

        await _lifecycle.StartAsync(token);
        if (GrainInstance is IGrainBase grain)
        {
            await grain.OnActivateAsync(token).WaitAsync(token);
        }
    }

    /// <summary>Ends this life: no request runs here and none will. What waits goes to the next life, or fails if this one never was.</summary>
    private async Task EndAsync()
    {
        using (var timeout = new CancellationTokenSource(_silo.Collection.DeactivationTimeout, _silo.Time))
        {
            foreach (var timer in _timers.ToArray())
            {
                timer.Dispose();
            }

            if (_activationFailure is null && GrainInstance is IGrainBase grain)
            {
                await AttemptAsync(() => grain.OnDeactivateAsync(_reason, timeout.Token).WaitAsync(timeout.Token));
            }

            await AttemptAsync(() => _lifecycle.StopAsync(failure => LogEndFailed(_silo.Log, failure, this), timeout.Token));
            await AttemptAsync(() => _enumerations?.DisposeAsync().AsTask() ?? Task.CompletedTask);
            await AttemptAsync(DisposeGrainAsync);
        }

        List<Request> waiting;
        lock (_gate)
        {
            _phase = Phase.Ended;
            waiting = _waiting.TakeAll();
        }

        _owner.OnEnded(this);
        foreach (var request in waiting)
        {
            if (_activationFailure is { } failure)
            {
                request.Reject(failure);
            }
            else if (!request.IsLocal)
            {
                _owner.Forward(request);
            }
        }

        _ended.TrySetResult();
    }

    private async Task DisposeGrainAsync()
    {
        switch (GrainInstance)
        {
            case IAsyncDisposable disposable:
                await disposable.DisposeAsync();
                break;
            case IDisposable disposable:
                disposable.Dispose();
                break;
        }

        if (_scope is { } scope)
        {
            await scope.DisposeAsync();
        }
    }

    private async Task AttemptAsync(Func<Task> step)
    {
        try
        {
            await step();
        }
        catch (Exception failure)
        {
            LogEndFailed(_silo.Log, failure, this);
        }
    }
}
