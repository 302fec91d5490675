using System.Buffers;

namespace Grpc.Core;

/// <summary>Where a marshaller puts the bytes of one message.</summary>
public abstract class SerializationContext
{
    /// <summary>Gives the whole message at once. Used alone, without the other methods.</summary>
    public virtual void Complete(byte[] payload) => throw new NotSupportedException();

    /// <summary>Announces how long the message will be, in bytes, so that it can be written in place.</summary>
    public virtual void SetPayloadLength(int payloadLength)
    {
    }

    /// <summary>The buffer the message is written to.</summary>
    public virtual IBufferWriter<byte> GetBufferWriter() => throw new NotSupportedException();

    /// <summary>Says that the message is in the buffer as a whole.</summary>
    public virtual void Complete() => throw new NotSupportedException();
}

/// <summary>Where a marshaller finds the bytes of one message.</summary>
public abstract class DeserializationContext
{
    /// <summary>The length of the message, bytes.</summary>
    public abstract int PayloadLength { get; }

    /// <summary>The message as an array of its own.</summary>
    public virtual byte[] PayloadAsNewBuffer() => throw new NotSupportedException();

    /// <summary>The message in the buffer of the call; valid only until the marshaller returns.</summary>
    public virtual ReadOnlySequence<byte> PayloadAsReadOnlySequence() => throw new NotSupportedException();
}
