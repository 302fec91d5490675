using System.Buffers.Text;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace Federation.Silo.Webhooks;

/// <summary>What a delivery is signed with, and how: HMAC-SHA256 over <c>timestamp.body</c>.</summary>
internal static class WebhookSignature
{
    public const string SecretPrefix = "whsec_";

    /// <summary>The secret of an endpoint, as its owner was shown it.</summary>
    /// <param name="hubSecret">Of the hub alone, the same on all its silos.</param>
    /// <param name="webhookId">The endpoint.</param>
    /// <param name="version">From 1; a rotation makes the next.</param>
    public static string Secret(ReadOnlySpan<byte> hubSecret, string webhookId, long version)
        => SecretPrefix + Base64Url.EncodeToString(HMACSHA256.HashData(hubSecret, Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{webhookId}/{version}"))));

    /// <summary>The value of the signature's header: <c>v1=</c> and hexadecimal for each secret that signs, the latest first.</summary>
    public static string Header(IEnumerable<string> secrets, long timestamp, ReadOnlySpan<byte> body)
    {
        var signed = new byte[Encoding.ASCII.GetByteCount(timestamp.ToString(CultureInfo.InvariantCulture)) + 1 + body.Length];
        var length = Encoding.ASCII.GetBytes(timestamp.ToString(CultureInfo.InvariantCulture), signed);
        signed[length] = (byte)'.';
        body.CopyTo(signed.AsSpan(length + 1));
        return string.Join(',', secrets.Select(secret => $"v1={Convert.ToHexStringLower(HMACSHA256.HashData(Encoding.UTF8.GetBytes(secret), signed))}"));
    }
}
