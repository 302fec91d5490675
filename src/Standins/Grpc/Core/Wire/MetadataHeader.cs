using Grpc.Core;

namespace Grpc.Wire;

/// <summary>Metadata entries as HTTP header values: text as it is, bytes in base64.</summary>
internal static class MetadataHeader
{
    public static string Encode(Metadata.Entry entry) => entry.IsBinary ? Convert.ToBase64String(entry.Bytes) : entry.Value;

    /// <summary>Adds the entries of one header value. A binary value may be a list, since proxies may join repeated headers.</summary>
    /// <exception cref="FormatException">A binary value is not base64.</exception>
    public static void Decode(string key, string value, Metadata into)
    {
        if (!Metadata.Entry.IsBinaryKey(key))
        {
            into.Add(key, value);
            return;
        }

        foreach (var item in value.Split(',', StringSplitOptions.TrimEntries))
            into.Add(key, FromBase64(item));
    }

    /// <summary>Base64 with or without its padding; the protocol lets senders leave it out.</summary>
    private static byte[] FromBase64(string text) =>
        Convert.FromBase64String(text.PadRight((text.Length + 3) / 4 * 4, '='));
}
