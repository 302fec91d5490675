using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using Microsoft.Extensions.Logging;

namespace Federation.NodeAgent.Engines;

/// <summary>An engine that is there, and what it has.</summary>
public sealed record EngineState(IEngine Engine, EngineInventory Inventory);

/// <summary>All engines of the node at one moment.</summary>
/// <param name="Version">Grows with each change; 0 before the engines were first asked.</param>
/// <param name="Engines">Those that are there, in the order in which the watch was given them.</param>
public sealed record EngineSnapshot(long Version, ImmutableArray<EngineState> Engines)
{
    /// <summary>Names of those that are configured, or looked for, and not there.</summary>
    public ImmutableArray<string> Missing { get; init; } = [];

    /// <summary>The engine of that name, if it is there.</summary>
    public EngineState? Find(string name) => Engines.FirstOrDefault(state => state.Engine.Name == name);
}

/// <summary>How the engines are watched.</summary>
public sealed record EngineWatchOptions
{
    /// <summary>Between the end of one look at an engine and the beginning of the next. Default 2 s.</summary>
    public TimeSpan Interval { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>The same while the engine is not there: a refused connection costs many times what an answer does. Default 5 s.</summary>
    public TimeSpan AbsentInterval { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How long an engine may take to answer before it counts as gone. Default 30 s: a first look digests large files.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromSeconds(30);
}

/// <summary>
/// Looks at each engine again and again, and tells when one appears, dies or changes its models. An engine that hangs delays no other.
/// </summary>
/// <remarks>Thread-safe. The engines stay the caller's to dispose of.</remarks>
public sealed partial class EngineWatch
{
    private readonly ImmutableArray<IEngine> _engines;
    private readonly EngineWatchOptions _options;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly Lock _turn = new();
    private readonly EngineInventory?[] _found;
    private readonly bool[] _isAsked;
    private volatile EngineSnapshot _current = new(0, []);
    private volatile TaskCompletionSource _changed = NewSignal();

    /// <exception cref="ArgumentException">Two engines have one name.</exception>
    public EngineWatch(IEnumerable<IEngine> engines, EngineWatchOptions options, TimeProvider time, ILogger<EngineWatch> logger)
    {
        (_engines, _options, _time, _logger) = ([.. engines], options, time, logger);
        if (_engines.GroupBy(engine => engine.Name).FirstOrDefault(group => group.Count() > 1) is { } twins)
        {
            throw new ArgumentException($"Two engines are called {twins.Key}.", nameof(engines));
        }

        _found = new EngineInventory?[_engines.Length];
        _isAsked = new bool[_engines.Length];
    }

    /// <summary>The latest snapshot.</summary>
    public EngineSnapshot Current => _current;

    /// <summary>Watches until cancelled. Call it once.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        if (_engines.IsEmpty)
        {
            Publish();
        }

        await Task.WhenAll(Enumerable.Range(0, _engines.Length).Select(index => WatchAsync(index, cancellationToken))).ConfigureAwait(false);
    }

    /// <summary>
    /// The snapshot in which every engine has been asked once, then each newer one. A slow reader misses what was overtaken, never the latest.
    /// </summary>
    public async IAsyncEnumerable<EngineSnapshot> ChangesAsync([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var seen = 0L;
        while (true)
        {
            // Taken before the snapshot is looked at: a change in between completes it.
            var signal = _changed;
            var snapshot = _current;
            if (snapshot.Version > seen)
            {
                seen = snapshot.Version;
                yield return snapshot;
                continue;
            }

            await signal.Task.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    private async Task WatchAsync(int index, CancellationToken cancellationToken)
    {
        try
        {
            while (true)
            {
                var inventory = await LookAsync(_engines[index], cancellationToken).ConfigureAwait(false);
                Note(index, inventory);
                await Task.Delay(inventory is null ? _options.AbsentInterval : _options.Interval, _time, cancellationToken).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // The watch is over.
        }
    }

    private async Task<EngineInventory?> LookAsync(IEngine engine, CancellationToken cancellationToken)
    {
        using var patience = new CancellationTokenSource(_options.Patience, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, patience.Token);
        try
        {
            return await engine.GetInventoryAsync(either.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return null;
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            LogLookFailed(e, engine.Name);
            return null;
        }
    }

    private void Note(int index, EngineInventory? inventory)
    {
        lock (_turn)
        {
            var before = _found[index];
            var isFirst = !_isAsked[index];
            _found[index] = inventory;
            _isAsked[index] = true;
            if (!isFirst && Equals(before, inventory))
            {
                return;
            }

            LogDifference(_engines[index], before, inventory);
            if (Array.TrueForAll(_isAsked, asked => asked))
            {
                Publish();
            }
        }
    }

    private void Publish()
    {
        _current = new EngineSnapshot(
            _current.Version + 1,
            [.. _engines.Zip(_found).Where(pair => pair.Second is not null).Select(pair => new EngineState(pair.First, pair.Second!))])
        {
            Missing = [.. _engines.Zip(_found).Where(pair => pair.Second is null).Select(pair => pair.First.Name)],
        };
        var signal = _changed;
        _changed = NewSignal();
        signal.SetResult();
    }

    private void LogDifference(IEngine engine, EngineInventory? before, EngineInventory? now)
    {
        if (now is null)
        {
            if (before is not null)
            {
                LogGone(engine.Name);
            }

            return;
        }

        if (before is null)
        {
            LogThere(engine.Name, now.Version, now.Models.Length);
            return;
        }

        LogChanged(engine.Name, now.Models.Length);
    }

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    [LoggerMessage(2001, LogLevel.Information, "Engine {Name} (version {Version}) is there with {Models} models.")]
    private partial void LogThere(string name, string version, int models);

    [LoggerMessage(2002, LogLevel.Information, "Engine {Name} is gone; its models are not offered until it is back.")]
    private partial void LogGone(string name);

    [LoggerMessage(2003, LogLevel.Debug, "Engine {Name} has changed: {Models} models.")]
    private partial void LogChanged(string name, int models);

    [LoggerMessage(2004, LogLevel.Warning, "Engine {Name} could not be asked what it has; it counts as gone.")]
    private partial void LogLookFailed(Exception exception, string name);
}
