using System.Collections.Immutable;
using System.Reflection;
using Federation.Contracts.Tests.Identity;
using Federation.Protocol.Identity;
using Federation.Protocol.Receipts;
using FsCheck;
using FsCheck.Fluent;

namespace Federation.Contracts.Tests.Receipts;

public sealed class ReceiptCodecTests
{
    // FsCheck prints the seed of a failure; give it to WithReplay to see the same receipts again.
    private static readonly Config Thorough = Config.QuickThrowOnFailure.WithMaxTest(500);

    private static readonly byte[] Payload = Convert.FromHexString(Receipts.PayloadHex);
    private static readonly byte[] NodeSignature = Convert.FromHexString(Receipts.NodeSignatureHex);
    private static readonly byte[] HubSignature = Convert.FromHexString(Receipts.HubSignatureHex);
    private static readonly byte[] Key = Convert.FromHexString(TestKeys.PublicHex);

    private static readonly Gen<long> Integers = Gen.OneOf(
        Gen.Choose(0, 30).Select(value => (long)value),
        ArbMap.Default.GeneratorFor<int>().Select(value => (long)value),
        ArbMap.Default.GeneratorFor<DoNotSize<long>>().Select(value => value.Item),
        Gen.Elements(23L, 24, 255, 256, 65_535, 65_536, uint.MaxValue, (long)uint.MaxValue + 1, long.MaxValue, long.MinValue, -1));

    private static readonly Gen<string> Texts = Gen.OneOf(
        Gen.Elements("", "llama3:8b", "mistralai/Mistral-7B", "模型", "🦙", "a\"b\\c\n", "\0"),
        Gen.Choose(0, 300).Select(length => new string('x', length)));

    private static readonly Gen<ImmutableArray<byte>> Hashes = Gen.ArrayOf(ArbMap.Default.GeneratorFor<byte>(), 32).Select(bytes => bytes.ToImmutableArray());

    private static readonly Arbitrary<Receipt> AnyReceipt = Arb.From(
        from numbers in Integers.ArrayOf(8)
        from attempt in ArbMap.Default.GeneratorFor<int>()
        from texts in Texts.ArrayOf(4)
        from hashes in Hashes.ArrayOf(4)
        from ids in Hashes.ArrayOf(2)
        select new Receipt
        {
            Epoch = numbers[0],
            Sequence = numbers[1],
            PreviousId = hashes[0],
            JobId = texts[0],
            Attempt = attempt,
            Node = NodeId.FromPublicKey(ids[0].AsSpan()),
            Hub = HubId.FromPublicKey(ids[1].AsSpan()),
            ClientHash = hashes[1],
            Model = texts[1],
            ModelDigest = texts[2],
            RequestHash = hashes[2],
            OutputHash = hashes[3],
            PromptTokens = numbers[2],
            CompletionTokens = numbers[3],
            DispatchMs = numbers[4],
            FirstMs = numbers[5],
            LastMs = numbers[6],
            HardwareClass = texts[3],
            ReferenceMicroseconds = numbers[7],
        });

    // --------------------------------------------------------------------------------------------- what is agreed on

    // Made by another program from the description: receipts that were signed must be readable for ever.
    [Fact]
    public void The_encoding_is_these_bytes_and_stays_so()
    {
        Assert.Equal(Receipts.PayloadHex, Convert.ToHexStringLower(ReceiptCodec.Encode(Receipts.Example)));
        Assert.Equal(Receipts.PayloadSha256, Convert.ToHexStringLower(ReceiptCodec.IdOf(Payload).AsSpan()));
        AssertSame(Receipts.Example, ReceiptCodec.Decode(Payload));
    }

    [Fact]
    public void Both_signatures_are_over_these_bytes_and_stay_so()
    {
        Assert.True(NodeAgrees(Payload, NodeSignature));
        Assert.True(HubAgrees(Payload, NodeSignature, HubSignature));
    }

    [Fact]
    public void What_was_encoded_is_decoded_the_same() => Check.One(Thorough, Prop.ForAll(AnyReceipt, receipt =>
        AssertSame(receipt, ReceiptCodec.Decode(ReceiptCodec.Encode(receipt)))));

