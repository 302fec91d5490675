using System.Collections.Concurrent;

namespace Federation.NodeAgent.Engines.Builtin;

/// <summary>
/// The engine's own threads. Generation on the thread pool would take every worker of it, and the agent's heartbeats and cancellations would
/// wait for tokens. Work is done in the order it came.
/// </summary>
internal sealed class ComputeThreads(int count) : TaskScheduler, IDisposable
{
    private readonly BlockingCollection<Task> _work = [];
    private int _started;

    public override int MaximumConcurrencyLevel => count;

    /// <summary>Does a piece of work on one of the threads.</summary>
    public Task<T> RunAsync<T>(Func<T> piece, CancellationToken cancellationToken) =>
        Task.Factory.StartNew(piece, cancellationToken, TaskCreationOptions.DenyChildAttach, this);

    /// <summary>Lets the threads end once the work that is there is done.</summary>
    public void Dispose() => _work.CompleteAdding();

    protected override void QueueTask(Task task)
    {
        _work.Add(task);
        if (Volatile.Read(ref _started) < count && Interlocked.Increment(ref _started) <= count)
        {
            new Thread(Work) { IsBackground = true, Name = "builtin engine", Priority = ThreadPriority.BelowNormal }.Start();
        }
    }

    protected override bool TryExecuteTaskInline(Task task, bool taskWasPreviouslyQueued) => false;

    protected override IEnumerable<Task> GetScheduledTasks() => _work.ToArray();

    private void Work()
    {
        foreach (var task in _work.GetConsumingEnumerable())
        {
            TryExecuteTask(task);
        }
    }
}
