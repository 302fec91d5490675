using System.Buffers;
using System.IO.Pipelines;
using System.Runtime.CompilerServices;
using Grpc.Core;

namespace Grpc.Wire;

/// <summary>Messages off a pipe.</summary>
internal static class MessageReading
{
    private static readonly Status _incomplete = new(StatusCode.Internal, "Incomplete message.");
    private static readonly Status _surplus = new(StatusCode.Internal, "Additional data after the message received.");
    private static readonly Status _cancelled = new(StatusCode.Internal, "Incoming message cancelled.");

    /// <summary>Reads the next message of a stream; null at its clean end.</summary>
    /// <exception cref="RpcException">The stream ends inside a message, or the message is refused by <paramref name="limits"/>.</exception>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public static async ValueTask<T?> ReadNextAsync<T>(
        this PipeReader input,
        MessageLimits limits,
        MessagePayload payload,
        Func<DeserializationContext, T> deserialize,
        CancellationToken cancellationToken)
        where T : class
    {
        while (true)
        {
            var read = await input.ReadAsync(cancellationToken).ConfigureAwait(false);
            if (read.IsCanceled)
                throw new RpcException(_cancelled);

            var buffer = read.Buffer;
            var consumed = buffer.Start;
            var examined = buffer.End;
            try
            {
                if (MessageFrame.TryTake(ref buffer, limits, out var bytes))
                {
                    consumed = examined = buffer.Start;
                    return payload.Read(bytes, deserialize);
                }

                if (read.IsCompleted)
                    return buffer.IsEmpty ? null : throw new RpcException(_incomplete);
            }
            finally
            {
                input.AdvanceTo(consumed, examined);
            }
        }
    }

    /// <summary>Reads the only message of a stream, and the stream to its end; null if it ends without one.</summary>
    /// <exception cref="RpcException">
    /// The stream ends inside the message or goes on after it, or the message is refused by <paramref name="limits"/>.
    /// </exception>
    public static async ValueTask<T?> ReadSingleAsync<T>(
        this PipeReader input,
        MessageLimits limits,
        MessagePayload payload,
        Func<DeserializationContext, T> deserialize,
        CancellationToken cancellationToken)
        where T : class
    {
        var message = await input.ReadNextAsync(limits, payload, deserialize, cancellationToken).ConfigureAwait(false);
        if (message is null)
            return null;

        while (true)
        {
            var read = await input.ReadAsync(cancellationToken).ConfigureAwait(false);
            var surplus = !read.Buffer.IsEmpty;
            input.AdvanceTo(read.Buffer.Start, read.Buffer.End);
            if (surplus)
                throw new RpcException(_surplus);
            if (read.IsCanceled)
                throw new RpcException(_cancelled);
            if (read.IsCompleted)
                return message;
        }
    }
}

/// <summary>The bytes of one message, lent to a marshaller.</summary>
internal sealed class MessagePayload : DeserializationContext
{
    private ReadOnlySequence<byte>? _bytes;

    public override int PayloadLength => (int)Bytes.Length;

    private ReadOnlySequence<byte> Bytes => _bytes
        ?? throw new InvalidOperationException("The payload is gone: it can be read only while the message is deserialized.");

    public override byte[] PayloadAsNewBuffer() => Bytes.ToArray();

    public override ReadOnlySequence<byte> PayloadAsReadOnlySequence() => Bytes;

    public T Read<T>(ReadOnlySequence<byte> bytes, Func<DeserializationContext, T> deserialize)
    {
        _bytes = bytes;
        try
        {
            return deserialize(this);
        }
        finally
        {
            _bytes = null;
        }
    }
}