    [Fact]
    public void Two_receipts_with_one_id_are_one_receipt() => Check.One(Thorough, Prop.ForAll(AnyReceipt, AnyReceipt, (one, other) =>
    {
        var same = ReceiptCodec.IdOf(ReceiptCodec.Encode(one)).AsSpan().SequenceEqual(ReceiptCodec.IdOf(ReceiptCodec.Encode(other)).AsSpan());
        Assert.Equal(Same(one, other), same);
    }));

    [Fact]
    public void Whatever_is_decoded_is_encoded_to_the_very_same_bytes() => Check.One(
        Config.QuickThrowOnFailure.WithMaxTest(5_000),
        Prop.ForAll(
            Arb.From(
                from position in Gen.Choose(0, Payload.Length - 1)
                from value in Gen.Choose(0, 255)
                from cut in Gen.Frequency((9, Gen.Constant(0)), (1, Gen.Choose(1, 20)))
                select (position, value, cut)),
            change =>
            {
                var bytes = Payload[..^change.cut];
                if (change.position < bytes.Length) bytes[change.position] = (byte)change.value;
                try
                {
                    Assert.Equal(bytes, ReceiptCodec.Encode(ReceiptCodec.Decode(bytes)));
                }
                catch (FormatException)
                {
                    // Refused: as good.
                }
            }));

    [Fact]
    public void Noise_is_refused_and_throws_nothing_else() => Check.One(
        Config.QuickThrowOnFailure.WithMaxTest(5_000),
        Prop.ForAll(ArbMap.Default.ArbFor<byte[]>(), noise => { Assert.Throws<FormatException>(() => ReceiptCodec.Decode(noise)); }));

    // ----------------------------------------------------------------------------------------------- what is refused

    [Fact]
    public void No_bit_of_payload_or_signatures_can_change_unnoticed()
    {
        ForEachBit(Payload, changed =>
        {
            Assert.False(NodeAgrees(changed, NodeSignature));
            Assert.False(HubAgrees(changed, NodeSignature, HubSignature));
        });
        ForEachBit(NodeSignature, changed =>
        {
            Assert.False(NodeAgrees(Payload, changed));
            Assert.False(HubAgrees(Payload, changed, HubSignature));
        });
        ForEachBit(HubSignature, changed => Assert.False(HubAgrees(Payload, NodeSignature, changed)));
    }

    [Fact]
    public void A_nodes_signature_is_not_the_hubs_nor_the_other_way_round()
    {
        Assert.False(NodeAgrees(Payload, HubSignature));
        Assert.False(HubAgrees(Payload, NodeSignature, NodeSignature));
        Assert.False(NodeAgrees([.. Payload, .. NodeSignature], HubSignature));
    }

    [Theory]
    [InlineData("", false)]
    [InlineData("sha256:abcd/ollama/0.33.0/cuda/sm_89/np4", false)]
    [InlineData("", true)]
    [InlineData("sha256:abcd/builtin/1.0/cpu/x64/np1", true)]
    public void What_a_node_says_beside_its_work_is_there_or_left_out(string determinismClass, bool commits)
    {
        var receipt = Receipts.Example with { DeterminismClass = determinismClass, LogprobCommitment = commits ? Receipts.Hash(0xe0) : [] };
        var bytes = ReceiptCodec.Encode(receipt);
        var raw = new RawReceipt();
        if (determinismClass.Length > 0) raw = raw.And(RawReceipt.Integer(21), RawReceipt.Text(determinismClass));
        if (commits) raw = raw.And(RawReceipt.Integer(22), RawReceipt.Bytes(receipt.LogprobCommitment.AsSpan()));
        Assert.Equal(raw.ToBytes(), bytes);
        var read = ReceiptCodec.Decode(bytes);
        Assert.Equal(determinismClass, read.DeterminismClass);
        Assert.Equal(receipt.LogprobCommitment, read.LogprobCommitment, (a, b) => a.SequenceEqual(b));
        Assert.Equal(bytes, ReceiptCodec.Encode(read));
    }

    [Fact]
    public void The_raw_writer_of_these_tests_writes_the_right_thing_unless_told_otherwise() => Assert.Equal(Payload, new RawReceipt().ToBytes());

