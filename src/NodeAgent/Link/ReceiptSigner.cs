using System.Collections.Immutable;
using System.Security.Cryptography;
using Federation.NodeAgent.Configuration;
using Federation.Protocol.Identity;
using Federation.Protocol.Receipts;
using Federation.Protocol.V1;
using Google.Protobuf;
using Microsoft.Extensions.Logging;

namespace Federation.NodeAgent.Link;

/// <summary>
/// Signs what the hub offers, if it is true: this node, this hub, a job that ran here, with these bytes, next in the chain. For one thread at a time.
/// </summary>
internal sealed partial class ReceiptSigner(NodeKey key, WorkLog work, ILogger<ReceiptSigner> logger)
{
    private readonly Dictionary<string, Agreement> _signed = [];
    private readonly Queue<string> _order = [];
    private long _lastSequence;
    private ImmutableArray<byte> _lastId;

    // As many as the work log remembers jobs is more than enough for receipts that are offered twice.
    private const int RememberedMax = 4_096;

    // A hub keeps no more of one.
    private const int ObjectionMax = 200;

    // A million credits, which no answer is worth: beyond it the hub's word is noise, and sums of it would overflow.
    private const long CreditedMax = 1_000_000_000_000;

    /// <summary>What the owner has earned in this process, microcredits, pending.</summary>
    public long CreditedMicrocredits { get; private set; }

    /// <summary>The node's answer to what it was offered at once: one signature for all that it agrees with. <see langword="null"/> to what no hub offers.</summary>
    public ReceiptAnswers? Answer(ReceiptOffers offers, HubId hub)
    {
        if (offers.Payloads.Count is 0 or > ReceiptBatch.CountMax)
        {
            LogOffersIgnored(offers.Payloads.Count);
            return null;
        }
        var answers = new ReceiptAnswers();
        var agreed = new List<ImmutableArray<byte>>(offers.Payloads.Count);
        var heard = new HashSet<string>(StringComparer.Ordinal);
        foreach (var payload in offers.Payloads)
        {
            var id = ReceiptCodec.IdOf(payload.Span);
            var name = Convert.ToHexStringLower(id.AsSpan());
            if (!heard.Add(name)) continue;
            if (WhyNot(payload.Memory, hub, id, name) is { } objection)
            {
                LogObjection(name, objection);
                answers.Objections.Add(new ReceiptObjection { ReceiptId = ByteString.CopyFrom(id.AsSpan()), Objection = objection.Length <= ObjectionMax ? objection : objection[..ObjectionMax] });
                continue;
            }
            agreed.Add(id);
            answers.Signed.Add(ByteString.CopyFrom(id.AsSpan()));
        }
        if (agreed.Count > 0) answers.Signature = ByteString.CopyFrom(key.Sign(ReceiptBatch.OfNode(agreed).SigningBytes));
        return answers;
    }

    /// <summary>The hub counter-signed. What this node did not sign, or has heard before, counts for nothing.</summary>
    public void Take(ReceiptsIssued issued)
    {
        foreach (var receipt in issued.Receipts.Take(ReceiptBatch.CountMax)) Take(receipt);
    }

    private void Take(IssuedReceipt issued)
    {
        // Anything longer was never signed, and need not be written out to be looked up.
        var name = issued.ReceiptId.Length == SHA256.HashSizeInBytes ? Convert.ToHexStringLower(issued.ReceiptId.Span) : string.Empty;
        if (!_signed.TryGetValue(name, out var agreement) || agreement.IsIssued || issued.CreditedMicrocredits is < 0 or > CreditedMax)
        {
            LogIgnored(issued.CreditedMicrocredits);
            return;
        }
        agreement.IsIssued = true;
        CreditedMicrocredits += issued.CreditedMicrocredits;
        LogIssued(name, issued.CreditedMicrocredits);
    }

    /// <summary>Why the node does not sign; what it has agreed to it agrees to again.</summary>
    private string? WhyNot(ReadOnlyMemory<byte> payload, HubId hub, ImmutableArray<byte> id, string name)
    {
        if (_signed.ContainsKey(name)) return null;
        var objection = WhyWrong(payload, hub, out var receipt);
        if (objection is null) Remember(name);
        // The chain goes on over receipts the node objects to: their place in it is taken.
        if (receipt is not null && receipt.Node.ToString() == key.NodeId && receipt.Hub == hub && receipt.Sequence > _lastSequence) (_lastSequence, _lastId) = (receipt.Sequence, id);
        return objection;
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

    private void Remember(string name)
    {
        _signed[name] = new Agreement();
        _order.Enqueue(name);
        if (_order.Count > RememberedMax) _signed.Remove(_order.Dequeue());
    }

    [LoggerMessage(5100, LogLevel.Warning, "Receipt {ReceiptId} is not signed: {Objection}")]
    private partial void LogObjection(string receiptId, string objection);

    [LoggerMessage(5102, LogLevel.Warning, "The hub issued a receipt over {Microcredits} µcr that this node did not sign, or has already: ignored")]
    private partial void LogIgnored(long microcredits);

    [LoggerMessage(5101, LogLevel.Debug, "Receipt {ReceiptId} is issued: {Microcredits} µcr pending")]
    private partial void LogIssued(string receiptId, long microcredits);

    [LoggerMessage(5103, LogLevel.Warning, "The hub offered {Count} receipts at once: ignored")]
    private partial void LogOffersIgnored(int count);

    /// <summary>The node's word on a receipt.</summary>
    private sealed class Agreement
    {
        public bool IsIssued { get; set; }
    }
}
