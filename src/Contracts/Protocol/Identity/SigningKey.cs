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

    /// <summary>Reads a PKCS#8 PEM.</summary>
    /// <exception cref="CryptographicException">The text is not a private key.</exception>
    /// <exception cref="FormatException">The key is not on P-256.</exception>
    public static SigningKey FromPem(string pem)
    {
        var key = ECDsa.Create();
        try
        {
            key.ImportFromPem(pem);
            if (!PublicKeys.IsOnP256(key)) throw new FormatException("The key is not an ECDSA P-256 key.");
            return new SigningKey(key);
        }
        catch
        {
            key.Dispose();
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

    /// <inheritdoc />
    public void Dispose() => _key.Dispose();
}
