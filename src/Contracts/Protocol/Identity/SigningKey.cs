using System.Security.Cryptography;

namespace Federation.Protocol.Identity;

/// <summary>
/// An ECDSA P-256 key pair. Signatures are SHA-256, 64 bytes (r‖s, IEEE P1363). Safe for use by several threads.
/// </summary>
public sealed class SigningKey : IDisposable
{
    /// <summary>Length of every signature, bytes.</summary>
    public const int SignatureBytes = 64;

    private readonly ECDsa _key;
    private readonly Lock _gate = new();

    private SigningKey(ECDsa key)
    {
        _key = key;
        PublicKey = key.ExportSubjectPublicKeyInfo();
    }

    /// <summary>The public half, DER SubjectPublicKeyInfo.</summary>
    public ReadOnlyMemory<byte> PublicKey { get; }

    /// <summary>Makes a new key pair.</summary>
    public static SigningKey Create() => new(ECDsa.Create(ECCurve.NamedCurves.nistP256));

    /// <summary>Reads a private key as PEM, PKCS#8 or SEC 1.</summary>
    /// <exception cref="CryptographicException">The text is not a private key.</exception>
    /// <exception cref="FormatException">The key is not on P-256.</exception>
    public static SigningKey FromPem(string pem)
    {
        var key = ECDsa.Create();
        try
        {
            key.ImportFromPem(pem);
            if (!PublicKeys.IsOnP256(key)) throw new FormatException("The key is not an ECDSA P-256 key.");
            RefuseIfPublic(key);
            return new SigningKey(key);
        }
        catch (Exception exception)
        {
            key.Dispose();
            // What the framework blames on its caller or its platform is a wrong text: no PEM, two keys, an encrypted one, a curve it never heard of.
            if (exception is ArgumentException or PlatformNotSupportedException) throw new CryptographicException("The text is not a private key in PEM form.", exception);
            throw;
        }
    }

    /// <summary>The private half as PKCS#8 PEM: a secret.</summary>
    public string ToPem() => _key.ExportPkcs8PrivateKeyPem();

    /// <summary>Signs <paramref name="data"/>.</summary>
    public byte[] Sign(ReadOnlySpan<byte> data)
    {
        // ECDsa promises no thread safety; a signature is about 30 µs, so a lock is cheaper than a pool of keys.
        lock (_gate)
        {
            return _key.SignData(data, HashAlgorithmName.SHA256, DSASignatureFormat.IeeeP1363FixedFieldConcatenation);
        }
    }

    /// <summary>A secret of 32 bytes that only who has the private half can make, the same each time; for one purpose, and of no use for another.</summary>
    public byte[] DeriveSecret(ReadOnlySpan<byte> purpose)
    {
        ECParameters parameters;
        lock (_gate) parameters = _key.ExportParameters(includePrivateParameters: true);
        try
        {
            var secret = new byte[SHA256.HashSizeInBytes];
            HKDF.DeriveKey(HashAlgorithmName.SHA256, parameters.D, secret, salt: [], info: purpose);
            return secret;
        }
        finally
        {
            CryptographicOperations.ZeroMemory(parameters.D);
        }
    }

    /// <inheritdoc />
    public void Dispose() => _key.Dispose();

    /// <summary>A public key is imported just as well; only a private one can be exported.</summary>
    private static void RefuseIfPublic(ECDsa key) => CryptographicOperations.ZeroMemory(key.ExportECPrivateKey());
}
