using Grpc.Core;

namespace Grpc.AspNetCore.Server;

/// <summary>The responses of a call, written one at a time by its handler. Each write is one frame and one flush.</summary>
internal sealed class ResponseStream<TResponse>(ServerCall call, Marshaller<TResponse> marshaller) : IServerStreamWriter<TResponse>
    where TResponse : class
{
    private int _isWriting;

    public WriteOptions? WriteOptions
    {
        get => call.WriteOptions;
        set => call.WriteOptions = value;
    }

    public Task WriteAsync(TResponse message) => WriteAsync(message, CancellationToken.None);

    public async Task WriteAsync(TResponse message, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(message);
        cancellationToken.ThrowIfCancellationRequested();
        if (call.HasEnded)
            throw call.Over(new InvalidOperationException("Can't write the message because the request is complete."));
        if (Interlocked.Exchange(ref _isWriting, 1) == 1)
            throw new InvalidOperationException("Can't write the message because the previous write is in progress.");

        // A frame that is half written cannot be taken back, so cancelling a write cancels the call.
        using var cancelled = cancellationToken.UnsafeRegister(static call => ((ServerCall)call!).Reset(), call);
        try
        {
            var mayWait = call.WriteOptions?.Flags.HasFlag(WriteFlags.BufferHint) is true;
            await call.WriteAsync(message, marshaller, flush: !mayWait, cancellationToken);
        }
        finally
        {
            Volatile.Write(ref _isWriting, 0);
        }
    }
}
