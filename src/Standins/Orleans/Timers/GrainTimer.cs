// SPDX-License-Identifier: Apache-2.0
using System.Reflection;
using Microsoft.Extensions.Logging;
using Orleans.Activations;
using Orleans.CodeGeneration;
using Orleans.Runtime;

namespace Orleans.Timers;

internal sealed class TimerRegistry : ITimerRegistry
{
    public IGrainTimer RegisterGrainTimer<TState>(IGrainContext grainContext, Func<TState, CancellationToken, Task> callback, TState state, GrainTimerCreationOptions options)
    {
        ArgumentNullException.ThrowIfNull(callback);
        if (RuntimeContext.Current is null)
        {
            throw new InvalidOperationException("A grain timer was registered outside of the grain's turns. Was Task.Run or ConfigureAwait(false) used?");
        }

        return RuntimeContext.Current == grainContext
            ? GrainTimer.Start((Activation)grainContext, callback, state, options)
            : throw new InvalidOperationException("A grain timer was registered for another grain than the one whose turn is running.");
    }
}

/// <summary>A timer of an activation. Each tick is a request to the activation; the next is set when a tick has ended.</summary>
internal abstract partial class GrainTimer : IGrainTimer
{
    private static readonly MethodInfo TickMethod = typeof(GrainTimer).GetMethod(nameof(TickAsync), BindingFlags.Instance | BindingFlags.NonPublic)!;

    private readonly Activation _activation;
    private readonly GrainTimerCreationOptions _options;
    private readonly CancellationTokenSource _disposed = new();
    private readonly ITimer _timer;
    private TimeSpan _dueTime;
    private TimeSpan _period;
    private bool _ticking;
    private bool _changed;

    protected GrainTimer(Activation activation, GrainTimerCreationOptions options)
    {
        Validate(options.DueTime, nameof(options.DueTime));
        Validate(options.Period, nameof(options.Period));
        _activation = activation;
        _options = options;
        _timer = CleanFlow.Run(() => activation.Silo.Time.CreateTimer(
            static self => ((GrainTimer)self!).RequestTick(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan));
    }

    public static GrainTimer Start<TState>(Activation activation, Func<TState, CancellationToken, Task> callback, TState state, GrainTimerCreationOptions options)
    {
        var timer = new CallbackTimer<TState>(activation, callback, state, options);
        activation.AddTimer(timer);
        timer.Change(options.DueTime, options.Period);
        return timer;
    }

    public void Change(TimeSpan dueTime, TimeSpan period)
    {
        Validate(dueTime, nameof(dueTime));
        Validate(period, nameof(period));
        _changed = true;
        _dueTime = dueTime;
        _period = period;
        if (!_ticking)
        {
            Set(dueTime);
        }
    }

    public void Dispose()
    {
        if (_disposed.IsCancellationRequested)
        {
            return;
        }

        _disposed.Cancel();
        _timer.Dispose();
        _activation.RemoveTimer(this);
    }

    protected abstract Task TickAsync(CancellationToken token);

    private static void Validate(TimeSpan span, string name)
    {
        const uint longestMilliseconds = 0xfffffffe;
        var milliseconds = (long)span.TotalMilliseconds;
        ArgumentOutOfRangeException.ThrowIfLessThan(milliseconds, -1, name);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(milliseconds, longestMilliseconds, name);
    }

    private void RequestTick()
    {
        _ticking = true;
        _activation.TryReceive(new Tick(this, _options));
    }

    private void Set(TimeSpan dueTime)
    {
        if (!_disposed.IsCancellationRequested)
        {
            _timer.Change(dueTime, Timeout.InfiniteTimeSpan);
        }
    }

    private void OnTicked(Task outcome)
    {
        if (outcome.IsFaulted)
        {
            LogTickFailed(_activation.Silo.Log, outcome.Exception!.GetBaseException(), _activation);
        }

        _ticking = false;
        Set(_changed ? _dueTime : _period);
    }

    [LoggerMessage(131, LogLevel.Warning, "A timer callback of {Activation} failed. The timer goes on.")]
    private static partial void LogTickFailed(ILogger logger, Exception failure, Activation activation);

    private sealed class CallbackTimer<TState>(Activation activation, Func<TState, CancellationToken, Task> callback, TState state, GrainTimerCreationOptions options)
        : GrainTimer(activation, options)
    {
        protected override Task TickAsync(CancellationToken token) => callback(state, token);
    }

    private sealed class Tick(GrainTimer timer, GrainTimerCreationOptions options)
        : Request(timer._activation.GrainId, options.Interleave ? InvokeMethodOptions.AlwaysInterleave : InvokeMethodOptions.None, null)
    {
        public override bool IsLocal => true;

        public override bool KeepsActive => options.KeepAlive;

        public override bool IsAbandoned => timer._disposed.IsCancellationRequested;

        public override Task? Start(IRequestHost host)
        {
            timer._changed = false;
            Task outcome;
            try
            {
                outcome = timer.TickAsync(timer._disposed.Token) ?? Task.CompletedTask;
            }
            catch (Exception failure)
            {
                outcome = Task.FromException(failure);
            }

            if (!outcome.IsCompleted)
            {
                return outcome;
            }

            timer.OnTicked(outcome);
            return null;
        }

        public override void Finish(IRequestHost host, Task outcome) => timer.OnTicked(outcome);

        public override void Reject(Exception reason)
        {
            // The activation never came to be; its timers are disposed.
        }

        public override string GetMethodName() => nameof(TickAsync);

        public override MethodInfo GetMethod() => TickMethod;

        public override Type GetInterfaceType() => typeof(IGrainTimer);
    }
}
