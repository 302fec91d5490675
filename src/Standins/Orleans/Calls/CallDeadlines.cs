// SPDX-License-Identifier: Apache-2.0
using Orleans.Activations;

namespace Orleans.Calls;

/// <summary>
/// The calls that are being waited for, so that none is waited for too long. Most calls are answered within microseconds, so adding and
/// removing must be cheap: lists by thread, and one timer, set to the earliest deadline there was when it was last looked at.
/// </summary>
internal sealed class CallDeadlines : IDisposable
{
    private readonly Shard[] _shards;
    private readonly TimeProvider _time;
    private readonly ITimer _timer;
    private readonly Lock _arming = new();
    private long _armedFor = long.MaxValue;

    public CallDeadlines(TimeProvider time)
    {
        _time = time;
        _shards = new Shard[(int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)Environment.ProcessorCount)];
        for (var i = 0; i < _shards.Length; i++)
        {
            _shards[i] = new Shard();
        }

        _timer = CleanFlow.Run(() =>
            time.CreateTimer(static self => ((CallDeadlines)self!).ExpireDue(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan));
    }

    public void Add(AwaitedCall call, TimeSpan timeout)
    {
        call.Timeout = timeout;
        if (timeout == Timeout.InfiniteTimeSpan)
        {
            return;
        }

        call.Deadline = _time.GetTimestamp() + (long)(timeout.TotalSeconds * _time.TimestampFrequency);
        _shards[Environment.CurrentManagedThreadId & (_shards.Length - 1)].Add(call);
        if (call.Deadline < Volatile.Read(ref _armedFor))
        {
            Arm(call.Deadline);
        }
    }

    public static void Remove(AwaitedCall call) => Volatile.Read(ref call.Shard)?.Remove(call);

    public void Dispose() => _timer.Dispose();

    private void Arm(long deadline)
    {
        lock (_arming)
        {
            if (deadline >= _armedFor)
            {
                return;
            }

            _armedFor = deadline;
            var due = _time.GetElapsedTime(_time.GetTimestamp(), deadline);
            _timer.Change(due > TimeSpan.Zero ? due + TimeSpan.FromMilliseconds(1) : TimeSpan.Zero, Timeout.InfiniteTimeSpan);
        }
    }

    private void ExpireDue()
    {
        lock (_arming)
        {
            _armedFor = long.MaxValue;
        }

        var now = _time.GetTimestamp();
        var expired = new List<AwaitedCall>();
        var next = long.MaxValue;
        foreach (var shard in _shards)
        {
            next = Math.Min(next, shard.CollectExpired(now, expired));
        }

        if (next != long.MaxValue)
        {
            Arm(next);
        }

        expired.Sort(static (a, b) => a.Deadline.CompareTo(b.Deadline));
        foreach (var call in expired)
        {
            call.OnTimeout();
        }
    }

    internal sealed class Shard
    {
        private readonly Lock _gate = new();
        private AwaitedCall? _first;

        public void Add(AwaitedCall call)
        {
            lock (_gate)
            {
                call.Later = _first;
                if (_first is not null)
                {
                    _first.Earlier = call;
                }

                _first = call;
                call.Shard = this;
            }
        }

        public void Remove(AwaitedCall call)
        {
            lock (_gate)
            {
                if (call.Shard is null)
                {
                    return;
                }

                if (call.Earlier is null)
                {
                    _first = call.Later;
                }
                else
                {
                    call.Earlier.Later = call.Later;
                }

                if (call.Later is not null)
                {
                    call.Later.Earlier = call.Earlier;
                }

                call.Earlier = call.Later = null;
                call.Shard = null;
            }
        }

        /// <summary>Adds what is past its deadline to <paramref name="expired"/>.</summary>
        /// <returns>The earliest deadline among the others.</returns>
        public long CollectExpired(long now, List<AwaitedCall> expired)
        {
            var next = long.MaxValue;
            lock (_gate)
            {
                for (var call = _first; call is not null; call = call.Later)
                {
                    if (call.Deadline <= now)
                    {
                        expired.Add(call);
                    }
                    else
                    {
                        next = Math.Min(next, call.Deadline);
                    }
                }
            }

            return next;
        }
    }
}
