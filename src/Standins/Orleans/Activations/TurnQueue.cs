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
        if (TryQueuePump())
        {
            _executor.Schedule(this);
        }
    }

    /// <summary>Queues a turn that runs the pump, unless one is queued already.</summary>
    /// <returns>Whether the queue was at rest: then the caller must have it run, by <see cref="Start"/>, once it holds no lock.</returns>
    public bool TryQueuePump()
    {
        lock (_gate)
        {
            if (_pumpQueued)
            {
                return false;
            }

            _pumpQueued = true;
            _turns.Enqueue(PumpTurn);
            return !_scheduled && (_scheduled = true);
        }
    }

    /// <summary>Has a queue run that was at rest: its first turn here and now, where the caller's thread may be lent to it.</summary>
    public void Start()
    {
        if (_running is not null || !_executor.LendsThisThread)
        {
            _executor.Schedule(this);
            return;
        }

        // Nothing of the caller's flow is the grain's business.
        ExecutionContext.Run(CleanFlow.Context, static queue => ((TurnQueue)queue!).RunFirst(), this);
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

    /// <summary>Runs the first turn; those that came meanwhile run elsewhere, so that no caller works for others.</summary>
    private void RunFirst()
    {
        if (RunOne())
        {
            _executor.Schedule(this);
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

    /// <summary>
    /// Whether a caller that is no grain may run the turn that its call makes: a call that is answered at once then costs no change of thread. A simulation chooses itself what runs next.
    /// </summary>
    bool LendsThisThread { get; }

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

    /// <summary>Threads of the pool alone, and none that somebody's synchronization context would follow into the grain.</summary>
    public bool LendsThisThread => Thread.CurrentThread.IsThreadPoolThread && SynchronizationContext.Current is null;

    public void Schedule(TurnQueue queue) => ThreadPool.UnsafeQueueUserWorkItem(queue, preferLocal: true);
}
