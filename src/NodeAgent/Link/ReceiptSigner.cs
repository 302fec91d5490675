using System.Collections.Immutable;
using Federation.NodeAgent.Configuration;
using Federation.Protocol.Identity;
using Federation.Protocol.Receipts;
using Federation.Protocol.V1;
using Google.Protobuf;
using Microsoft.Extensions.Logging;

namespace Federation.NodeAgent.Link;

/// <summary>
/// Signs what the hub offers, if it is true: this node, this hub, a job that ran here, with these bytes, next in the chain.
/// </summary>
internal sealed partial class ReceiptSigner(NodeKey key, WorkLog work, ILogger<ReceiptSigner> logger)
{
    private readonly Dictionary<string, ImmutableArray<byte>> _signed = [];
    private readonly Queue<string> _order = [];
    private long _lastSequence;
    private ImmutableArray<byte> _lastId;

    // As many as the work log remembers jobs is more than enough for receipts that are offered twice.
    private const int RememberedMax = 4_096;

    /// <summary>What the owner has earned in this process, microcredits, pending.</summary>
    public long CreditedMicrocredits { get; private set; }

    /// <summary>The node's answer to an offer.</summary>
    public ReceiptSignature Answer(ReceiptOffer offer, HubId hub)
    {
        var payload = offer.Payload.Span;
        var id = ReceiptCodec.IdOf(payload);
        var name = Convert.ToHexStringLower(id.AsSpan());
        var answer = new ReceiptSignature { ReceiptId = ByteString.CopyFrom(id.AsSpan()) };
        if (_signed.TryGetValue(name, out var before))
        {
            answer.Signature = ByteString.CopyFrom(before.AsSpan());
            return answer;
        }
        if (WhyWrong(offer.Payload.Memory, hub, out var receipt) is { } objection)
        {
            LogObjection(name, objection);
            answer.Objection = objection;
        }
        else
        {
            var signature = key.Sign(ReceiptCodec.NodeSigningBytes(payload));
            Remember(name, [.. signature]);
            answer.Signature = ByteString.CopyFrom(signature);
        }
        // The chain goes on over receipts the node objects to: their place in it is taken.
        if (receipt is not null && receipt.Sequence > _lastSequence) (_lastSequence, _lastId) = (receipt.Sequence, id);
        return answer;
    }

    /// <summary>The hub counter-signed.</summary>
    public void Take(ReceiptIssued issued)
    {
        CreditedMicrocredits += issued.CreditedMicrocredits;
        LogIssued(Convert.ToHexStringLower(issued.ReceiptId.Span), issued.CreditedMicrocredits);
    }

    private string? WhyWrong(ReadOnlyMemory<byte> payload, HubId hub, out Receipt? receipt)
    {
        receipt = null;
        try
        {
            receipt = ReceiptCodec.Decode(payload);
        }
        catch (FormatException exception)
        {
            return exception.Message;
        }
        if (receipt.Node.ToString() != key.NodeId) return "it names another node";
        if (receipt.Hub != hub) return "it names another hub";
        // The first receipt of this process begins wherever the hub's chain is.
        if (_lastSequence > 0 && receipt.Sequence == _lastSequence + 1 && !receipt.PreviousId.AsSpan().SequenceEqual(_lastId.AsSpan())) return "it does not follow the receipt before it";
        return work.WhyWrong(receipt);
    }

    private void Remember(string name, ImmutableArray<byte> signature)
    {
        _signed[name] = signature;
        _order.Enqueue(name);
        if (_order.Count > RememberedMax) _signed.Remove(_order.Dequeue());
    }

    [LoggerMessage(5100, LogLevel.Warning, "Receipt {ReceiptId} is not signed: {Objection}")]
    private partial void LogObjection(string receiptId, string objection);

    [LoggerMessage(5101, LogLevel.Debug, "Receipt {ReceiptId} is issued: {Microcredits} µcr pending")]
    private partial void LogIssued(string receiptId, long microcredits);
}