    public static TheoryData<string, byte[]> Departures()
    {
        var f = RawReceipt.Integer(23);
        return new TheoryData<string, byte[]>
        {
            { "empty", [] },
            { "not a map", RawReceipt.Integer(1) },
            { "an array", [0x80] },
            { "an empty map", [0xa0] },
            { "a missing field", new RawReceipt().Without(20).ToBytes() },
            { "an empty determinism class", new RawReceipt().And(RawReceipt.Integer(21), RawReceipt.Text("")).ToBytes() },
            { "a determinism class that is no text", new RawReceipt().And(RawReceipt.Integer(21), RawReceipt.Integer(1)).ToBytes() },
            { "a short commitment", new RawReceipt().And(RawReceipt.Integer(22), RawReceipt.Bytes(new byte[31])).ToBytes() },
            { "an empty commitment", new RawReceipt().And(RawReceipt.Integer(22), RawReceipt.Bytes([])).ToBytes() },
            { "a commitment before the class", new RawReceipt().And(RawReceipt.Integer(22), RawReceipt.Bytes(new byte[32])).And(RawReceipt.Integer(21), RawReceipt.Text("dc")).ToBytes() },
            { "a commitment twice", new RawReceipt().And(RawReceipt.Integer(22), RawReceipt.Bytes(new byte[32])).And(RawReceipt.Integer(22), RawReceipt.Bytes(new byte[32])).ToBytes() },
            { "a missing field in the middle", new RawReceipt().Without(10).ToBytes() },
            { "an unknown field", new RawReceipt().And(f, RawReceipt.Integer(0)).ToBytes() },
            { "an unknown field in place of one", new RawReceipt().WithKey(20, f).ToBytes() },
            { "a field twice", new RawReceipt().Without(20).And(RawReceipt.Integer(19), RawReceipt.Text("cpu")).ToBytes() },
            { "two fields in the wrong order", new RawReceipt().Swapped(2, 3).ToBytes() },
            { "a text as key", new RawReceipt().WithKey(1, RawReceipt.Text("1")).ToBytes() },
            { "a negative key", new RawReceipt().WithKey(1, RawReceipt.Integer(-1)).ToBytes() },
            { "a key longer than it need be", new RawReceipt().WithKey(2, 0x18, 0x02).ToBytes() },
            { "a number longer than it need be", new RawReceipt().With(3, 0x18, 0x07).ToBytes() },
            { "a number much longer than it need be", new RawReceipt().With(3, 0x1b, 0, 0, 0, 0, 0, 0, 0, 7).ToBytes() },
            { "a length longer than it need be", new RawReceipt().With(4, [0x59, 0, 32, .. new byte[32]]).ToBytes() },
            { "a half float", new RawReceipt().With(3, 0xf9, 0x47, 0x00).ToBytes() },
            { "a float", new RawReceipt().With(3, 0xfa, 0x40, 0xe0, 0, 0).ToBytes() },
            { "a double", new RawReceipt().With(3, 0xfb, 0x40, 0x1c, 0, 0, 0, 0, 0, 0).ToBytes() },
            { "a map without length", new RawReceipt { Start = [0xbf], End = [0xff] }.ToBytes() },
            { "a text without length", new RawReceipt().With(10, [0x7f, .. RawReceipt.Text("llama3:8b"), 0xff]).ToBytes() },
            { "bytes without length", new RawReceipt().With(4, [0x5f, .. RawReceipt.Bytes(new byte[32]), 0xff]).ToBytes() },
            { "a tag", new RawReceipt().With(3, 0xc1, 0x07).ToBytes() },
            { "a big number", new RawReceipt().With(3, 0xc2, 0x41, 0x07).ToBytes() },
            { "null", new RawReceipt().With(3, 0xf6).ToBytes() },
            { "undefined", new RawReceipt().With(3, 0xf7).ToBytes() },
            { "true", new RawReceipt().With(3, 0xf5).ToBytes() },
            { "text for a number", new RawReceipt().With(3, RawReceipt.Text("7")).ToBytes() },
            { "a number for text", new RawReceipt().With(10, RawReceipt.Integer(7)).ToBytes() },
            { "bytes for text", new RawReceipt().With(10, RawReceipt.Bytes("llama"u8)).ToBytes() },
            { "text for bytes", new RawReceipt().With(4, RawReceipt.Text(new string('x', 32))).ToBytes() },
            { "a nested map", new RawReceipt().With(3, 0xa1, 0x01, 0x01).ToBytes() },
            { "a number beyond 63 bits", new RawReceipt().With(2, 0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff).ToBytes() },
            { "an attempt beyond 31 bits", new RawReceipt().With(6, RawReceipt.Integer(int.MaxValue + 1L)).ToBytes() },
            { "a short hash", new RawReceipt().With(12, RawReceipt.Bytes(new byte[31])).ToBytes() },
            { "a long hash", new RawReceipt().With(13, RawReceipt.Bytes(new byte[33])).ToBytes() },
            { "no hash", new RawReceipt().With(4, RawReceipt.Bytes([])).ToBytes() },
            { "text that is not UTF-8", new RawReceipt().With(10, 0x62, 0xc3, 0x28).ToBytes() },
            { "a malformed node", new RawReceipt().With(7, RawReceipt.Text("nd_1")).ToBytes() },
            { "a hub for a node", new RawReceipt().With(7, RawReceipt.Text(Receipts.Example.Hub.ToString())).ToBytes() },
            { "a malformed hub", new RawReceipt().With(8, RawReceipt.Text("")).ToBytes() },
            { "version 0", new RawReceipt().With(1, RawReceipt.Integer(0)).ToBytes() },
            { "version 2", new RawReceipt().With(1, RawReceipt.Integer(2)).ToBytes() },
            { "a byte more", [.. Payload, 0] },
            { "twice itself", [.. Payload, .. Payload] },
            { "arrays without end", [.. Enumerable.Repeat((byte)0x81, 4_000)] },
            { "a text that claims to be huge", new RawReceipt().With(10, 0x7b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff).ToBytes() },
        };
    }

