using System.Buffers;
using Grpc.Core;

namespace Grpc.Wire;

/// <summary>
/// Writes messages with their frames, one after the other. In place where the marshaller says the length first, as
/// generated ones do.
/// </summary>
/// <param name="maxLength">The longest message, bytes; null means no limit.</param>
internal sealed class MessageWriting(int? maxLength) : SerializationContext
{
    private static readonly Status _tooLong =
        new(StatusCode.ResourceExhausted, "Sending message exceeds the maximum configured message size.");

    private IBufferWriter<byte>? _output;
    private PooledBufferWriter? _unmeasured;
    private int? _length;
    private bool _inPlace;
    private bool _complete;

    /// <summary>Writes one framed message.</summary>
    /// <exception cref="RpcException">The message is longer than the limit; nothing was written.</exception>
    /// <exception cref="InvalidOperationException">The marshaller did not complete the message.</exception>
    public void Write<T>(T message, Action<T, SerializationContext> serialize, IBufferWriter<byte> output)
    {
        _output = output;
        try
        {
            serialize(message, this);
            if (!_complete)
                throw new InvalidOperationException("Serialization did not return a payload.");
        }
        finally
        {
            _unmeasured?.Dispose();
            _unmeasured = null;
            _output = null;
            _length = null;
            _inPlace = _complete = false;
        }
    }

    public override void SetPayloadLength(int payloadLength)
    {
        EnsureNotComplete();
        EnsureWithinLimit(payloadLength);
        _length = payloadLength;
    }

    public override IBufferWriter<byte> GetBufferWriter()
    {
        EnsureNotComplete();
        if (_length is not { } length)
            return _unmeasured ??= new PooledBufferWriter();

        if (!_inPlace)
        {
            _inPlace = true;
            (Output as PooledBufferWriter)?.Reserve(MessageFrame.HeaderLength + length);
            MessageFrame.WriteHeader(Output, length);
        }

        return Output;
    }

    public override void Complete()
    {
        EnsureNotComplete();
        if (!_inPlace)
            WriteWhole(_unmeasured is null ? [] : _unmeasured.Written.Span);
        _complete = true;
    }

    public override void Complete(byte[] payload)
    {
        ArgumentNullException.ThrowIfNull(payload);
        EnsureNotComplete();
        if (_inPlace || _unmeasured is not null)
            throw new InvalidOperationException("The payload was already written to the buffer.");
        WriteWhole(payload);
        _complete = true;
    }

    private IBufferWriter<byte> Output => _output ?? throw new InvalidOperationException("No message is being written.");

    private void WriteWhole(ReadOnlySpan<byte> payload)
    {
        EnsureWithinLimit(payload.Length);
        MessageFrame.WriteHeader(Output, payload.Length);
        Output.Write(payload);
    }

    private void EnsureWithinLimit(int length)
    {
        if (length > maxLength)
            throw new RpcException(_tooLong);
    }

    private void EnsureNotComplete()
    {
        if (_complete)
            throw new InvalidOperationException("The message is complete.");
    }
}
