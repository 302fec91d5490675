using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;

namespace Federation.Silo.Accounts;

/// <summary>Random texts that open something: shown once, stored as their SHA-256.</summary>
internal static class Secrets
{
    private const int RandomBytes = 32;

    /// <summary>A new secret: the prefix and 43 characters.</summary>
    public static string Create(string prefix) => prefix + Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(RandomBytes));

    /// <summary>What is stored of it.</summary>
    public static byte[] Hash(string secret) => SHA256.HashData(Encoding.UTF8.GetBytes(secret));

    /// <summary>Whether a text can be a secret at all, so that nothing longer is hashed or looked up.</summary>
    public static bool IsWellFormed(string prefix, string text)
        => text.StartsWith(prefix, StringComparison.Ordinal) && text.Length == prefix.Length + 43;
}
