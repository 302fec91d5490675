// SPDX-License-Identifier: Apache-2.0
using System.Diagnostics.CodeAnalysis;
using Orleans.Runtime;

namespace Orleans.Runtime
{
    /// <summary>A timer of an activation. Disposing it stops it.</summary>
    public interface IGrainTimer : IDisposable
    {
        /// <summary>Sets when it ticks next; during a tick, after it.</summary>
        /// <param name="dueTime">Until the next tick; infinite for never.</param>
        /// <param name="period">From the end of a tick to the next; infinite for a single tick.</param>
        void Change(TimeSpan dueTime, TimeSpan period);
    }

    /// <summary>When a grain timer ticks and how ticks mix with calls.</summary>
    public readonly struct GrainTimerCreationOptions()
    {
        /// <summary>Ticks after <paramref name="dueTime"/> and then every <paramref name="period"/>.</summary>
        [SetsRequiredMembers]
        public GrainTimerCreationOptions(TimeSpan dueTime, TimeSpan period)
            : this()
        {
            DueTime = dueTime;
            Period = period;
        }

        /// <summary>Until the first tick; infinite for never, zero for at once.</summary>
        public required TimeSpan DueTime { get; init; }

        /// <summary>From the end of a tick to the next; infinite for a single tick.</summary>
        public required TimeSpan Period { get; init; }

        /// <summary>Whether a tick starts while calls of the grain are waiting for something. Default: it waits its turn as a call would.</summary>
        public bool Interleave { get; init; }

        /// <summary>Whether a tick counts as use, keeping the grain from being collected as idle. Default: it does not.</summary>
        public bool KeepAlive { get; init; }
    }
}

namespace Orleans.Timers
{
    /// <summary>Makes grain timers.</summary>
    public interface ITimerRegistry
    {
        /// <summary>Makes a timer of the activation whose turn is running.</summary>
        IGrainTimer RegisterGrainTimer<TState>(IGrainContext grainContext, Func<TState, CancellationToken, Task> callback, TState state, GrainTimerCreationOptions options);
    }
}