    [Theory]
    [MemberData(nameof(Departures))]
    public void A_departure_from_the_one_encoding_is_refused(string what, byte[] bytes)
    {
        var refusal = Assert.Throws<FormatException>(() => ReceiptCodec.Decode(bytes));
        Assert.False(string.IsNullOrWhiteSpace(refusal.Message), what);
    }

    [Fact]
    public void Every_truncation_is_refused()
    {
        for (var length = 0; length < Payload.Length; length++) Assert.Throws<FormatException>(() => ReceiptCodec.Decode(Payload.AsMemory(0, length)));
    }

    [Fact]
    public void A_receipt_beyond_the_limit_is_refused_unread()
    {
        var refusal = Assert.Throws<FormatException>(() => ReceiptCodec.Decode(new byte[ReceiptCodec.MaxEncodedBytes + 1]));
        Assert.Contains("4096", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_hash_of_the_wrong_length_is_not_encoded()
        => Assert.Throws<ArgumentException>(() => ReceiptCodec.Encode(Receipts.Example with { OutputHash = [1, 2, 3] }));

    private static bool NodeAgrees(byte[] payload, byte[] signature) => PublicKeys.Verify(Key, ReceiptCodec.NodeSigningBytes(payload), signature);

    private static bool HubAgrees(byte[] payload, byte[] nodeSignature, byte[] signature)
        => PublicKeys.Verify(Key, ReceiptCodec.HubSigningBytes(payload, nodeSignature), signature);

    private static void ForEachBit(byte[] bytes, Action<byte[]> look) => Parallel.For(0, bytes.Length * 8, bit =>
    {
        var changed = bytes.ToArray();
        changed[bit / 8] ^= (byte)(1 << (bit % 8));
        look(changed);
    });

    private static void AssertSame(Receipt expected, Receipt actual)
    {
        foreach (var property in typeof(Receipt).GetProperties(BindingFlags.Public | BindingFlags.Instance)) Assert.Equal(property.GetValue(expected), property.GetValue(actual));
    }

    // The record's own equality compares arrays of bytes by reference.
    private static bool Same(Receipt one, Receipt other) => typeof(Receipt).GetProperties(BindingFlags.Public | BindingFlags.Instance)
        .All(property => (property.GetValue(one), property.GetValue(other)) switch
        {
            (ImmutableArray<byte> a, ImmutableArray<byte> b) => a.AsSpan().SequenceEqual(b.AsSpan()),
            var (a, b) => Equals(a, b),
        });
}
