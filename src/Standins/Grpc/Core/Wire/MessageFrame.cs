using System.Buffers;
using System.Buffers.Binary;
using Grpc.Core;

namespace Grpc.Wire;

/// <summary>
/// The length-prefixed frame of a message: one byte that says whether it is compressed, four of length, then the
/// message.
/// </summary>
internal static class MessageFrame
{
    public const int HeaderLength = 5;

    private static readonly Status _tooLong =
        new(StatusCode.ResourceExhausted, "Received message exceeds the maximum configured message size.");

    public static void WriteHeader(IBufferWriter<byte> output, int messageLength)
    {
        var header = output.GetSpan(HeaderLength);
        header[0] = 0;
        BinaryPrimitives.WriteUInt32BigEndian(header[1..], (uint)messageLength);
        output.Advance(HeaderLength);
    }

    /// <summary>Takes the next whole message off the buffer; false if more bytes are needed.</summary>
    /// <param name="buffer">What has arrived; on success, what follows the message.</param>
    /// <param name="limits">
    /// What the receiver accepts. The length is checked before the message has arrived, so that it is never buffered in
    /// vain.
    /// </param>
    /// <param name="message">The message.</param>
    /// <exception cref="RpcException">The message is too long, or compressed.</exception>
    /// <exception cref="InvalidDataException">The header is not one.</exception>
    public static bool TryTake(ref ReadOnlySequence<byte> buffer, in MessageLimits limits, out ReadOnlySequence<byte> message)
    {
        message = default;
        if (buffer.Length < HeaderLength)
            return false;

        Span<byte> header = stackalloc byte[HeaderLength];
        buffer.Slice(0, HeaderLength).CopyTo(header);
        var length = BinaryPrimitives.ReadUInt32BigEndian(header[1..]);
        switch (header[0])
        {
            case 0:
                break;
            case 1:
                throw new RpcException(limits.CompressedMessage());
            default:
                throw new InvalidDataException("Unexpected compressed flag value in message header.");
        }

        if (length > limits.MaxLength)
            throw new RpcException(_tooLong);
        if (buffer.Length < HeaderLength + (long)length)
            return false;

        message = buffer.Slice(HeaderLength, length);
        buffer = buffer.Slice(message.End);
        return true;
    }
}

/// <summary>What a receiver accepts.</summary>
/// <param name="maxLength">The longest message, bytes; null means as long as an array can be.</param>
/// <param name="encoding">The peer's <c>grpc-encoding</c>, or null if it sent none.</param>
internal readonly struct MessageLimits(int? maxLength, string? encoding)
{
    public int MaxLength { get; } = maxLength ?? Array.MaxLength;

    /// <summary>Why a message whose compressed flag is set is refused: only <c>identity</c> is spoken here.</summary>
    public Status CompressedMessage() => encoding switch
    {
        null => new(StatusCode.Internal, "Request did not include grpc-encoding value with compressed message."),
        GrpcHeaders.Identity => new(StatusCode.Internal, "Request sent 'identity' grpc-encoding value with compressed message."),
        _ => new(StatusCode.Unimplemented, $"Unsupported grpc-encoding value '{encoding}'. Supported encodings: {GrpcHeaders.Identity}"),
    };
}
