using System.Collections.Immutable;
using System.Text;
using Federation.Protocol.Identity;
using Federation.Protocol.Receipts;

namespace Federation.Contracts.Tests.Receipts;

/// <summary>P6: a receipt with its keys and signatures convinces anybody, and nothing else does.</summary>
public sealed class ReceiptFileTests : IDisposable
{
    private readonly SigningKey _node = SigningKey.Create();
    private readonly SigningKey _hub = SigningKey.Create();

    public void Dispose()
    {
        _node.Dispose();
        _hub.Dispose();
    }

    [Fact]
    public void A_genuine_receipt_has_no_problem_and_both_forms_carry_it_whole()
    {
        var file = Signed();
        Assert.Empty(ReceiptCheck.Problems(file));
        foreach (var form in new[] { file.ToJson(), file.ToCbor(), [.. "\n  "u8, .. file.ToJson()] })
        {
            var read = ReceiptFile.Read(form);
            Assert.Equal(file.ToCbor(), read.ToCbor());
            Assert.Empty(ReceiptCheck.Problems(read));
        }
    }

    // As all were signed before there were batches, and some are kept.
    [Fact]
    public void A_receipt_that_was_signed_alone_is_genuine_and_no_bit_of_its_signatures_can_change()
    {
        var file = SignedAlone();
        Assert.Empty(ReceiptCheck.Problems(file));
        Assert.Empty(ReceiptCheck.Problems(ReceiptFile.Read(file.ToJson())));
        for (var bit = 0; bit < 64 * 8; bit += 7)
        {
            Assert.NotEmpty(ReceiptCheck.Problems(file with { NodeSignature = Flipped(file.NodeSignature, bit) }));
            Assert.NotEmpty(ReceiptCheck.Problems(file with { HubSignature = Flipped(file.HubSignature, bit) }));
        }
        Expect(
            file with { NodeSignature = [.. file.NodeSignature.Reverse()] },
            "The node's signature is not that key's over this receipt.",
            "The hub's signature is not that key's over this receipt and the node's signature.");
    }

    [Fact]
    public void An_id_that_is_not_the_payloads_is_named_and_none_is_no_problem()
    {
        var file = Signed();
        var (json, id) = (Encoding.UTF8.GetString(file.ToJson()), Convert.ToHexStringLower(ReceiptCodec.IdOf(file.Payload.AsSpan()).AsSpan()));
        Assert.Equal(id, ReceiptFile.Read(Encoding.UTF8.GetBytes(json)).SaidId);
        Expect(ReceiptFile.Read(Encoding.UTF8.GetBytes(json.Replace(id, "another\\u001b", StringComparison.Ordinal))), $"The file says that it is receipt another\\u001B, but its payload is that of {id}.");
        Expect(ReceiptFile.Read(Encoding.UTF8.GetBytes(json.Replace("\"id\"", "\"note\"", StringComparison.Ordinal))));
        Expect(ReceiptFile.Read(file.ToCbor()));
        Assert.Throws<FormatException>(() => ReceiptFile.Read(Encoding.UTF8.GetBytes(json.Replace($"\"{id}\"", "7", StringComparison.Ordinal))));
    }

    [Fact]
    public void Any_bit_flipped_is_noticed()
    {
        var file = Signed();
        ImmutableArray<byte>[] parts = [file.Payload, file.NodePublicKey, file.NodeSignature, file.HubPublicKey, file.HubSignature];
        // Every one of them takes seconds; one in seven visits every byte.
        var step = Environment.GetEnvironmentVariable("FEDERATION_TESTS_FULL") == "1" ? 1 : 7;
        for (var part = 0; part < parts.Length; part++)
        {
            for (var bit = 0; bit < parts[part].Length * 8; bit += step)
            {
                var flipped = parts.ToArray();
                flipped[part] = Flipped(parts[part], bit);
                Assert.NotEmpty(ReceiptCheck.Problems(new ReceiptFile(flipped[0], flipped[1], flipped[2], flipped[3], flipped[4])));
            }
        }
    }

