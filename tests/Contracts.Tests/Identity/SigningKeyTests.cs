using System.Security.Cryptography;
using Federation.Protocol.Identity;

namespace Federation.Contracts.Tests.Identity;

public sealed class SigningKeyTests
{
    private static readonly byte[] Message = "what is signed"u8.ToArray();

    [Theory]
    [InlineData(TestKeys.Pkcs8)]
    [InlineData(TestKeys.Sec1)]
    public void A_private_key_of_another_program_is_read(string pem)
    {
        using var key = SigningKey.FromPem(pem);
        Assert.Equal(TestKeys.PublicHex, Convert.ToHexStringLower(key.PublicKey.Span));
        Assert.True(PublicKeys.Verify(key.PublicKey.Span, Message, key.Sign(Message)));
    }

    [Fact]
    public void A_key_survives_its_pem()
    {
        using var made = SigningKey.Create();
        using var read = SigningKey.FromPem(made.ToPem());
        Assert.Equal(made.PublicKey.ToArray(), read.PublicKey.ToArray());
        Assert.True(PublicKeys.Verify(made.PublicKey.Span, Message, read.Sign(Message)));
    }

    [Fact]
    public void Every_key_is_another_one()
    {
        using var one = SigningKey.Create();
        using var other = SigningKey.Create();
        Assert.NotEqual(one.PublicKey.ToArray(), other.PublicKey.ToArray());
        Assert.False(PublicKeys.Verify(one.PublicKey.Span, Message, other.Sign(Message)));
    }

    [Theory]
    [InlineData(TestKeys.PublicPem)]
    [InlineData(TestKeys.EncryptedPkcs8)]
    [InlineData(TestKeys.Pkcs8 + "\n" + TestKeys.Pkcs8)]
    [InlineData("")]
    [InlineData("not a key")]
    [InlineData("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----")]
    [InlineData("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----")]
    [InlineData("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----")]
    public void What_is_not_a_private_key_is_refused(string pem) => Assert.ThrowsAny<CryptographicException>(() => SigningKey.FromPem(pem));

    [Fact]
    public void A_curve_nobody_knows_is_refused()
    {
        using var key = SigningKey.Create();
        var pkcs8 = Convert.FromBase64String(string.Concat(key.ToPem().Split('\n').Where(line => !line.StartsWith('-'))));
        // The last byte of the curve's object identifier.
        pkcs8[26] = 0x7f;
        Assert.ThrowsAny<CryptographicException>(() => SigningKey.FromPem(PemEncoding.WriteString("PRIVATE KEY", pkcs8)));
    }

    [Theory]
    [InlineData(TestKeys.P384)]
    [InlineData(TestKeys.Secp256k1)]
    public void A_key_on_another_curve_is_refused(string pem) => Assert.Throws<FormatException>(() => SigningKey.FromPem(pem));

    [Fact]
    public void An_rsa_key_is_refused()
    {
        using var rsa = RSA.Create(2048);
        Assert.ThrowsAny<CryptographicException>(() => SigningKey.FromPem(rsa.ExportPkcs8PrivateKeyPem()));
    }

    [Fact]
    public void A_signature_is_64_bytes_and_never_the_same_twice()
    {
        using var key = SigningKey.Create();
        var (one, other) = (key.Sign(Message), key.Sign(Message));
        Assert.Equal((SigningKey.SignatureBytes, SigningKey.SignatureBytes), (one.Length, other.Length));
        Assert.NotEqual(one, other);
    }

    [Fact]
    public void Many_threads_may_sign_at_once()
    {
        using var key = SigningKey.Create();
        Parallel.For(0, 200, index =>
        {
            var message = BitConverter.GetBytes(index);
            Assert.True(PublicKeys.Verify(key.PublicKey.Span, message, key.Sign(message)));
        });
    }
}
