// SPDX-License-Identifier: Apache-2.0
using Orleans.Activations;
using Orleans.Calls;
using Orleans.CodeGeneration;
using Orleans.Runtime;

namespace Orleans.Runtime
{
    /// <summary>Adjusts sequences that come from grains.</summary>
    public static class AsyncEnumerableExtensions
    {
        /// <summary>Has at most this many items fetched at once. A sequence that comes from no grain is left as it is.</summary>
        public static IAsyncEnumerable<T> WithBatchSize<T>(this IAsyncEnumerable<T> self, int maxBatchSize)
        {
            if (self is Streams.RemoteEnumerable<T> remote)
            {
                ArgumentOutOfRangeException.ThrowIfNegativeOrZero(maxBatchSize);
                remote.MaxBatchSize = maxBatchSize;
            }

            return self;
        }
    }
}

namespace Orleans.Streams
{
    /// <summary>What a grain's <c>IAsyncEnumerable</c> method returns to its caller. Each enumeration is one run of the method in the grain.</summary>
    internal sealed class RemoteEnumerable<T>(GrainReference target, GrainMethod method, object?[] arguments) : IAsyncEnumerable<T>
    {
        public int MaxBatchSize { get; set; } = 100;

        public IAsyncEnumerator<T> GetAsyncEnumerator(CancellationToken cancellationToken = default) =>
            new RemoteEnumerator<T>(new EnumerationRequest(target, method, arguments, MaxBatchSize), cancellationToken);
    }

    /// <summary>A run of an enumerable method: what it is called with, and its identity in the grain.</summary>
    internal sealed record EnumerationRequest(GrainReference Target, GrainMethod Method, object?[] Arguments, int MaxBatchSize)
    {
        public CancellationToken CallerToken => Method.TokenIndex < 0 ? default : (CancellationToken)Arguments[Method.TokenIndex]!;

        public bool Equals(EnumerationRequest? other) => ReferenceEquals(this, other);

        public override int GetHashCode() => System.Runtime.CompilerServices.RuntimeHelpers.GetHashCode(this);
    }

    /// <summary>The caller's side: fetches batches as the caller asks on.</summary>
    internal sealed class RemoteEnumerator<T> : IAsyncEnumerator<T>
    {
        private readonly EnumerationRequest _request;
        private readonly CancellationTokenSource? _linked;
        private readonly CancellationToken _token;
        private Batch<T> _batch = Batch<T>.Empty;
        private int _index;
        private bool _started;
        private bool _disposed;

        public RemoteEnumerator(EnumerationRequest request, CancellationToken token)
        {
            _request = request;
            if (request.CallerToken.CanBeCanceled && token.CanBeCanceled && request.CallerToken != token)
            {
                _linked = CancellationTokenSource.CreateLinkedTokenSource(request.CallerToken, token);
                _token = _linked.Token;
            }
            else
            {
                _token = token.CanBeCanceled ? token : request.CallerToken;
            }
        }

        public T Current => _index < _batch.Items.Count
            ? _batch.Items[_index]
            : throw new InvalidOperationException("Cannot get current value of an invalid enumerator.");

        public async ValueTask<bool> MoveNextAsync()
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (++_index < _batch.Items.Count)
            {
                return true;
            }

            if (_batch.IsLast)
            {
                return false;
            }

            var openInGrain = _started;
            try
            {
                do
                {
                    _token.ThrowIfCancellationRequested();
                    var starting = !_started;
                    openInGrain = true;
                    var batch = await FetchCall<T>.Send(_request, starting, _token);
                    _started = true;
                    openInGrain = !batch.IsLast;
                    _batch = batch;
                    _index = 0;
                }
                while (_batch.Items.Count == 0 && !_batch.IsLast);

                _batch.ThrowIfAborted();
                return _batch.Items.Count > 0;
            }
            catch when (openInGrain)
            {
                await CloseCall.Send(_request).ConfigureAwait(ConfigureAwaitOptions.ContinueOnCapturedContext | ConfigureAwaitOptions.SuppressThrowing);
                throw;
            }
        }

        public async ValueTask DisposeAsync()
        {
            if (_disposed)
            {
                return;
            }

            _disposed = true;
            if (_started && !_batch.IsLast)
            {
                // The caller is done with the sequence; whether the grain could tidy up is the grain's to log.
                await CloseCall.Send(_request).ConfigureAwait(ConfigureAwaitOptions.ContinueOnCapturedContext | ConfigureAwaitOptions.SuppressThrowing);
            }

            _linked?.Dispose();
        }
    }

    /// <summary>What a fetch brings: items, possibly none yet, and whether there can be more.</summary>
    internal sealed record Batch<T>(IReadOnlyList<T> Items, bool IsLast, bool IsAborted = false)
    {
        public static Batch<T> Empty { get; } = new([], IsLast: false);

        public static Batch<T> Aborted { get; } = new([], IsLast: true, IsAborted: true);

        public void ThrowIfAborted()
        {
            if (IsAborted)
            {
                throw new EnumerationAbortedException(
                    "Enumeration aborted: the remote target does not have a record of this enumerator. This likely indicates that the remote grain was"
                    + " deactivated since enumeration begun or that the enumerator was idle for longer than the expiration period.");
            }
        }
    }

    /// <summary>Asks a grain for the next items of a sequence. Interleaves with whatever the grain is doing.</summary>
    internal sealed class FetchCall<T> : GrainCall<Batch<T>>
    {
        private readonly EnumerationRequest _request;
        private readonly bool _starting;

        private FetchCall(EnumerationRequest request, bool starting, CancellationToken token)
            : base(request.Target, request.Method, InvokeMethodOptions.AlwaysInterleave, token)
        {
            _request = request;
            _starting = starting;
        }

        public static Task<Batch<T>> Send(EnumerationRequest request, bool starting, CancellationToken token) =>
            new FetchCall<T>(request, starting, token).Send();

        protected override Task InvokeOn(IRequestHost host) =>
            ((Activation)host).Enumerations.FetchAsync<T>(_request, _starting, Cancellation);
    }

    /// <summary>Tells a grain that a sequence is not wanted any more, and waits until its <c>finally</c> blocks have run.</summary>
    internal sealed class CloseCall : GrainCall<object?>
    {
        private readonly EnumerationRequest _request;

        private CloseCall(EnumerationRequest request)
            : base(request.Target, request.Method, InvokeMethodOptions.AlwaysInterleave, CancellationToken.None) => _request = request;

        public static Task Send(EnumerationRequest request) => new CloseCall(request).Send();

        protected override Task InvokeOn(IRequestHost host) => ((Activation)host).Enumerations.CloseAsync(_request);
    }
}
