using Federation.Protocol.Machine;

namespace Federation.NodeAgent.Compute;

/// <summary>
/// Threads that share one piece of work at a time, as many as there are cores. Not the thread pool's, on which heartbeats would wait for a challenge, and with the weakest claim to a
/// core that there is, so that a client's answer does not wait for one. Between two pieces they wait for each other, which takes microseconds; a challenge has thousands of pieces.
/// </summary>
/// <remarks>One caller at a time.</remarks>
internal sealed class ComputeTeam : IDisposable
{
    private readonly Barrier _barrier;
    private Action<int> _work = static _ => { };
    private CancellationToken _cancellation;
    private Exception? _failure;
    private int _count;
    private int _next;
    private bool _disposed;

    /// <param name="threads">Threads that work; by default all cores.</param>
    public ComputeTeam(int threads = 0)
    {
        Threads = threads > 0 ? threads : Environment.ProcessorCount;
        _barrier = new Barrier(Threads + 1);
        for (var i = 0; i < Threads; i++) IdleThread.Start("challenge", Help);
    }

    /// <summary>Threads that work at once.</summary>
    public int Threads { get; }

    /// <summary>Does <paramref name="work"/> for 0 to <paramref name="count"/> − 1, in any order, on all threads, and returns when all of it is done.</summary>
    /// <exception cref="OperationCanceledException">It was cancelled; what had begun was finished.</exception>
    public void ForEach(int count, Action<int> work, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        (_work, _count, _next, _cancellation, _failure) = (work, count, 0, cancellationToken, null);
        _barrier.SignalAndWait(CancellationToken.None);
        _barrier.SignalAndWait(CancellationToken.None);
        _work = static _ => { };
        if (_failure is { } failure) throw new InvalidOperationException("A thread of the team failed.", failure);
        cancellationToken.ThrowIfCancellationRequested();
    }

    /// <summary>Lets the threads end.</summary>
    public void Dispose()
    {
        if (_disposed) return;
        _disposed = true;
        _barrier.SignalAndWait();
    }

    private void Help()
    {
        while (true)
        {
            _barrier.SignalAndWait();
            if (_disposed) return;
            Drain();
            _barrier.SignalAndWait();
        }
    }

    private void Drain()
    {
        while (!_cancellation.IsCancellationRequested && Volatile.Read(ref _failure) is null && Interlocked.Increment(ref _next) - 1 is var i && i < _count)
        {
            try
            {
                _work(i);
            }
            catch (Exception exception)
            {
                // The others stop too, and the caller is told.
                Interlocked.CompareExchange(ref _failure, exception, null);
            }
        }
    }
}
