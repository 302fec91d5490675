using System.Globalization;
using System.Text;

namespace Grpc.Wire;

/// <summary>The percent-encoding of <c>grpc-message</c>: printable ASCII stays, everything else and '%' is UTF-8 in hexadecimal.</summary>
internal static class StatusMessage
{
    public static string Encode(string detail)
    {
        if (!detail.AsSpan().ContainsAnyExceptInRange(' ', '~') && !detail.Contains('%', StringComparison.Ordinal))
            return detail;

        var encoded = new StringBuilder(detail.Length + 16);
        foreach (var octet in Encoding.UTF8.GetBytes(detail))
        {
            if (octet is >= 0x20 and <= 0x7e and not (byte)'%')
                encoded.Append((char)octet);
            else
                encoded.Append(CultureInfo.InvariantCulture, $"%{octet:X2}");
        }

        return encoded.ToString();
    }

    /// <summary>Decodes; what is malformed stays as it came, because a status must reach the caller whatever its words.</summary>
    public static string Decode(string? value) => string.IsNullOrEmpty(value) ? "" : Uri.UnescapeDataString(value);
}
