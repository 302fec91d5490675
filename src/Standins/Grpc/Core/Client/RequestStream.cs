using System.Diagnostics.CodeAnalysis;
using Grpc.Core;
using Grpc.Wire;

namespace Grpc.Net.Client;

/// <summary>The requests of a call, written one at a time. Those that may wait go out with the one that may not, as one write and one flush.</summary>
[SuppressMessage("Reliability", "CA1001", Justification = "What waits gives its memory back when it is sent; what waits when the call ends is the collector's.")]
internal sealed class RequestStream<TRequest>(
    IRunningCall call,
    Marshaller<TRequest> marshaller,
    StreamedRequest content,
    int? maxLength) : IClientStreamWriter<TRequest>
{
    // The most of a stream that the transport sends at once: beyond, a flush asked for beside a write would overtake the rest of it.
    private const int FrameBytesMax = 16 * 1024;

    private readonly Lock _gate = new();
    private readonly PooledBufferWriter _unsent = new();
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

        return EndAsync();
    }

    private static Task Misuse(string why) => Task.FromException(new InvalidOperationException(why));

    private async Task EndAsync()
    {
        await SendAsync().ConfigureAwait(false);
        content.End();
    }

    private async Task WriteFrameAsync(TRequest message, CancellationToken cancellationToken)
    {
        using var cancelled = call.CancelWith(cancellationToken);
        try
        {
            _writing.Write(message, marshaller.ContextualSerializer, _unsent);
            if (WriteOptions?.Flags.HasFlag(WriteFlags.BufferHint) is not true || _unsent.Written.Length > FrameBytesMax)
                await SendAsync().ConfigureAwait(false);
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

    /// <summary>Sends all that waits.</summary>
    private async Task SendAsync()
    {
        if (_unsent.Written.IsEmpty)
            return;

        var stream = await content.Opened.ConfigureAwait(false);
        try
        {
            if (_unsent.Written.Length > FrameBytesMax)
            {
                await stream.WriteAsync(_unsent.Written, call.Stopping).ConfigureAwait(false);
                await stream.FlushAsync(call.Stopping).ConfigureAwait(false);
                return;
            }

            // The transport does both in one turn of its own; one after the other, each would wait for a turn.
            var writing = stream.WriteAsync(_unsent.Written, call.Stopping).AsTask();
            await stream.FlushAsync(call.Stopping).ConfigureAwait(false);
            var isBefore = writing.IsCompleted;
            await writing.ConfigureAwait(false);
            // What had to wait for the server to take more comes behind that flush.
            if (!isBefore)
                await stream.FlushAsync(call.Stopping).ConfigureAwait(false);
        }
        finally
        {
            _unsent.Dispose();
        }
    }
}
