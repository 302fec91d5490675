// SPDX-License-Identifier: Apache-2.0
using System.Reflection;
using Orleans.Activations;
using Orleans.CodeGeneration;
using Orleans.Runtime;

namespace Orleans.Calls;

/// <summary>A call of an interface method.</summary>
internal abstract class MethodCall(GrainId target, GrainMethod method, InvokeMethodOptions options, object?[] arguments)
    : Request(target, options, RequestContext.Values)
{
    protected GrainMethod GrainMethod => method;

    protected object?[] Arguments => arguments;

    public override int GetArgumentCount() => arguments.Length;

    public override object? GetArgument(int index) => arguments[index];

    public override string GetMethodName() => method.Method.Name;

    public override MethodInfo GetMethod() => method.Method;

    public override Type GetInterfaceType() => method.Method.DeclaringType!;

    public override string ToString() => $"{GetInterfaceType().Name}.{GetMethodName()} of {Target}";

    public override Task? Start(IRequestHost host)
    {
        Task outcome;
        try
        {
            outcome = Invoke(host);
        }
        catch (Exception failure)
        {
            outcome = Task.FromException(failure);
        }

        if (!outcome.IsCompleted)
        {
            return outcome;
        }

        Finish(host, outcome);
        return null;
    }

    /// <summary>The failure that a task that ended otherwise than well tells of.</summary>
    protected static Exception FailureOf(Task outcome) => outcome.IsCanceled
        ? new TaskCanceledException(outcome)
        : outcome.Exception!.InnerExceptions[0];

    /// <summary>Runs the call.</summary>
    protected virtual Task Invoke(IRequestHost host) => InvokeOn(host);

    protected virtual Task InvokeOn(IRequestHost host)
    {
        var instance = host.Instance ?? throw new ObjectDisposedException(Target.ToString());
        return (Task?)method.InvokeOn(instance, arguments)
            ?? throw new InvalidOperationException($"{this} returned null instead of a task.");
    }
}

/// <summary>A call whose caller does not wait.</summary>
internal sealed class OneWayCall(GrainId target, GrainMethod method, object?[] arguments) : MethodCall(target, method, method.Options, arguments)
{
    public override void Finish(IRequestHost host, Task outcome)
    {
        if (!outcome.IsCompletedSuccessfully)
        {
            host.OnRequestFailed(this, FailureOf(outcome));
        }
    }

    public override void Reject(Exception reason)
    {
        // Nobody waits; who rejects has logged why.
    }
}

/// <summary>A call whose caller waits, no longer than its timeout.</summary>
internal abstract class AwaitedCall(GrainId target, GrainMethod method, InvokeMethodOptions options, object?[] arguments)
    : MethodCall(target, method, options, arguments)
{
    /// <summary>Neighbours in the list of <see cref="CallDeadlines"/>.</summary>
    internal AwaitedCall? Earlier;

    /// <inheritdoc cref="Earlier"/>
    internal AwaitedCall? Later;

    /// <summary>The list it is in; null when in none.</summary>
    internal CallDeadlines.Shard? Shard;

    /// <summary>When the caller stops waiting, as a timestamp of the silo's clock.</summary>
    public long Deadline { get; set; }

    public TimeSpan Timeout { get; set; }

    /// <summary>The caller has waited long enough.</summary>
    public abstract void OnTimeout();
}

/// <summary>A call and the answer its caller waits for.</summary>
/// <typeparam name="TResult">The result; <see cref="object"/> for none.</typeparam>
internal class GrainCall<TResult> : AwaitedCall
{
    private readonly TaskCompletionSource<TResult> _answer;
    private readonly Silo _silo;
    private readonly CancellationToken _callerToken;
    private readonly CancellationTokenSource? _cancellation;
    private CancellationTokenRegistration _callerCancels;
    private IRequestHost? _host;
    private bool _cancelled;

