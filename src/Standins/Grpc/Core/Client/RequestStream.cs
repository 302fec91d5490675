using Grpc.Core;
using Grpc.Wire;

namespace Grpc.Net.Client;

/// <summary>The requests of a call, written one at a time. Each write is one frame and one flush.</summary>
internal sealed class RequestStream<TRequest>(
    IRunningCall call,
    Marshaller<TRequest> marshaller,
    StreamedRequest content,
    int? maxLength) : IClientStreamWriter<TRequest>
{
    private readonly Lock _gate = new();
    private readonly MessageWriting _writing = new(maxLength);
    private bool _isWriting;
    private bool _isComplete;

    public WriteOptions? WriteOptions { get; set; }

    public Task WriteAsync(TRequest message) => WriteAsync(message, CancellationToken.None);

    public Task WriteAsync(TRequest message, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(message);
        call.EnsureNotDisposed();
        lock (_gate)
        {
            if (_isComplete)
                return Misuse("Request stream has already been completed.");
            if (call.HasEnded)
                return Task.FromException(call.Failure());
            if (_isWriting)
                return Misuse("Can't write the message because the previous write is in progress.");
            _isWriting = true;
        }

        return WriteFrameAsync(message, cancellationToken);
    }

    public Task CompleteAsync()
    {
        call.EnsureNotDisposed();
        lock (_gate)
        {
            if (_isWriting)
                return Misuse("Can't complete the client stream writer because the previous write is in progress.");
            _isComplete = true;
        }

        content.End();
        return Task.CompletedTask;
    }

    private static Task Misuse(string why) => Task.FromException(new InvalidOperationException(why));

    private async Task WriteFrameAsync(TRequest message, CancellationToken cancellationToken)
    {
        using var cancelled = call.CancelWith(cancellationToken);
        try
        {
            var stream = await content.Opened.ConfigureAwait(false);
            using var buffer = new PooledBufferWriter();
            _writing.Write(message, marshaller.ContextualSerializer, buffer);
            await stream.WriteAsync(buffer.Written, call.Stopping).ConfigureAwait(false);
            if (WriteOptions?.Flags.HasFlag(WriteFlags.BufferHint) is not true)
                await stream.FlushAsync(call.Stopping).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            // Either the call ended here, or the server ended it and stopped listening; then its answer tells why.
            await call.AnswerAsync().ConfigureAwait(false);
            throw call.Failure();
        }
        finally
        {
            lock (_gate)
                _isWriting = false;
        }
    }
}
