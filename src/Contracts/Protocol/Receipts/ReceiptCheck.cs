using System.Collections.Immutable;
using System.Text.Json;
using Federation.Protocol.Identity;

namespace Federation.Protocol.Receipts;

/// <summary>What can be said of a receipt from the receipt alone: no hub, no network, no clock.</summary>
public static class ReceiptCheck
{
    private const long HourMs = 3_600_000;

    /// <summary>What is wrong, a sentence each; empty when nothing is.</summary>
    public static ImmutableArray<string> Problems(ReceiptFile file)
    {
        ArgumentNullException.ThrowIfNull(file);
        var problems = ImmutableArray.CreateBuilder<string>();
        Receipt? receipt = null;
        try
        {
            receipt = ReceiptCodec.Decode(file.Payload.ToArray());
        }
        catch (FormatException exception)
        {
            problems.Add($"The payload is no receipt: {exception.Message.TrimEnd('.')}.");
        }
        var id = Convert.ToHexStringLower(ReceiptCodec.IdOf(file.Payload.AsSpan()).AsSpan());
        // Escaped: whoever made the file may have more in mind for a terminal than an id.
        if (file.SaidId is { } said && said != id) problems.Add($"The file says that it is receipt {JsonEncodedText.Encode(said)}, but its payload is that of {id}.");
        CheckNode(file, receipt, problems);
        CheckHub(file, receipt, problems);
        if (receipt is not null) CheckContent(receipt, problems);
        return problems.ToImmutable();
    }

    private static void CheckNode(ReceiptFile file, Receipt? receipt, ImmutableArray<string>.Builder problems)
    {
        if (!PublicKeys.IsValid(file.NodePublicKey.AsSpan()))
        {
            problems.Add("The node's public key is no ECDSA P-256 key.");
            return;
        }
        var node = NodeId.FromPublicKey(file.NodePublicKey.AsSpan());
        if (receipt is not null && receipt.Node != node) problems.Add($"The node's public key is that of {node}, but the receipt is {receipt.Node}'s.");
        if (file.NodeSignature.IsEmpty) problems.Add("The node has not signed.");
        else CheckSignature("node", "this receipt", file.NodeSignature, signature => signature.IsByNode(file.NodePublicKey.AsSpan(), file.Payload.AsSpan()), problems);
    }

    private static void CheckHub(ReceiptFile file, Receipt? receipt, ImmutableArray<string>.Builder problems)
    {
        if (!PublicKeys.IsValid(file.HubPublicKey.AsSpan()))
        {
            problems.Add("The hub's public key is no ECDSA P-256 key.");
            return;
        }
        var hub = HubId.FromPublicKey(file.HubPublicKey.AsSpan());
        if (receipt is not null && receipt.Hub != hub) problems.Add($"The hub's public key is that of {hub}, but the receipt is {receipt.Hub}'s.");
        if (file.HubSignature.IsEmpty) problems.Add("The hub has not counter-signed.");
        else
            CheckSignature(
                "hub", "this receipt and the node's signature", file.HubSignature, signature => signature.IsByHub(file.HubPublicKey.AsSpan(), file.Payload.AsSpan(), file.NodeSignature.AsSpan()), problems);
    }

    private static void CheckSignature(string whose, string over, ImmutableArray<byte> kept, Func<ReceiptSignature, bool> isRight, ImmutableArray<string>.Builder problems)
    {
        try
        {
            var signature = ReceiptSignature.Read(kept.AsSpan());
            if (isRight(signature)) return;
            var place = signature.Count == 0 ? string.Empty : $", at place {signature.Index + 1} of a batch of {signature.Count}";
            problems.Add($"The {whose}'s signature is not that key's over {over}{place}.");
        }
        catch (FormatException exception)
        {
            problems.Add($"The {whose}'s signature is none: {exception.Message}.");
        }
    }

    private static void CheckContent(Receipt receipt, ImmutableArray<string>.Builder problems)
    {
        if (receipt.Epoch != receipt.LastMs / HourMs) problems.Add($"The epoch is {receipt.Epoch}, but the work ended in epoch {receipt.LastMs / HourMs}.");
        if (receipt.FirstMs < receipt.DispatchMs) problems.Add("The first output came before the job was sent.");
        if (receipt.LastMs < receipt.FirstMs) problems.Add("The last output came before the first.");
        if (receipt.Sequence < 1) problems.Add($"The number in the chain is {receipt.Sequence}; the first is 1.");
        if (receipt.Sequence == 1 && receipt.PreviousId.AsSpan().ContainsAnyExcept((byte)0)) problems.Add("It is the first of its chain and yet names one before it.");
        if (receipt.Sequence > 1 && !receipt.PreviousId.AsSpan().ContainsAnyExcept((byte)0)) problems.Add("It is not the first of its chain and yet names none before it.");
        if (receipt.Attempt < 1) problems.Add($"The attempt is {receipt.Attempt}; the first is 1.");
        if (receipt.PromptTokens < 0 || receipt.CompletionTokens < 0) problems.Add("A number of tokens is negative.");
        if (receipt.ReferenceMicroseconds < 0) problems.Add("The reference work is negative.");
    }
}
