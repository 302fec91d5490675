using System.Buffers;
using Federation.Protocol.V1;
using Google.Protobuf;
using Grpc.Core;

namespace Federation.NodeAgent.Link;

/// <summary>
/// The node link's call, as generated but for its limit: only a lease is long, since it carries a client's request. Anything else that long is no message of a hub's, and read into numbers it
/// would take many times its bytes.
/// </summary>
internal static class HubCall
{
    /// <summary>Longest message but a lease, bytes. The longest honest ones, a receipt and an opening of a challenge, have a few thousand.</summary>
    public const int BriefBytesMax = 256 * 1024;

    private const uint AssignTag = (HubMessage.AssignFieldNumber << 3) | (uint)WireFormat.WireType.LengthDelimited;

    private static readonly Method<NodeMessage, HubMessage> Connect = new(
        MethodType.DuplexStreaming, NodeLink.Descriptor.FullName, nameof(NodeLink.NodeLinkClient.Connect), Marshallers.Create<NodeMessage>(Write, Unread), Marshallers.Create<HubMessage>(Unwritten, Read));

    /// <summary>Opens the stream.</summary>
    public static AsyncDuplexStreamingCall<NodeMessage, HubMessage> Open(ChannelBase channel, CancellationToken cancellationToken)
        => channel.CreateCallInvoker().AsyncDuplexStreamingCall(Connect, host: null, new CallOptions(cancellationToken: cancellationToken));

    private static void Write(NodeMessage message, SerializationContext context)
    {
        context.SetPayloadLength(message.CalculateSize());
        message.WriteTo(context.GetBufferWriter());
        context.Complete();
    }

    private static HubMessage Read(DeserializationContext context)
    {
        var payload = context.PayloadAsReadOnlySequence();
        if (payload.Length > BriefBytesMax && !IsLease(payload))
            throw new RpcException(new Status(StatusCode.ResourceExhausted, $"The hub sent {payload.Length} bytes that are no lease; {BriefBytesMax} is the most."));
        return HubMessage.Parser.ParseFrom(payload);
    }

    /// <summary>Whether there is one field, a lease, and nothing beside it.</summary>
    private static bool IsLease(ReadOnlySequence<byte> payload)
    {
        var reader = new SequenceReader<byte>(payload);
        return TryReadVarint(ref reader, out var tag) && tag == AssignTag && TryReadVarint(ref reader, out var length) && length == (ulong)reader.Remaining;
    }

    private static bool TryReadVarint(ref SequenceReader<byte> reader, out ulong value)
    {
        value = 0;
        for (var shift = 0; shift < 35 && reader.TryRead(out var part); shift += 7)
        {
            value |= (ulong)(part & 0x7F) << shift;
            if (part < 0x80) return true;
        }
        return false;
    }

    private static NodeMessage Unread(DeserializationContext context) => throw new NotSupportedException("A node does not read what nodes say.");

    private static void Unwritten(HubMessage message, SerializationContext context) => throw new NotSupportedException("A node does not say what hubs say.");
}