    /// <summary>A call of a method, with the token among its arguments, if any.</summary>
    protected GrainCall(GrainReference target, GrainMethod method, object?[] arguments)
        : base(target.GrainId, method, method.Options, arguments)
    {
        _silo = target.Silo;
        _answer = new TaskCompletionSource<TResult>(_silo.Executor.CompletionOptions);
        if (method.TokenIndex >= 0)
        {
            // The grain gets a token of its own, so that what hangs on it runs in the grain's turns.
            _cancellation = new CancellationTokenSource();
            _callerToken = (CancellationToken)arguments[method.TokenIndex]!;
            arguments[method.TokenIndex] = _cancellation.Token;
        }
    }

    /// <summary>A call on behalf of a method, with its own way to run and to be cancelled.</summary>
    protected GrainCall(GrainReference target, GrainMethod method, InvokeMethodOptions options, CancellationToken callerToken)
        : base(target.GrainId, method, options, [])
    {
        _silo = target.Silo;
        _answer = new TaskCompletionSource<TResult>(_silo.Executor.CompletionOptions);
        _callerToken = callerToken;
        _cancellation = callerToken.CanBeCanceled ? new CancellationTokenSource() : null;
    }

    public override bool IsAbandoned => _answer.Task.IsCompleted && _silo.Messaging.DropExpiredMessages;

    /// <summary>Cancelled in the grain's turns when the caller cancels, or waits no longer.</summary>
    protected CancellationToken Cancellation => _cancellation?.Token ?? CancellationToken.None;

    public static Task<TResult> Send(GrainReference target, GrainMethod method, object?[] arguments) =>
        new GrainCall<TResult>(target, method, arguments).Send();

    public override void Finish(IRequestHost host, Task outcome)
    {
        if (outcome.IsCompletedSuccessfully)
        {
            Answered();
            _answer.TrySetResult(outcome is Task<TResult> typed ? typed.Result : default!);
            return;
        }

        var failure = FailureOf(outcome);
        host.OnRequestFailed(this, failure);
        Reject(failure);
    }

    public override void Reject(Exception reason)
    {
        Answered();
        if (reason is OperationCanceledException cancelled)
        {
            _answer.TrySetCanceled(cancelled.CancellationToken);
        }
        else
        {
            _answer.TrySetException(reason);
        }
    }

    public override void OnTimeout()
    {
        if (!_answer.TrySetException(new TimeoutException($"Response did not arrive on time in {Timeout} for message: {this}.")))
        {
            return;
        }

        Answered();
        if (_silo.Messaging.CancelRequestOnTimeout)
        {
            CancelInGrain();
        }
    }

    /// <summary>Sends the call on its way.</summary>
    protected Task<TResult> Send()
    {
        if (_callerToken.IsCancellationRequested)
        {
            return Task.FromCanceled<TResult>(_callerToken);
        }

        _silo.Deadlines.Add(this, GrainMethod.Timeout ?? _silo.ResponseTimeout);
        if (_callerToken.CanBeCanceled)
        {
            _callerCancels = _callerToken.UnsafeRegister(static call => ((GrainCall<TResult>)call!).OnCallerCancels(), this);
        }

        _silo.Send(this);
        return _answer.Task;
    }

    protected override Task Invoke(IRequestHost host)
    {
        if (_cancellation is not null)
        {
            // Full fences on both sides: either the canceller sees the host, or this sees the cancellation.
            Interlocked.Exchange(ref _host, host);
            if (Volatile.Read(ref _cancelled))
            {
                _cancellation.Cancel();
            }
        }

        return base.Invoke(host);
    }

    private void OnCallerCancels()
    {
        if (!_silo.Messaging.WaitForCancellationAcknowledgement)
        {
            if (!_answer.TrySetCanceled(_callerToken))
            {
                return;
            }

            Answered();
        }

        CancelInGrain();
    }

    private void CancelInGrain()
    {
        if (_cancellation is not null)
        {
            Interlocked.Exchange(ref _cancelled, true);
            Volatile.Read(ref _host)?.Post(_cancellation.Cancel);
        }
    }

    private void Answered()
    {
        CallDeadlines.Remove(this);
        _callerCancels.Dispose();
    }
}
