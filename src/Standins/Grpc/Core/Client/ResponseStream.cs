using Grpc.Core;

namespace Grpc.Net.Client;

/// <summary>The responses of a call, read one at a time.</summary>
internal sealed class ResponseStream<TRequest, TResponse>(HttpCall<TRequest, TResponse> call) : IAsyncStreamReader<TResponse>
    where TRequest : class
    where TResponse : class
{
    private TResponse? _current;
    private int _isReading;

    public TResponse Current => _current!;

    public Task<bool> MoveNext(CancellationToken cancellationToken)
    {
        call.EnsureNotDisposed();
        if (call.HasEnded)
            return call.EndedWell ? Task.FromResult(false) : Task.FromException<bool>(call.Failure());
        if (Interlocked.Exchange(ref _isReading, 1) == 1)
        {
            return Task.FromException<bool>(
                new InvalidOperationException("Can't read the next message because the previous read is still in progress."));
        }

        return ReadAsync(cancellationToken);
    }

    private async Task<bool> ReadAsync(CancellationToken cancellationToken)
    {
        using var cancelled = call.CancelWith(cancellationToken);
        try
        {
            _current = null;
            _current = await call.ReadNextAsync().ConfigureAwait(false);
            return _current is not null;
        }
        finally
        {
            Volatile.Write(ref _isReading, 0);
        }
    }
}
