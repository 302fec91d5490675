using System.Net;
using System.Net.Http.Headers;
using Grpc.Core;
using Grpc.Wire;

namespace Grpc.Net.Client;

/// <summary>The body of a request: framed messages of unknown total length.</summary>
internal abstract class RequestContent : HttpContent
{
    private static readonly MediaTypeHeaderValue _grpc = new(GrpcHeaders.ContentType);

    protected RequestContent() => Headers.ContentType = _grpc;

    protected sealed override Task SerializeToStreamAsync(Stream stream, TransportContext? context) =>
        SerializeToStreamAsync(stream, context, CancellationToken.None);

    protected abstract override Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken);

    protected sealed override bool TryComputeLength(out long length)
    {
        length = 0;
        return false;
    }
}

/// <summary>The body of a request with one message.</summary>
internal sealed class SingleRequest<TRequest>(Marshaller<TRequest> marshaller, TRequest request, int? maxLength) : RequestContent
{
    protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken)
    {
        using var buffer = new PooledBufferWriter();
        new MessageWriting(maxLength).Write(request, marshaller.ContextualSerializer, buffer);
        await stream.WriteAsync(buffer.Written, cancellationToken).ConfigureAwait(false);
    }
}

/// <summary>The body of a request with a stream of messages: lends the transport's stream to the writer until the call ends.</summary>
internal sealed class StreamedRequest : RequestContent
{
    private readonly TaskCompletionSource<Stream> _opened = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>The transport's stream, once the request is on its way. Cancelled if the call ends before.</summary>
    public Task<Stream> Opened => _opened.Task;

    /// <summary>No message will follow: half-closes the request.</summary>
    public void End() => _ended.TrySetResult();

    /// <summary>The call is over: whatever waits here fails.</summary>
    public void Abandon()
    {
        _opened.TrySetCanceled(CancellationToken.None);
        _ended.TrySetCanceled(CancellationToken.None);
    }

    protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken)
    {
        // Without a flush the headers would wait for the first message, and the server may be the one to speak first.
        await stream.FlushAsync(cancellationToken).ConfigureAwait(false);
        // A connection that dies before it took the request makes the transport try another. Messages already written are
        // gone then, so only the first attempt may carry a stream.
        if (!_opened.TrySetResult(stream))
            throw new IOException("A streamed request cannot be sent again.");

        // Not given up on the token: the transport's own exception tells the writer more than a stream closed under it.
        await _ended.Task.ConfigureAwait(false);
    }
}