    [Fact]
    public void Each_thing_that_is_wrong_is_a_sentence_of_its_own()
    {
        using var other = SigningKey.Create();
        var file = Signed();
        var stranger = NodeId.FromPublicKey(other.PublicKey.Span);
        var node = NodeId.FromPublicKey(_node.PublicKey.Span);
        var (hub, otherHub) = (HubId.FromPublicKey(_hub.PublicKey.Span), HubId.FromPublicKey(other.PublicKey.Span));

        const string hubWrong = "The hub's signature is not that key's over this receipt and the node's signature, at place 2 of a batch of 5.";
        const string nodeWrong = "The node's signature is not that key's over this receipt, at place 3 of a batch of 6.";
        Expect(file with { NodeSignature = [] }, "The node has not signed.", hubWrong);
        Expect(file with { HubSignature = [] }, "The hub has not counter-signed.");
        Expect(file with { HubSignature = Flipped(file.HubSignature, 5) }, hubWrong);
        Expect(file with { NodeSignature = Flipped(file.NodeSignature, (8 * 68) + 3) }, nodeWrong, hubWrong);
        Expect(file with { NodeSignature = file.HubSignature }, nodeWrong.Replace("3 of a batch of 6", "2 of a batch of 5", StringComparison.Ordinal), hubWrong);
        Expect(file with { HubSignature = file.HubSignature[..63] }, "The hub's signature is none: it has 63 bytes; one over the receipt alone has 64, one over a batch 68 to 292.");
        Expect(file with { HubSignature = [.. new byte[293]] }, "The hub's signature is none: it has 293 bytes; one over the receipt alone has 64, one over a batch 68 to 292.");
        Expect(file with { HubSignature = [.. file.HubSignature[..64], 0, 1, 0, 0] }, "The hub's signature is none: it is over a batch of 0; a batch has 1 to 128 receipts.");
        Expect(file with { HubSignature = [.. file.HubSignature[..64], 0, 1, 0, 129] }, "The hub's signature is none: it is over a batch of 129; a batch has 1 to 128 receipts.");
        Expect(file with { HubSignature = [.. file.HubSignature[..64], 0, 3, 0, 3] }, "The hub's signature is none: it names place 4 in a batch of 3.");
        Expect(file with { HubSignature = file.HubSignature[..^32] }, "The hub's signature is none: its path has 64 bytes; that of place 2 in a batch of 5 has 96.");
        // What was signed with others does not pass for signed alone.
        Expect(file with { HubSignature = file.HubSignature[..64] }, "The hub's signature is not that key's over this receipt and the node's signature.");
        Expect(file with { NodePublicKey = [1, 2, 3] }, "The node's public key is no ECDSA P-256 key.");
        Expect(file with { HubPublicKey = [] }, "The hub's public key is no ECDSA P-256 key.");
        Expect(
            file with { NodePublicKey = [.. other.PublicKey.Span] },
            $"The node's public key is that of {stranger}, but the receipt is {node}'s.",
            nodeWrong);
        Expect(
            file with { HubPublicKey = [.. other.PublicKey.Span] },
            $"The hub's public key is that of {otherHub}, but the receipt is {hub}'s.",
            hubWrong);
        Assert.StartsWith("The payload is no receipt: ", ReceiptCheck.Problems(file with { Payload = [0xf9, 0x3c, 0x00] })[0], StringComparison.Ordinal);
    }

    [Fact]
    public void What_both_signed_can_still_make_no_sense()
    {
        Expect(Signed(receipt => receipt with { Epoch = 1 }), "The epoch is 1, but the work ended in epoch 489000.");
        Expect(Signed(receipt => receipt with { FirstMs = receipt.DispatchMs - 1 }), "The first output came before the job was sent.");
        Expect(Signed(receipt => receipt with { FirstMs = receipt.LastMs + 1 }), "The last output came before the first.");
        Expect(Signed(receipt => receipt with { Sequence = 1 }), "It is the first of its chain and yet names one before it.");
        Expect(Signed(receipt => receipt with { PreviousId = Receipts.Hash(0) }), "It is not the first of its chain and yet names none before it.");
        Expect(Signed(receipt => receipt with { Sequence = 0 }), "The number in the chain is 0; the first is 1.");
        Expect(Signed(receipt => receipt with { Attempt = 0 }), "The attempt is 0; the first is 1.");
        Expect(Signed(receipt => receipt with { CompletionTokens = -1 }), "A number of tokens is negative.");
        Expect(Signed(receipt => receipt with { ReferenceMicroseconds = -1 }), "The reference work is negative.");
    }

