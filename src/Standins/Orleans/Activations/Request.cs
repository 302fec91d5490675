// SPDX-License-Identifier: Apache-2.0
using System.Collections.Immutable;
using System.Reflection;
using Orleans.CodeGeneration;
using Orleans.Runtime;
using Orleans.Serialization.Invocation;

namespace Orleans.Serialization.Invocation
{
    /// <summary>A call, as a <see cref="Concurrency.MayInterleaveAttribute"/> predicate sees it.</summary>
    public interface IInvokable
    {
        /// <summary>How many arguments it has.</summary>
        int GetArgumentCount();

        /// <summary>An argument, from 0.</summary>
        object? GetArgument(int index);

        /// <summary>The method's name.</summary>
        string GetMethodName();

        /// <summary>The interface's name.</summary>
        string GetInterfaceName();

        /// <summary>The method of the interface.</summary>
        MethodInfo GetMethod();

        /// <summary>The interface.</summary>
        Type GetInterfaceType();
    }
}

namespace Orleans.Activations
{
    /// <summary>Something an activation is asked to run.</summary>
    internal abstract class Request(GrainId target, InvokeMethodOptions options, ImmutableDictionary<string, object>? context) : IInvokable
    {
        /// <summary>The next in the queue of the activation this waits in.</summary>
        internal Request? Next;

        public GrainId Target => target;

        /// <summary>The caller's request context.</summary>
        public ImmutableDictionary<string, object>? Context => context;

        public bool AlwaysInterleaves => (options & InvokeMethodOptions.AlwaysInterleave) != 0;

        public bool IsReadOnly => (options & InvokeMethodOptions.ReadOnly) != 0;

        public bool IsOneWay => (options & InvokeMethodOptions.OneWay) != 0;

        /// <summary>The call chain it belongs to; empty for none.</summary>
        public Guid ReentrancyId { get; } = RequestContext.ReentrancyIdOf(context);

        /// <summary>Whether it may ever start before one that came earlier.</summary>
        public bool MayOvertake => AlwaysInterleaves || IsReadOnly || ReentrancyId != Guid.Empty;

        /// <summary>Whether it counts as use of the activation.</summary>
        public virtual bool KeepsActive => true;

        /// <summary>Whether it is meant for this activation alone and goes with it.</summary>
        public virtual bool IsLocal => false;

        /// <summary>Whether nobody waits for it any more, so that it need not be started.</summary>
        public virtual bool IsAbandoned => false;

        /// <summary>Starts it, in a turn of the activation.</summary>
        /// <returns>What to wait for; null when it is done. It does not throw.</returns>
        public abstract Task? Start(IRequestHost host);

        /// <summary>Ends it, in a turn of the activation, once what <see cref="Start"/> returned is done.</summary>
        public abstract void Finish(IRequestHost host, Task outcome);

        /// <summary>Ends it without having run.</summary>
        public abstract void Reject(Exception reason);

        public virtual int GetArgumentCount() => 0;

        public virtual object? GetArgument(int index) => throw new ArgumentOutOfRangeException(nameof(index));

        public abstract string GetMethodName();

        public virtual string GetInterfaceName() => GetInterfaceType().Name;

        public abstract MethodInfo GetMethod();

        public abstract Type GetInterfaceType();
    }

    /// <summary>What runs requests: an activation or an observer.</summary>
    internal interface IRequestHost
    {
        /// <summary>The object with the methods; null when it is gone.</summary>
        object? Instance { get; }

        /// <summary>Queues something to run where the requests run.</summary>
        void Post(Action action);

        /// <summary>Hears of the failure of a request, before the caller does.</summary>
        void OnRequestFailed(Request request, Exception failure);
    }

    /// <summary>Where requests for one grain id go.</summary>
    internal interface IRequestTarget
    {
        /// <summary>Takes a request.</summary>
        /// <returns>False when the target has ended; then another is to be found.</returns>
        bool TryReceive(Request request);
    }
}
