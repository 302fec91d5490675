using System.Buffers;
using System.Security.Cryptography;

namespace Federation.Protocol.Identity;

/// <summary>How the id of a hub or a node follows from its public key, so that nobody can choose another's id.</summary>
internal static class KeyDerivedId
{
    private const int DigestBytes = 16;

    private static readonly SearchValues<char> HexDigits = SearchValues.Create("0123456789abcdef");

    public static string FromPublicKey(string prefix, ReadOnlySpan<byte> subjectPublicKeyInfo)
    {
        Span<byte> digest = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(subjectPublicKeyInfo, digest);
        return prefix + Convert.ToHexStringLower(digest[..DigestBytes]);
    }

    public static bool IsWellFormed(string prefix, string? text)
        => text is not null
            && text.Length == prefix.Length + (2 * DigestBytes)
            && text.StartsWith(prefix, StringComparison.Ordinal)
            && text.AsSpan(prefix.Length).IndexOfAnyExcept(HexDigits) < 0;
}
