// SPDX-License-Identifier: Apache-2.0
using Orleans.Runtime;

namespace Orleans.Activations;

/// <summary>
/// The turns of one activation, run one at a time in the order they were queued. It is the activation's task scheduler, so what grain code
/// awaits resumes as another turn of the same activation.
/// </summary>
internal sealed class TurnQueue : TaskScheduler, IThreadPoolWorkItem
{
    private static readonly object PumpTurn = new();
    private static readonly Action<object?> RunPump = static pump => ((Action)pump!)();

    [ThreadStatic]
    private static TurnQueue? _running;

    private readonly Lock _gate = new();
    private readonly Queue<object> _turns = new();
    private readonly ITurnExecutor _executor;
    private readonly IGrainContext? _owner;
    private readonly Action? _pump;
    private readonly TimeSpan _quantum;
    private readonly string? _name;
    private bool _scheduled;
    private bool _pumpQueued;

    /// <summary>The turns of an activation.</summary>
    /// <param name="executor">Runs them.</param>
    /// <param name="owner">The activation.</param>
    /// <param name="pump">Run by a turn of <see cref="QueuePump"/>.</param>
    /// <param name="quantum">How long a thread may be kept while others wait.</param>
    public TurnQueue(ITurnExecutor executor, IGrainContext owner, Action pump, TimeSpan quantum)
    {
        _executor = executor;
        _owner = owner;
        _pump = pump;
        _quantum = quantum;
    }

    /// <summary>The turns of code that belongs to no grain.</summary>
    public TurnQueue(ITurnExecutor executor, string name)
    {
        _executor = executor;
        _name = name;
        _quantum = TimeSpan.MaxValue;
    }

    /// <summary>Whose turns these are, in words.</summary>
    public string Name => _name ?? _owner!.GrainId.ToString();

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

        _executor.Schedule(this);
    }

    /// <summary>Runs turns until none is left or the quantum is used up.</summary>
    public void Execute()
    {
        var started = Environment.TickCount64;
        while (RunOne())
        {
            if (Environment.TickCount64 - started >= _quantum.TotalMilliseconds)
            {
                _executor.Schedule(this);
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

        _executor.Schedule(this);
    }

    protected override bool TryExecuteTaskInline(Task task, bool taskWasPreviouslyQueued) =>
        !taskWasPreviouslyQueued && _running == this && TryExecuteTask(task);

    protected override IEnumerable<Task> GetScheduledTasks()
    {
        lock (_gate)
        {
            return [.. _turns.OfType<Task>()];
        }
    }

    private void Run(object turn)
    {
        var previousContext = RuntimeContext.Enter(_owner);
        var previousQueue = _running;
        _running = this;
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
                new Task(RunPump, _pump, CancellationToken.None, TaskCreationOptions.DenyChildAttach).RunSynchronously(this);
            }
        }
        finally
        {
            _running = previousQueue;
            RuntimeContext.Restore(previousContext);
        }
    }
}

/// <summary>Runs turn queues: on the thread pool, or on one thread in an order drawn from a seed.</summary>
internal interface ITurnExecutor
{
    /// <summary>
    /// How to make the sources of answers. On the thread pool, a caller's continuation must not run inside the turn that answers; in a simulation
    /// it never does, and a detour through the pool would leave the simulation's thread.
    /// </summary>
    TaskCreationOptions CompletionOptions { get; }

    /// <summary>The scheduler of code that belongs to no grain, such as an observer's.</summary>
    TaskScheduler NewOffGrainScheduler();

    /// <summary>Reorders what has no order of its own. Only a simulation does.</summary>
    void Shuffle<T>(List<T> items);

    /// <summary>Has <paramref name="queue"/> run soon. A queue is scheduled once until it has run dry.</summary>
    void Schedule(TurnQueue queue);
}

/// <summary>Runs turn queues on the thread pool.</summary>
internal sealed class ThreadPoolExecutor : ITurnExecutor
{
    public TaskCreationOptions CompletionOptions => TaskCreationOptions.RunContinuationsAsynchronously;

    public TaskScheduler NewOffGrainScheduler() => TaskScheduler.Default;

    public void Shuffle<T>(List<T> items)
    {
        // Kept as it came: the engine promises no more, and need do no more.
    }

    public void Schedule(TurnQueue queue) => ThreadPool.UnsafeQueueUserWorkItem(queue, preferLocal: true);
}
