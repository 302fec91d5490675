using System.Security.Cryptography;

namespace Federation.Protocol.Identity;

/// <summary>Checks of public keys and signatures that came from outside. Nothing here throws on hostile input.</summary>
/// <remarks>
/// A key has one encoding here: DER, the curve by its name, the point uncompressed. Ids are made from those bytes, so with
/// another encoding one key could be many nodes; and no parser has to be asked what they mean.
/// </remarks>
public static class PublicKeys
{
    /// <summary>Length of every SubjectPublicKeyInfo that is accepted, bytes.</summary>
    public const int EncodedBytes = 91;

    private const string P256Oid = "1.2.840.10045.3.1.7";

    /// <summary>What stands before the point's coordinates: ecPublicKey on prime256v1, uncompressed.</summary>
    private static ReadOnlySpan<byte> Header =>
    [
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
    ];

    /// <summary>Whether <paramref name="subjectPublicKeyInfo"/> is one whole ECDSA P-256 key and nothing more.</summary>
    public static bool IsValid(ReadOnlySpan<byte> subjectPublicKeyInfo)
    {
        using var key = TryImport(subjectPublicKeyInfo);
        return key is not null;
    }

    /// <summary>Whether <paramref name="signature"/> is that key's over <paramref name="data"/>.</summary>
    public static bool Verify(ReadOnlySpan<byte> subjectPublicKeyInfo, ReadOnlySpan<byte> data, ReadOnlySpan<byte> signature)
    {
        using var key = VerificationKey.TryRead(subjectPublicKeyInfo);
        return key is not null && key.Verify(data, signature);
    }

    internal static bool IsOnP256(ECDsa key) => key.ExportParameters(includePrivateParameters: false).Curve.Oid?.Value == P256Oid;

    internal static ECDsa? TryImport(ReadOnlySpan<byte> subjectPublicKeyInfo)
    {
        if (subjectPublicKeyInfo.Length != EncodedBytes || !subjectPublicKeyInfo.StartsWith(Header)) return null;
        var key = ECDsa.Create();
        try
        {
            key.ImportSubjectPublicKeyInfo(subjectPublicKeyInfo, out _);
            return key;
        }
        catch (CryptographicException)
        {
            // The point is not on the curve.
            key.Dispose();
            return null;
        }
    }
}