    [Theory]
    [InlineData("", "The file is empty.")]
    [InlineData("   ", "The file is empty.")]
    [InlineData("{", "The file is no receipt in JSON:")]
    [InlineData("{}", "The file has no 'format'.")]
    [InlineData("""{"format":1}""", "The file is no receipt in JSON:")]
    [InlineData("""{"format":"other"}""", "The file's format is 'other', not 'federation-receipt/1'.")]
    [InlineData("""{"format":"federation-receipt/1"}""", "The file has no 'payload'.")]
    [InlineData("""{"format":"federation-receipt/1","payload":"%"}""", "'payload' is not base64.")]
    [InlineData("""{"format":"federation-receipt/1","payload":{"a":{"b":{"c":{"d":1}}}}}""", "The file is no receipt in JSON:")]
    [InlineData("hello", "The file is neither JSON nor a receipt in CBOR:")]
    public void What_is_no_receipt_file_is_said_to_be_none(string text, string why)
        => Assert.StartsWith(why, Assert.Throws<FormatException>(() => ReceiptFile.Read(Encoding.UTF8.GetBytes(text))).Message, StringComparison.Ordinal);

    [Fact]
    public void Truncated_and_oversized_files_are_refused_and_no_more()
    {
        var (json, cbor) = (Signed().ToJson(), Signed().ToCbor());
        for (var length = 0; length < cbor.Length; length++) Assert.Throws<FormatException>(() => ReceiptFile.Read(cbor.AsMemory(0, length)));
        for (var length = 0; length < json.Length; length += 3) Assert.Throws<FormatException>(() => ReceiptFile.Read(json.AsMemory(0, length)));
        Assert.Throws<FormatException>(() => ReceiptFile.Read((byte[])[.. cbor, 0]));
        Assert.Throws<FormatException>(() => ReceiptFile.Read(new byte[ReceiptFile.MaxBytes + 1]));
    }

    private static void Expect(ReceiptFile file, params string[] problems) => Assert.Equal(problems, ReceiptCheck.Problems(file));

    private static ImmutableArray<byte> Flipped(ImmutableArray<byte> bytes, int bit) => bytes.SetItem(bit / 8, (byte)(bytes[bit / 8] ^ (1 << (bit % 8))));

    /// <summary>The third of six that the node signed, the second of five that the hub did.</summary>
    private ReceiptFile Signed(Func<Receipt, Receipt>? change = null)
    {
        var payload = PayloadOf(change);
        var id = ReceiptCodec.IdOf(payload);
        var byNode = ReceiptBatch.OfNode([Receipts.Hash(1), Receipts.Hash(2), id, Receipts.Hash(3), Receipts.Hash(4), Receipts.Hash(5)]);
        var kept = byNode.Kept(_node.Sign(byNode.SigningBytes));
        var byHub = ReceiptBatch.OfHub([(Receipts.Hash(2), kept[1]), (id, kept[2]), .. Enumerable.Range(3, 3).Select(index => (Receipts.Hash((byte)index), kept[index]))]);
        return new ReceiptFile([.. payload], [.. _node.PublicKey.Span], [.. kept[2]], [.. _hub.PublicKey.Span], [.. byHub.Kept(_hub.Sign(byHub.SigningBytes))[1]]);
    }

    private ReceiptFile SignedAlone()
    {
        var payload = PayloadOf(null);
        var nodeSignature = _node.Sign(ReceiptCodec.NodeSigningBytes(payload));
        var hubSignature = _hub.Sign(ReceiptCodec.HubSigningBytes(payload, nodeSignature));
        return new ReceiptFile([.. payload], [.. _node.PublicKey.Span], [.. nodeSignature], [.. _hub.PublicKey.Span], [.. hubSignature]);
    }

    private byte[] PayloadOf(Func<Receipt, Receipt>? change)
    {
        var receipt = Receipts.Example with { Node = NodeId.FromPublicKey(_node.PublicKey.Span), Hub = HubId.FromPublicKey(_hub.PublicKey.Span), Epoch = Receipts.Example.LastMs / 3_600_000 };
        return ReceiptCodec.Encode(change?.Invoke(receipt) ?? receipt);
    }
}
