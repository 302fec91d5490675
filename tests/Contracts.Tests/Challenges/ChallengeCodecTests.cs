using System.Collections.Immutable;
using System.Formats.Cbor;
using System.Reflection;
using Federation.Protocol.Challenges;
using Federation.Protocol.Identity;
using FsCheck;
using FsCheck.Fluent;

namespace Federation.Contracts.Tests.Challenges;

/// <summary>P6 of the verification protocol, for the messages of a challenge.</summary>
public sealed class ChallengeCodecTests : IDisposable
{
    // FsCheck prints the seed of a failure; give it to WithReplay to see the same messages again.
    private static readonly Config Thorough = Config.QuickThrowOnFailure.WithMaxTest(200);

    private static readonly Gen<long> Integers = Gen.OneOf(
        Gen.Choose(0, 30).Select(value => (long)value),
        ArbMap.Default.GeneratorFor<DoNotSize<long>>().Select(value => value.Item),
        Gen.Elements(23L, 24, 255, 256, 65_535, 65_536, uint.MaxValue, (long)uint.MaxValue + 1, long.MaxValue, long.MinValue, -1));

    private static readonly Gen<ChallengeParameters> AnyParameters = Gen.OneOf(
        from size in Gen.Choose(1, 256) from rounds in Gen.Choose(1, 8_192) select ChallengeParameters.Matrix(64 * size, rounds),
        from segments in Gen.Choose(1, 100_000)
        from rounds in Gen.Choose(1, 1_000)
        from depth in Gen.Choose(1, ChallengeParameters.MaxFillDepth)
        select ChallengeParameters.Memory((long)segments * ChallengeMemory.SegmentBytes, rounds, depth));

    private static readonly Arbitrary<ChallengeStart> AnyStart = Arb.From(
        from parameters in AnyParameters
        from numbers in Integers.ArrayOf(2)
        from deadline in Gen.Choose(1, int.MaxValue)
        from hashes in Hash.ArrayOf(3)
        select Challenges.Start with
        {
            Id = ChallengeId.Read(hashes[2].AsSpan()[..16]),
            Parameters = parameters,
            Slot = numbers[0],
            Epoch = numbers[1],
            Beacon = hashes[0],
            Nonce = hashes[1],
            DeadlineMs = deadline,
        });

    private readonly SigningKey _key = SigningKey.Create();

    private static Gen<ImmutableArray<byte>> Hash => Gen.ArrayOf(ArbMap.Default.GeneratorFor<byte>(), 32).Select(bytes => bytes.ToImmutableArray());

    public static TheoryData<string, byte[]> Golden => new()
    {
        { Challenges.StartHex, ChallengeCodec.Encode(Challenges.Start) },
        { Challenges.CommitHex, ChallengeCodec.Encode(Challenges.Commit) },
        { Challenges.OpenHex, ChallengeCodec.Encode(Challenges.Open) },
        { Challenges.ProofHex, ChallengeCodec.Encode(Challenges.Proof) },
        { Challenges.ResultHex, ChallengeCodec.Encode(Challenges.Result) },
    };

    private static readonly (ChallengeMessage Kind, string Hex, Func<byte[], object> Decode, Func<object, byte[]> Encode)[] Messages =
    [
        (ChallengeMessage.Start, Challenges.StartHex, bytes => ChallengeCodec.DecodeStart(bytes), message => ChallengeCodec.Encode((ChallengeStart)message)),
        (ChallengeMessage.Commit, Challenges.CommitHex, bytes => ChallengeCodec.DecodeCommit(bytes), message => ChallengeCodec.Encode((ChallengeCommit)message)),
        (ChallengeMessage.Open, Challenges.OpenHex, bytes => ChallengeCodec.DecodeOpen(bytes, Challenges.Start.Parameters), message => ChallengeCodec.Encode((ChallengeOpen)message)),
        (ChallengeMessage.Proof, Challenges.ProofHex, bytes => ChallengeCodec.DecodeProof(bytes, Challenges.ProofParameters, Challenges.ProofCells), message => ChallengeCodec.Encode((ChallengeProof)message)),
        (ChallengeMessage.Result, Challenges.ResultHex, bytes => ChallengeCodec.DecodeResult(bytes), message => ChallengeCodec.Encode((ChallengeResult)message)),
    ];

    public static TheoryData<ChallengeMessage> Kinds => [.. Messages.Select(message => message.Kind)];

    public void Dispose() => _key.Dispose();

    [Theory]
    [MemberData(nameof(Golden))]
    public void The_encoding_is_these_bytes_and_stays_so(string expected, byte[] payload) => Assert.Equal(expected, Convert.ToHexStringLower(payload));

    [Theory]
    [MemberData(nameof(Kinds))]
    public void What_was_encoded_is_decoded_the_same(ChallengeMessage kind)
    {
        var (_, hex, decode, encode) = Message(kind);
        Assert.Equal(hex, Convert.ToHexStringLower(encode(decode(Unsigned(Convert.FromHexString(hex))))));
    }

