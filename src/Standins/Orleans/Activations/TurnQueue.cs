// SPDX-License-Identifier: Apache-2.0
using Orleans.Runtime;

namespace Orleans.Activations;

/// <summary>
/// The turns of one activation, run one at a time in the order they were queued. It is the activation's task scheduler, so what grain code
/// awaits resumes as another turn of the same activation.
/// </summary>
internal sealed class TurnQueue(ITurnExecutor executor, IGrainContext? owner, Action? pump, TimeSpan quantum) : TaskScheduler, IThreadPoolWorkItem
{
    private static readonly object PumpTurn = new();
    private static readonly Action<object?> RunPump = static pump => ((Action)pump!)();

    private readonly Lock _gate = new();
    private readonly Queue<object> _turns = new();
    private bool _scheduled;
    private bool _pumpQueued;

    /// <summary>Whose turns these are; null for code outside of grains.</summary>
    public IGrainContext? Owner => owner;

    public override int MaximumConcurrencyLevel => 1;

    /// <summary>Queues a turn that runs the pump, unless one is queued already.</summary>
    public void QueuePump()
    {
        lock (_gate)
        {
            if (_pumpQueued)
            {
                return;
            }

            _pumpQueued = true;
            _turns.Enqueue(PumpTurn);
            if (_scheduled)
            {
                return;
            }

            _scheduled = true;
        }

        executor.Schedule(this);
    }

    /// <summary>Runs turns until none is left or the quantum is used up.</summary>
    public void Execute()
    {
        var started = Environment.TickCount64;
        while (RunOne())
        {
            if (Environment.TickCount64 - started >= quantum.TotalMilliseconds)
            {
                executor.Schedule(this);
                return;
            }
        }
    }

    /// <summary>Runs the first turn.</summary>
    /// <returns>Whether there are more; if not, the queue is off the executor until it is scheduled again.</returns>
    public bool RunOne()
    {
        object? turn;
        lock (_gate)
        {
            if (_turns.TryDequeue(out turn) && ReferenceEquals(turn, PumpTurn))
            {
                _pumpQueued = false;
            }
        }

        if (turn is not null)
        {
            Run(turn);
        }

        lock (_gate)
        {
            return _scheduled = _turns.Count > 0;
        }
    }

    protected override void QueueTask(Task task)
    {
        lock (_gate)
        {
            _turns.Enqueue(task);
            if (_scheduled)
            {
                return;
            }

            _scheduled = true;
        }

        executor.Schedule(this);
    }

    protected override bool TryExecuteTaskInline(Task task, bool taskWasPreviouslyQueued) =>
        !taskWasPreviouslyQueued && Current == this && TryExecuteTask(task);

    protected override IEnumerable<Task> GetScheduledTasks()
    {
        lock (_gate)
        {
            return [.. _turns.OfType<Task>()];
        }
    }

    [ThreadStatic]
    private static TurnQueue? s_running;

    private static new TurnQueue? Current => s_running;

    private void Run(object turn)
    {
        var previousContext = RuntimeContext.Enter(owner);
        var previousQueue = s_running;
        s_running = this;
        try
        {
            if (turn is Task task)
            {
                TryExecuteTask(task);
            }
            else
            {
                // A task only because the code in it must see this queue as the current scheduler. Made here, where no request's
                // execution context is around that it could capture.
                new Task(RunPump, pump, CancellationToken.None, TaskCreationOptions.DenyChildAttach).RunSynchronously(this);
            }
        }
        finally
        {
            s_running = previousQueue;
            RuntimeContext.Restore(previousContext);
        }
    }
}

/// <summary>Runs turn queues: on the thread pool, or on one thread in an order drawn from a seed.</summary>
internal interface ITurnExecutor
{
    /// <summary>The scheduler of code that belongs to no grain, such as an observer's.</summary>
    TaskScheduler NewOffGrainScheduler();

    /// <summary>Has <paramref name="queue"/> run soon. A queue is scheduled once until it has run dry.</summary>
    void Schedule(TurnQueue queue);
}

/// <summary>Runs turn queues on the thread pool.</summary>
internal sealed class ThreadPoolExecutor : ITurnExecutor
{
    public TaskScheduler NewOffGrainScheduler() => TaskScheduler.Default;

    public void Schedule(TurnQueue queue) => ThreadPool.UnsafeQueueUserWorkItem(queue, preferLocal: true);
}
