using System.Security.Cryptography;

namespace Federation.Protocol.Identity;

/// <summary>A public key that many signatures are checked by: reading a key costs twice what a check does. For one thread at a time.</summary>
public sealed class VerificationKey : IDisposable
{
    private readonly ECDsa _key;

    private VerificationKey(ECDsa key) => _key = key;

    /// <summary>Reads a key; <see langword="null"/> for what <see cref="PublicKeys.IsValid"/> does not accept.</summary>
    public static VerificationKey? TryRead(ReadOnlySpan<byte> subjectPublicKeyInfo) => PublicKeys.TryImport(subjectPublicKeyInfo) is { } key ? new VerificationKey(key) : null;

    /// <summary>Whether <paramref name="signature"/> is this key's over <paramref name="data"/>.</summary>
    public bool Verify(ReadOnlySpan<byte> data, ReadOnlySpan<byte> signature)
        => signature.Length == SigningKey.SignatureBytes && _key.VerifyData(data, signature, HashAlgorithmName.SHA256, DSASignatureFormat.IeeeP1363FixedFieldConcatenation);

    /// <inheritdoc/>
    public void Dispose() => _key.Dispose();
}
