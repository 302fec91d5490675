// SPDX-License-Identifier: Apache-2.0
using System.Runtime.ExceptionServices;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Orleans.Activations;
using Orleans.Hosting;

namespace Orleans.Standins;

/// <summary>
/// Runs every grain's turns, and the code that a test gives it, on one thread and on virtual time. Of all that could run next, what does is drawn
/// from the seed: the same seed gives the same interleaving, another seed most likely another. When nothing can run, the clock moves to
/// the next timer.
/// <para>
/// That holds as long as nothing leaves the thread: no <c>Task.Run</c>, no <c>ConfigureAwait(false)</c> on what is not done yet, no timers but those of
/// <see cref="Time"/>, no I/O, and no <c>WhenAll</c> or <c>WaitAsync</c> on a source that runs its continuations asynchronously, for these take the thread
/// pool to do so. A wake-up from another thread ends the run with an error, unless <see cref="ToleratesOtherThreads"/> is set.
/// </para>
/// </summary>
public sealed class DeterministicScheduler : ITurnExecutor
{
    private readonly Lock _gate = new();
    private readonly List<TurnQueue> _runnable = [];
    private readonly List<TurnQueue> _fromOthers = [];
    private readonly List<string> _trace = [];
    private Random _random;
    private readonly SemaphoreSlim _wokenUp = new(0);
    private readonly SemaphoreSlim _poolReached = new(0);
    private Thread? _thread;
    private Exception? _interference;
    private int _observers;

    /// <summary>A scheduler whose choices are drawn from <paramref name="seed"/>.</summary>
    public DeterministicScheduler(int seed)
    {
        Seed = seed;
        _random = new Random(seed);
    }

    /// <summary>What the choices are drawn from. Print it when a run fails.</summary>
    public int Seed { get; }

    /// <summary>The clock of the run.</summary>
    public VirtualTimeProvider Time { get; } = new();

    /// <summary>How many turns a run may take before it counts as endless. Default 5 million.</summary>
    public int MaxTurns { get; set; } = 5_000_000;

    /// <summary>How far a run may move the clock before it counts as stuck. Default 24 hours.</summary>
    public TimeSpan MaxTime { get; set; } = TimeSpan.FromHours(24);

    /// <summary>
    /// Whether other threads may wake what runs here. What they wake is held back until nothing else can run, and the clock is not moved before
    /// <see cref="Patience"/> has passed without such a wake-up. A run can then be repeated from its seed only as far as those threads take care of. Default false.
    /// </summary>
    public bool ToleratesOtherThreads { get; set; }

    /// <summary>How long, in real time, other threads are waited for where they are tolerated. Default 50 milliseconds.</summary>
    public TimeSpan Patience { get; set; } = TimeSpan.FromMilliseconds(50);

    /// <summary>Whether <see cref="Trace"/> is kept. Default false.</summary>
    public bool KeepsTrace { get; set; }

    /// <summary>The turns so far: whose each was, and at what time.</summary>
    public IReadOnlyList<string> Trace => _trace;

    /// <summary>How many turns have been run.</summary>
    public int Turns { get; private set; }

    /// <summary>Runs <paramref name="main"/>, and whatever else there is to run, until <paramref name="main"/> has ended. Blocks the caller.</summary>
    /// <exception cref="TimeoutException">It did not end within <see cref="MaxTime"/> or <see cref="MaxTurns"/>, or nothing can run that would end it.</exception>
    /// <exception cref="InvalidOperationException">Another thread interfered, or the scheduler is running already.</exception>
    public void Run(Func<Task> main)
    {
        ArgumentNullException.ThrowIfNull(main);
        Run(async () =>
        {
            await main();
            return true;
        });
    }

    /// <inheritdoc cref="Run(Func{Task})"/>
    /// <returns>What <paramref name="main"/> returned.</returns>
    public T Run<T>(Func<Task<T>> main)
    {
        ArgumentNullException.ThrowIfNull(main);
        ExceptionDispatchInfo? failure = null;
        Task<T>? result = null;
        var thread = new Thread(() =>
        {
            try
            {
                result = Start(main, "main");
                RunUntil(result);
            }
            catch (Exception caught)
            {
                failure = ExceptionDispatchInfo.Capture(caught);
            }
        })
        {
            Name = $"Deterministic scheduler, seed {Seed}",
        };
        if (Interlocked.CompareExchange(ref _thread, thread, null) is not null)
        {
            throw new InvalidOperationException("The scheduler is running already.");
        }

        // A thread of its own has no synchronization context and no execution context that the caller's could leak into.
        thread.UnsafeStart();
        thread.Join();
        _thread = null;
        failure?.Throw();
        return result!.GetAwaiter().GetResult();
    }

    /// <summary>Starts another piece of code beside <c>main</c>; its turns mix with all others.</summary>
    /// <param name="work">The code.</param>
    /// <param name="name">What it is called in the <see cref="Trace"/>.</param>
    public Task Start(Func<Task> work, string name = "task")
    {
        ArgumentNullException.ThrowIfNull(work);
        return Start(
            async () =>
            {
                await work();
                return true;
            },
            name);
    }

    /// <summary>Starts a host, whose own code may use other threads.</summary>
    public void Start(IHost host) => RunTolerant(() => host.StartAsync());

    /// <summary>Stops a host, whose own code may use other threads.</summary>
    public void Stop(IHost host) => RunTolerant(() => host.StopAsync());

    TaskCreationOptions ITurnExecutor.CompletionOptions => TaskCreationOptions.None;

