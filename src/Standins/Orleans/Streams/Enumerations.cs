// SPDX-License-Identifier: Apache-2.0
using Orleans.Activations;
using Orleans.Runtime;
using Orleans.Timers;

namespace Orleans.Streams;

/// <summary>
/// The sequences that callers have open in an activation. Used in the activation's turns only. A sequence that nobody asks on for as long as
/// one to two response timeouts is closed: its caller is gone.
/// </summary>
internal sealed class Enumerations : IAsyncDisposable
{
    private readonly Activation _activation;
    private readonly Dictionary<EnumerationRequest, Enumeration> _open = [];
    private readonly GrainTimer _expiry;

    public Enumerations(Activation activation)
    {
        _activation = activation;
        var period = activation.Silo.ResponseTimeout;
        _expiry = GrainTimer.Start(
            activation,
            static (self, _) => self.CloseUnusedAsync(),
            this,
            new GrainTimerCreationOptions(period, period) { Interleave = true });
    }

    public Task<Batch<T>> FetchAsync<T>(EnumerationRequest request, bool starting, CancellationToken cancellation)
    {
        if (starting)
        {
            _open.Add(request, new Enumeration<T>(request, _activation));
        }

        return _open.TryGetValue(request, out var enumeration)
            ? NextAsync((Enumeration<T>)enumeration, request, cancellation)
            : Task.FromResult(Batch<T>.Aborted);
    }

    public Task CloseAsync(EnumerationRequest request) =>
        _open.Remove(request, out var enumeration) ? enumeration.CloseAsync() : Task.CompletedTask;

    public async ValueTask DisposeAsync()
    {
        var open = _open.Values.ToArray();
        _open.Clear();
        foreach (var enumeration in open)
        {
            await enumeration.CloseAsync();
        }

        _expiry.Dispose();
    }

    private async Task<Batch<T>> NextAsync<T>(Enumeration<T> enumeration, EnumerationRequest request, CancellationToken cancellation)
    {
        try
        {
            var batch = await enumeration.NextAsync(cancellation);
            if (batch.IsLast)
            {
                await CloseAsync(request);
            }

            return batch;
        }
        catch
        {
            await CloseAsync(request);
            throw;
        }
    }

    private Task CloseUnusedAsync()
    {
        var unused = _open.Where(entry => entry.Value.WasUnusedSinceAsked()).Select(entry => entry.Key).ToArray();
        return Task.WhenAll(unused.Select(CloseAsync));
    }
}

/// <summary>One sequence open in an activation.</summary>
internal abstract class Enumeration
{
    private bool _used;

    /// <summary>Whether nobody fetched since this was asked last, nor does now.</summary>
    public bool WasUnusedSinceAsked()
    {
        var unused = !_used && !IsBusy;
        _used = false;
        return unused;
    }

    /// <summary>Cancels the sequence and runs its <c>finally</c> blocks.</summary>
    public abstract Task CloseAsync();

    protected bool IsBusy { get; set; }

    protected void MarkUsed() => _used = true;
}

/// <inheritdoc cref="Enumeration"/>
internal sealed class Enumeration<T> : Enumeration
{
    private readonly Activation _activation;
    private readonly int _maxBatchSize;
    private readonly CancellationTokenSource _callerCancelled = new();
    private readonly CancellationTokenSource _closed;
    private readonly IAsyncEnumerator<T> _items;
    private Task<bool>? _moving;

    public Enumeration(EnumerationRequest request, Activation activation)
    {
        _activation = activation;
        _maxBatchSize = request.MaxBatchSize;
        _closed = CancellationTokenSource.CreateLinkedTokenSource(_callerCancelled.Token);
        var arguments = (object?[])request.Arguments.Clone();
        if (request.Method.TokenIndex >= 0)
        {
            arguments[request.Method.TokenIndex] = _callerCancelled.Token;
        }

        var sequence = (IAsyncEnumerable<T>)request.Method.InvokeOn(activation.GrainInstance!, arguments);
        _items = sequence.GetAsyncEnumerator(_closed.Token);
    }

    /// <summary>
    /// What is there now, up to the batch size; if nothing is, waits for the next item, or for half the response timeout and then answers with
    /// an empty batch, so that the caller knows this is alive.
    /// </summary>
    public async Task<Batch<T>> NextAsync(CancellationToken cancellation)
    {
        MarkUsed();
        if (_moving is null && CollectReady() is { } ready)
        {
            return ready;
        }

        IsBusy = true;
        var patience = _activation.Silo.ResponseTimeout / 2;
        await ((Task)_moving!).WaitAsync(patience, _activation.Silo.Time, cancellation)
            .ConfigureAwait(ConfigureAwaitOptions.ContinueOnCapturedContext | ConfigureAwaitOptions.SuppressThrowing);
        IsBusy = false;
        MarkUsed();
        if (cancellation.IsCancellationRequested)
        {
            await _callerCancelled.CancelAsync();
            cancellation.ThrowIfCancellationRequested();
        }

        if (!_moving.IsCompleted)
        {
            return Batch<T>.Empty;
        }

        var moved = _moving;
        _moving = null;
        return await moved ? new Batch<T>([_items.Current], IsLast: false) : new Batch<T>([], IsLast: true);
    }

    public override async Task CloseAsync()
    {
        await _closed.CancelAsync();
        if (_moving is { } moving)
        {
            await ((Task)moving).WaitAsync(_activation.Silo.ResponseTimeout, _activation.Silo.Time)
                .ConfigureAwait(ConfigureAwaitOptions.ContinueOnCapturedContext | ConfigureAwaitOptions.SuppressThrowing);
            if (!moving.IsCompleted)
            {
                // The method ignores its token. Disposing it now would break its turn; it goes with the activation.
                return;
            }
        }

        await _items.DisposeAsync().AsTask().ConfigureAwait(ConfigureAwaitOptions.ContinueOnCapturedContext | ConfigureAwaitOptions.SuppressThrowing);
        _closed.Dispose();
        _callerCancelled.Dispose();
    }

    /// <summary>The items that are there without waiting; null, with a move under way, when there is none.</summary>
    private Batch<T>? CollectReady()
    {
        List<T>? items = null;
        while ((items?.Count ?? 0) < _maxBatchSize)
        {
            var moving = _items.MoveNextAsync();
            if (!moving.IsCompletedSuccessfully)
            {
                _moving = moving.AsTask();
                break;
            }

            if (!moving.Result)
            {
                return new Batch<T>(items ?? [], IsLast: true);
            }

            (items ??= []).Add(_items.Current);
        }

        return items is null ? null : new Batch<T>(items, IsLast: false);
    }
}
