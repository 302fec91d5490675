using System.Security.Cryptography;
using Federation.Protocol.Identity;
using FsCheck;
using FsCheck.Fluent;

namespace Federation.Contracts.Tests.Identity;

public sealed class PublicKeysTests
{
    private static readonly byte[] Message = "what is signed"u8.ToArray();
    private static readonly byte[] Key = Convert.FromHexString(TestKeys.PublicHex);

    [Fact]
    public void A_p256_key_is_valid() => Assert.True(PublicKeys.IsValid(Key));

    [Theory]
    [InlineData("")]
    [InlineData("00")]
    [InlineData("3059")]
    [InlineData(TestKeys.P384PublicHex)]
    [InlineData(TestKeys.Secp256k1PublicHex)]
    [InlineData(TestKeys.BrainpoolPublicHex)]
    [InlineData(TestKeys.Ed25519PublicHex)]
    public void Another_kind_of_key_is_refused(string hex) => Assert.False(PublicKeys.IsValid(Convert.FromHexString(hex)));

    [Theory]
    [InlineData(TestKeys.CompressedHex)]
    [InlineData(TestKeys.HybridHex)]
    [InlineData(TestKeys.ExplicitCurveHex)]
    public void The_same_key_in_another_encoding_is_refused(string hex)
    {
        // It would have another id: one machine could be several nodes.
        var key = Convert.FromHexString(hex);
        Assert.False(PublicKeys.IsValid(key));
        using var owner = SigningKey.FromPem(TestKeys.Pkcs8);
        Assert.False(PublicKeys.Verify(key, Message, owner.Sign(Message)));
    }

    [Fact]
    public void A_length_written_longer_than_it_need_be_is_refused()
    {
        // 30 59 … as 30 81 59 …: BER, not DER.
        byte[] key = [0x30, 0x81, 0x59, .. Key.AsSpan(2)];
        Assert.False(PublicKeys.IsValid(key));
    }

    [Fact]
    public void Bytes_after_the_key_are_refused()
    {
        Assert.False(PublicKeys.IsValid([.. Key, 0]));
        Assert.False(PublicKeys.IsValid([.. Key, .. Key]));
    }

    [Fact]
    public void A_huge_key_is_refused_unread() => Assert.False(PublicKeys.IsValid([.. Key, .. new byte[10_000_000]]));

    [Fact]
    public void A_point_off_the_curve_is_refused()
    {
        var key = Key.ToArray();
        key[^1] ^= 1;
        Assert.False(PublicKeys.IsValid(key));
        Assert.False(PublicKeys.IsValid([.. Key.AsSpan(0, 27), .. new byte[64]]));
    }

    [Fact]
    public void Every_truncation_is_refused()
    {
        for (var length = 0; length < Key.Length; length++) Assert.False(PublicKeys.IsValid(Key.AsSpan(0, length)), $"{length} bytes of a key were taken for one.");
    }

    [Fact]
    public void Nothing_from_outside_throws() => Check.One(
        Config.QuickThrowOnFailure.WithMaxTest(2_000),
        Prop.ForAll(
            Arb.From(from position in Gen.Choose(0, Key.Length - 1) from flip in Gen.Choose(1, 255) select (position, flip)),
            change =>
            {
                var key = Key.ToArray();
                key[change.position] ^= (byte)change.flip;
                // Some other key, at most; never ours.
                if (PublicKeys.IsValid(key)) Assert.NotEqual(NodeId.FromPublicKey(Key), NodeId.FromPublicKey(key));
            }));

    [Fact]
    public void A_signature_is_valid_for_its_key_and_message_alone()
    {
        using var key = SigningKey.FromPem(TestKeys.Pkcs8);
        using var other = SigningKey.Create();
        var signature = key.Sign(Message);
        Assert.True(PublicKeys.Verify(Key, Message, signature));
        Assert.False(PublicKeys.Verify(other.PublicKey.Span, Message, signature));
        Assert.False(PublicKeys.Verify(Key, "another"u8, signature));
        Assert.False(PublicKeys.Verify(Key, [], signature));
        Assert.False(PublicKeys.Verify([], Message, signature));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(63)]
    [InlineData(65)]
    [InlineData(70)]
    public void A_signature_of_another_length_is_refused(int length) => Assert.False(PublicKeys.Verify(Key, Message, new byte[length]));

    [Fact]
    public void A_signature_in_der_is_refused()
    {
        using var key = ECDsa.Create();
        key.ImportFromPem(TestKeys.Pkcs8);
        Assert.False(PublicKeys.Verify(Key, Message, key.SignData(Message, HashAlgorithmName.SHA256, DSASignatureFormat.Rfc3279DerSequence)));
    }

    [Fact]
    public void Signatures_out_of_range_are_refused()
    {
        Assert.False(PublicKeys.Verify(Key, Message, new byte[64]));
        Assert.False(PublicKeys.Verify(Key, Message, Enumerable.Repeat((byte)0xff, 64).ToArray()));
    }

    [Fact]
    public void A_key_that_was_read_once_checks_many_signatures()
    {
        using var owner = SigningKey.FromPem(TestKeys.Pkcs8);
        using var key = VerificationKey.TryRead(owner.PublicKey.Span);
        Assert.NotNull(key);
        for (var i = 0; i < 20; i++)
        {
            byte[] data = [.. Message, (byte)i];
            var signature = owner.Sign(data);
            Assert.True(key.Verify(data, signature));
            Assert.False(key.Verify(Message, signature));
            Assert.False(key.Verify(data, signature.AsSpan(1)));
        }

        Assert.Null(VerificationKey.TryRead([0x30, 0x59]));
    }
}
