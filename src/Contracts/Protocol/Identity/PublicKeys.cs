using System.Security.Cryptography;

namespace Federation.Protocol.Identity;

/// <summary>Checks of public keys and signatures that came from outside. Nothing here throws on hostile input.</summary>
public static class PublicKeys
{
    /// <summary>Longest accepted SubjectPublicKeyInfo, bytes. A P-256 key is 91.</summary>
    public const int MaxEncodedBytes = 256;

    private const string P256Oid = "1.2.840.10045.3.1.7";

    /// <summary>Whether <paramref name="subjectPublicKeyInfo"/> is one whole ECDSA P-256 key and nothing more.</summary>
    public static bool IsValid(ReadOnlySpan<byte> subjectPublicKeyInfo)
    {
        using var key = TryImport(subjectPublicKeyInfo);
        return key is not null;
    }

    /// <summary>Whether <paramref name="signature"/> is that key's over <paramref name="data"/>.</summary>
    public static bool Verify(ReadOnlySpan<byte> subjectPublicKeyInfo, ReadOnlySpan<byte> data, ReadOnlySpan<byte> signature)
    {
        if (signature.Length != SigningKey.SignatureBytes) return false;
        using var key = TryImport(subjectPublicKeyInfo);
        return key is not null
            && key.VerifyData(data, signature, HashAlgorithmName.SHA256, DSASignatureFormat.IeeeP1363FixedFieldConcatenation);
    }

    internal static bool IsOnP256(ECDsa key) => key.ExportParameters(includePrivateParameters: false).Curve.Oid?.Value == P256Oid;

    private static ECDsa? TryImport(ReadOnlySpan<byte> subjectPublicKeyInfo)
    {
        if (subjectPublicKeyInfo.IsEmpty || subjectPublicKeyInfo.Length > MaxEncodedBytes) return null;
        var key = ECDsa.Create();
        try
        {
            key.ImportSubjectPublicKeyInfo(subjectPublicKeyInfo, out var read);
            if (read == subjectPublicKeyInfo.Length && IsOnP256(key)) return key;
        }
        catch (CryptographicException)
        {
            // Not a key: the answer is "no", below.
        }
        key.Dispose();
        return null;
    }
}
