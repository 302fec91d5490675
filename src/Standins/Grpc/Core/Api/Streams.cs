namespace Grpc.Core;

/// <summary>A stream of messages that is read, one at a time.</summary>
public interface IAsyncStreamReader<out T>
{
    /// <summary>The message the last <see cref="MoveNext"/> brought.</summary>
    T Current { get; }

    /// <summary>Reads the next message. Only one read may be pending.</summary>
    /// <returns>False at the end of the stream.</returns>
    /// <exception cref="RpcException">On a client: the call did not end with OK.</exception>
    Task<bool> MoveNext(CancellationToken cancellationToken);
}

/// <summary>A stream of messages that is written, one at a time.</summary>
public interface IAsyncStreamWriter<in T>
{
    /// <summary>How messages are written from now on.</summary>
    WriteOptions? WriteOptions { get; set; }

    /// <summary>
    /// Writes a message. Completes when the transport took it, which is how a slow reader slows its writer. Only one
    /// write may be pending.
    /// </summary>
    /// <exception cref="InvalidOperationException">Another write is pending, or the stream is complete.</exception>
    Task WriteAsync(T message);

    /// <summary>Writes a message; cancelling the token cancels the whole call.</summary>
    /// <exception cref="InvalidOperationException">Another write is pending, or the stream is complete.</exception>
    /// <exception cref="NotSupportedException">This writer cannot be cancelled and the token can.</exception>
    Task WriteAsync(T message, CancellationToken cancellationToken) => cancellationToken.CanBeCanceled
        ? throw new NotSupportedException("Cancellation of stream writes is not supported by this gRPC implementation.")
        : WriteAsync(message);
}

/// <summary>The requests of a call, written by a client.</summary>
public interface IClientStreamWriter<in T> : IAsyncStreamWriter<T>
{
    /// <summary>Says that no request will follow.</summary>
    /// <exception cref="InvalidOperationException">A write is pending.</exception>
    Task CompleteAsync();
}

/// <summary>The responses of a call, written by a handler. The stream ends when the handler returns.</summary>
public interface IServerStreamWriter<in T> : IAsyncStreamWriter<T>
{
}
