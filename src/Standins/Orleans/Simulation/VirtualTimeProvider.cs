// SPDX-License-Identifier: Apache-2.0
namespace Orleans.Standins;

/// <summary>
/// A clock that stands still until it is moved. Timers, and what is built on them such as <c>Task.Delay(span, provider)</c>, fire while it is
/// moved, on the mover's thread, in the order of their due times. Thread-safe.
/// </summary>
public sealed class VirtualTimeProvider : TimeProvider
{
    private readonly Lock _gate = new();
    private readonly PriorityQueue<(VirtualTimer Timer, long Arming), (long Due, long Number)> _due = new();
    private readonly DateTimeOffset _start;
    private long _now;
    private long _lastNumber;

    /// <summary>A clock that shows midnight, 1 January 2026 UTC.</summary>
    public VirtualTimeProvider()
        : this(new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero))
    {
    }

    /// <summary>A clock that shows <paramref name="start"/>.</summary>
    public VirtualTimeProvider(DateTimeOffset start) => _start = start;

    /// <summary>How far the clock has been moved.</summary>
    public TimeSpan Elapsed => TimeSpan.FromTicks(Volatile.Read(ref _now));

    /// <inheritdoc/>
    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    /// <inheritdoc/>
    public override TimeZoneInfo LocalTimeZone => TimeZoneInfo.Utc;

    /// <inheritdoc/>
    public override long GetTimestamp() => Volatile.Read(ref _now);

    /// <inheritdoc/>
    public override DateTimeOffset GetUtcNow() => _start + Elapsed;

    /// <inheritdoc/>
    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        ArgumentNullException.ThrowIfNull(callback);
        var timer = new VirtualTimer(this, callback, state);
        timer.Change(dueTime, period);
        return timer;
    }

    /// <summary>Moves the clock, firing timers as they fall due.</summary>
    /// <param name="span">Zero or more.</param>
    public void Advance(TimeSpan span)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(span, TimeSpan.Zero);
        var end = GetTimestamp() + span.Ticks;
        while (FireNext(end))
        {
        }

        lock (_gate)
        {
            _now = Math.Max(_now, end);
        }
    }

    /// <summary>Moves the clock to the next timer that is due no later than <paramref name="latest"/> and fires that one.</summary>
    /// <returns>False when there is none; the clock then stands where it stood.</returns>
    internal bool FireNext(long latest)
    {
        VirtualTimer timer;
        lock (_gate)
        {
            while (true)
            {
                if (!_due.TryPeek(out var next, out var at) || at.Due > latest)
                {
                    return false;
                }

                _due.Dequeue();
                if (next.Timer.IsArmed(next.Arming))
                {
                    timer = next.Timer;
                    _now = Math.Max(_now, at.Due);
                    timer.Rearm();
                    break;
                }
            }
        }

        timer.Fire();
        return true;
    }

    private sealed class VirtualTimer(VirtualTimeProvider clock, TimerCallback callback, object? state) : ITimer
    {
        private readonly ExecutionContext? _context = ExecutionContext.Capture();
        private TimeSpan _period = Timeout.InfiniteTimeSpan;
        private long _arming;
        private bool _disposed;

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(dueTime.Ticks, Timeout.InfiniteTimeSpan.Ticks, nameof(dueTime));
            ArgumentOutOfRangeException.ThrowIfLessThan(period.Ticks, Timeout.InfiniteTimeSpan.Ticks, nameof(period));
            lock (clock._gate)
            {
                if (_disposed)
                {
                    return false;
                }

                _period = period;
                Arm(dueTime);
                return true;
            }
        }

        public bool IsArmed(long arming) => _arming == arming;

        public void Rearm() => Arm(_period > TimeSpan.Zero ? _period : Timeout.InfiniteTimeSpan);

        public void Fire()
        {
            if (_context is null)
            {
                callback(state);
            }
            else
            {
                ExecutionContext.Run(_context, static self => ((VirtualTimer)self!).Call(), this);
            }
        }

        public void Dispose()
        {
            lock (clock._gate)
            {
                _disposed = true;
                _arming = 0;
            }
        }

        public ValueTask DisposeAsync()
        {
            Dispose();
            return default;
        }

        private void Call() => callback(state);

        private void Arm(TimeSpan dueTime)
        {
            // An earlier entry of this timer stays in the queue and is passed over when its turn comes.
            _arming = dueTime == Timeout.InfiniteTimeSpan ? 0 : ++clock._lastNumber;
            if (_arming != 0)
            {
                clock._due.Enqueue((this, _arming), (clock._now + dueTime.Ticks, _arming));
            }
        }
    }
}