    [Fact]
    public void Any_start_is_decoded_the_same() => Check.One(Thorough, Prop.ForAll(AnyStart, start =>
    {
        var decoded = ChallengeCodec.DecodeStart(Unsigned(ChallengeCodec.Encode(start)));
        foreach (var property in typeof(ChallengeStart).GetProperties(BindingFlags.Public | BindingFlags.Instance)) Assert.Equal(property.GetValue(start), property.GetValue(decoded));
    }));

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Whatever_is_decoded_is_encoded_to_the_very_same_bytes(ChallengeMessage kind)
    {
        var (_, hex, decode, encode) = Message(kind);
        var payload = Convert.FromHexString(hex);
        Check.One(
            Config.QuickThrowOnFailure.WithMaxTest(1_000),
            Prop.ForAll(Arb.From(from position in Gen.Choose(0, payload.Length - 1) from value in Gen.Choose(0, 255) select (position, value)), change =>
            {
                var bytes = payload.ToArray();
                bytes[change.position] = (byte)change.value;
                try
                {
                    Assert.Equal(bytes, encode(decode(Unsigned(bytes))));
                }
                catch (FormatException)
                {
                    // Refused: as good.
                }
            }));
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void A_signature_holds_for_its_bytes_its_key_and_its_kind_of_message_alone(ChallengeMessage kind)
    {
        var message = ChallengeCodec.Sign(Convert.FromHexString(Message(kind).Hex), kind, bytes => _key.Sign(bytes));
        using var other = SigningKey.Create();

        Assert.True(ChallengeCodec.IsSignedBy(_key.PublicKey.Span, kind, message));
        Assert.False(ChallengeCodec.IsSignedBy(other.PublicKey.Span, kind, message));
        Assert.All(Enum.GetValues<ChallengeMessage>().Where(another => another != kind), another => Assert.False(ChallengeCodec.IsSignedBy(_key.PublicKey.Span, another, message)));
        var missed = 0;
        Parallel.For(0, message.Length * 8, bit =>
        {
            var changed = message.ToArray();
            changed[bit / 8] ^= (byte)(1 << (bit % 8));
            if (ChallengeCodec.IsSignedBy(_key.PublicKey.Span, kind, changed)) Interlocked.Increment(ref missed);
        });
        Assert.Equal(0, missed);
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Every_truncation_and_every_addition_is_refused(ChallengeMessage kind)
    {
        var (_, hex, decode, _) = Message(kind);
        var payload = Convert.FromHexString(hex);
        for (var length = 0; length < payload.Length; length++) Assert.Throws<FormatException>(() => decode(Unsigned(payload[..length])));
        Assert.Throws<FormatException>(() => decode(Unsigned([.. payload, 0])));
        Assert.Throws<FormatException>(() => decode(Unsigned([.. payload, .. new byte[1 << 20]])));
        Assert.Throws<FormatException>(() => decode([]));
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Noise_is_refused_and_throws_nothing_else(ChallengeMessage kind) => Check.One(
        Config.QuickThrowOnFailure.WithMaxTest(1_000),
        Prop.ForAll(ArbMap.Default.ArbFor<byte[]>(), noise => { Assert.Throws<FormatException>(() => Message(kind).Decode(Unsigned(noise))); }));

    [Theory]
    [MemberData(nameof(Kinds))]
    public void A_float_in_the_place_of_any_field_is_refused(ChallengeMessage kind)
    {
        var (_, hex, decode, _) = Message(kind);
        for (var replaced = 0; replaced < FieldCount(hex); replaced++)
        {
            var bytes = WithFloat(Convert.FromHexString(hex), replaced);
            Assert.Throws<FormatException>(() => decode(Unsigned(bytes)));
        }
    }

    [Fact]
    public void The_challenge_of_any_message_can_be_read_before_its_sender_is_known() =>
        Assert.All(Messages, message => Assert.Equal(Challenges.Id, ChallengeCodec.IdOf(Unsigned(Convert.FromHexString(message.Hex)))));

    [Theory]
    [InlineData(63)]
    [InlineData(0)]
    [InlineData(-64)]
    [InlineData(65)]
    [InlineData(16_448)]
    public void A_matrix_of_a_size_that_no_kernel_takes_is_refused(long size) => Assert.Throws<FormatException>(() => ChallengeParameters.Matrix(size, 1));

    [Theory]
    [InlineData(65_535, 1, 1)]
    [InlineData(0, 1, 1)]
    [InlineData(1L << 40, 1, 1)]
    [InlineData(65_536, 0, 1)]
    [InlineData(65_536, 8_193, 1)]
    [InlineData(65_536, 1, 0)]
    [InlineData(65_536, 1, ChallengeParameters.MaxFillDepth + 1)]
    [InlineData(1L << 36, 8_192, 1)] // more hashes than a node is made to keep
    public void A_buffer_out_of_bounds_is_refused(long bytes, long rounds, long depth) => Assert.Throws<FormatException>(() => ChallengeParameters.Memory(bytes, rounds, depth));

    [Fact]
    public void A_cell_that_is_not_there_is_refused()
    {
        foreach (var cell in new ChallengeCell[] { new(450, 0), new(0, 8_192), new(-1, 0), new(0, -1) })
        {
            var refusal = Assert.Throws<FormatException>(() => ChallengeCodec.DecodeOpen(
                Unsigned(ChallengeCodec.Encode(Challenges.Open with { Cells = [cell] })), Challenges.Start.Parameters));
            Assert.Contains("no cell", refusal.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_proof_shows_what_was_asked_for_no_less_and_no_more()
    {
        foreach (var wrong in new[]
                 {
                     Challenges.Proof with { Roots = Challenges.Repeated(1, 32) },
                     Challenges.Proof with { Openings = [Challenges.Proof.Openings[0]] },
                     Challenges.Proof with { Openings = [.. Challenges.Proof.Openings, Challenges.Proof.Openings[0]] },
                     Challenges.Proof with { Openings = [Challenges.Proof.Openings[0], new([1], Challenges.Repeated(4, 64))] },
                     Challenges.Proof with { Openings = [Challenges.Proof.Openings[0], new(Challenges.Proof.Openings[1].Block, Challenges.Repeated(4, 96))] },
                 })
        {
            Assert.Throws<FormatException>(() => ChallengeCodec.DecodeProof(Unsigned(ChallengeCodec.Encode(wrong)), Challenges.ProofParameters, Challenges.ProofCells));
        }
    }

    [Fact]
    public void The_longest_proof_is_as_long_as_foreseen()
    {
        var parameters = ChallengeParameters.Matrix(8_192, 450);
        var cells = Enumerable.Range(0, 16).Select(i => new ChallengeCell(i, i * 500)).ToImmutableArray();
        var proof = new ChallengeProof
        {
            Id = Challenges.Id,
            Roots = Challenges.Repeated(1, 450 * 32),
            Openings = [.. cells.Select(cell => new ChallengeOpening([.. new ulong[16]], Challenges.Repeated(0, 32 * LeafTree.PathLength(8_192, cell.Index / 16))))],
        };
        var message = Unsigned(ChallengeCodec.Encode(proof));

        Assert.InRange(message.Length, 21_000, ChallengeCodec.MaxProofBytes(parameters, cells.Length));
        Assert.Equal(proof.Roots.AsEnumerable(), ChallengeCodec.DecodeProof(message, parameters, cells).Roots);
    }

    [Fact]
    public void A_result_says_no_more_than_fits()
    {
        Assert.Throws<FormatException>(() => ChallengeCodec.DecodeResult(Unsigned(ChallengeCodec.Encode(Challenges.Result with { Sentence = new string('x', 301) }))));
        Assert.Throws<FormatException>(() => ChallengeCodec.DecodeResult(Unsigned(ChallengeCodec.Encode(Challenges.Result with { Outcome = (ChallengeOutcome)6 }))));
    }

    [Fact]
    public void A_transcript_knows_where_one_message_ends_and_the_next_begins()
    {
        byte[] one = [1, 2], two = [3], all = [1, 2, 3];
        Assert.Equal(ChallengeCodec.TranscriptHash(one, two), ChallengeCodec.TranscriptHash(one, two));
        Assert.NotEqual(ChallengeCodec.TranscriptHash(one, two), ChallengeCodec.TranscriptHash(all));
        Assert.NotEqual(ChallengeCodec.TranscriptHash(one, two), ChallengeCodec.TranscriptHash(two, one));
    }

    private static (ChallengeMessage Kind, string Hex, Func<byte[], object> Decode, Func<object, byte[]> Encode) Message(ChallengeMessage kind)
        => Messages.Single(message => message.Kind == kind);

    // Decoding does not look at the signature.
    private static byte[] Unsigned(byte[] payload) => [.. payload, .. new byte[SigningKey.SignatureBytes]];

    private static int FieldCount(string hex) => (int)new CborReader(Convert.FromHexString(hex)).ReadStartMap()!;

    private static byte[] WithFloat(byte[] payload, int replaced)
    {
        var reader = new CborReader(payload);
        var writer = new CborWriter();
        var fields = (int)reader.ReadStartMap()!;
        writer.WriteStartMap(fields);
        for (var i = 0; i < fields; i++)
        {
            writer.WriteEncodedValue(reader.ReadEncodedValue().Span);
            var value = reader.ReadEncodedValue();
            if (i == replaced) writer.WriteDouble(1);
            else writer.WriteEncodedValue(value.Span);
        }
        writer.WriteEndMap();
        return writer.Encode();
    }
}