    TaskScheduler ITurnExecutor.NewOffGrainScheduler() => NewLane($"observer{Interlocked.Increment(ref _observers)}");

    bool ITurnExecutor.LendsThisThread => false;

    void ITurnExecutor.Schedule(TurnQueue queue)
    {
        if (_thread is not { } running || running == Thread.CurrentThread)
        {
            lock (_gate)
            {
                _runnable.Add(queue);
            }

            return;
        }

        if (!ToleratesOtherThreads)
        {
            var interference = new InvalidOperationException(
                $"Another thread queued a turn of {queue.Name}, so seed {Seed} does not determine the run. "
                + $"Look for what left the scheduler's thread before this:{Environment.NewLine}{Environment.StackTrace}");
            Interlocked.CompareExchange(ref _interference, interference, null);
        }

        lock (_gate)
        {
            _fromOthers.Add(queue);
        }

        _wokenUp.Release();
    }

    void ITurnExecutor.Shuffle<T>(List<T> items)
    {
        for (var i = items.Count - 1; i > 0; i--)
        {
            var j = _random.Next(i + 1);
            (items[i], items[j]) = (items[j], items[i]);
        }
    }

    private void RunTolerant(Func<Task> main)
    {
        // With choices of its own, since how many there are depends on the other threads.
        var (tolerant, patience, random) = (ToleratesOtherThreads, Patience, _random);
        (ToleratesOtherThreads, Patience, _random) = (true, TimeSpan.FromSeconds(1), new Random(Seed));
        try
        {
            Run(main);
        }
        finally
        {
            (ToleratesOtherThreads, Patience, _random) = (tolerant, patience, random);
        }
    }

    private TurnQueue NewLane(string name) => new(this, name);

    private Task<T> Start<T>(Func<Task<T>> work, string name) =>
        Task.Factory.StartNew(work, CancellationToken.None, TaskCreationOptions.DenyChildAttach, NewLane(name)).Unwrap();

    private void RunUntil(Task end)
    {
        var lastTurn = Turns + MaxTurns;
        var latest = Time.GetTimestamp() + MaxTime.Ticks;
        while (!end.IsCompleted)
        {
            ThrowIfInterfered();
            if (TakeOne() is { } queue)
            {
                RunTurn(queue);
                if (Turns >= lastTurn)
                {
                    throw new TimeoutException($"Seed {Seed}: not done after {MaxTurns} turns.");
                }
            }
            else if (!HeardFromOthers(end) && !Time.FireNext(latest))
            {
                throw new TimeoutException(
                    $"Seed {Seed}: not done at {Time.Elapsed} of virtual time, after {Turns} turns, and nothing is left to run before {TimeSpan.FromTicks(latest)}.");
            }
        }

        ThrowIfInterfered();
    }

    private void ThrowIfInterfered()
    {
        if (Interlocked.Exchange(ref _interference, null) is { } interference)
        {
            throw interference;
        }
    }

    private TurnQueue? TakeOne()
    {
        lock (_gate)
        {
            if (_runnable.Count == 0)
            {
                return null;
            }

            var chosen = _random.Next(_runnable.Count);
            var queue = _runnable[chosen];
            _runnable[chosen] = _runnable[^1];
            _runnable.RemoveAt(_runnable.Count - 1);
            return queue;
        }
    }

    private void RunTurn(TurnQueue queue)
    {
        Turns++;
        if (KeepsTrace)
        {
            _trace.Add($"{Time.Elapsed:c} {queue.Name}");
        }

        if (queue.RunOne())
        {
            lock (_gate)
            {
                _runnable.Add(queue);
            }
        }
    }

    /// <summary>Takes over what other threads have woken, having let them get there.</summary>
    /// <returns>Whether there is something to do other than to move the clock.</returns>
    private bool HeardFromOthers(Task end)
    {
        PassThroughThreadPool();
        if (!TakeFromOthers() && ToleratesOtherThreads && !end.IsCompleted)
        {
            _wokenUp.Wait(Patience);
            TakeFromOthers();
        }

        return _runnable.Count > 0 || end.IsCompleted || Volatile.Read(ref _interference) is not null;
    }

    /// <summary>Adds what others have woken, in an order that does not depend on how fast they were.</summary>
    private bool TakeFromOthers()
    {
        lock (_gate)
        {
            _runnable.AddRange(_fromOthers.OrderBy(queue => queue.Name, StringComparer.Ordinal));
            _fromOthers.Clear();
            return _runnable.Count > 0;
        }
    }

    /// <summary>
    /// Waits until the thread pool has got to a work item queued now. What was queued to it earlier, by turns of this run, has then been begun, and
    /// what that wakes is noticed before the clock moves on.
    /// </summary>
    private void PassThroughThreadPool()
    {
        ThreadPool.UnsafeQueueUserWorkItem(static reached => reached.Release(), _poolReached, preferLocal: false);
        _poolReached.Wait();
    }
}

/// <summary>Puts a silo on a <see cref="DeterministicScheduler"/>.</summary>
public static class DeterministicSiloBuilderExtensions
{
    /// <summary>Has all turns of the silo run by <paramref name="scheduler"/>, on its clock.</summary>
    public static ISiloBuilder UseDeterministicScheduler(this ISiloBuilder builder, DeterministicScheduler scheduler)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(scheduler);
        builder.Services.Replace(ServiceDescriptor.Singleton<ITurnExecutor>(scheduler));
        builder.Services.Replace(ServiceDescriptor.Singleton<TimeProvider>(scheduler.Time));
        return builder;
    }
}
