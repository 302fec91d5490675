using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Federation.Silo.Providers;

/// <summary>Changes one member of a JSON object and leaves every other byte as it was written.</summary>
internal static class JsonSplice
{
    /// <summary>Puts another text in the place of a member's, wherever the object's top level has it.</summary>
    /// <returns>The same bytes where the member is not there or is no text.</returns>
    /// <exception cref="JsonException">It is no JSON.</exception>
    public static ReadOnlyMemory<byte> WithText(ReadOnlyMemory<byte> json, ReadOnlySpan<byte> member, string text)
    {
        var reader = new Utf8JsonReader(json.Span);
        var (from, to) = (-1, -1);
        if (!reader.Read() || reader.TokenType is not JsonTokenType.StartObject) return json;
        while (reader.Read() && reader.TokenType is JsonTokenType.PropertyName)
        {
            var isIt = reader.ValueTextEquals(member);
            reader.Read();
            if (isIt && reader.TokenType is JsonTokenType.String) (from, to) = ((int)reader.TokenStartIndex, (int)reader.BytesConsumed);
            reader.Skip();
        }
        return from < 0 ? json : Concat(json.Span[..from], Encoding.UTF8.GetBytes($"\"{JsonEncodedText.Encode(text)}\""), json.Span[to..]);
    }

    /// <summary>Gives an object's member a number: where it is null in its place, where it is not there in front. A second member of the name would count for some who read it, and not for others.</summary>
    /// <returns>The same bytes where the member is anything but null.</returns>
    /// <exception cref="JsonException">It is no JSON.</exception>
    public static ReadOnlyMemory<byte> With(ReadOnlyMemory<byte> json, string member, long number)
    {
        var reader = new Utf8JsonReader(json.Span);
        reader.Read();
        while (reader.Read() && reader.TokenType is JsonTokenType.PropertyName)
        {
            var isIt = reader.ValueTextEquals(member);
            reader.Read();
            if (isIt) return reader.TokenType is not JsonTokenType.Null ? json : Concat(json.Span[..(int)reader.TokenStartIndex], Encoding.UTF8.GetBytes(number.ToString(CultureInfo.InvariantCulture)), json.Span[(int)reader.BytesConsumed..]);
            reader.Skip();
        }
        var open = json.Span.IndexOf((byte)'{');
        var isEmpty = json.Span[(open + 1)..].TrimStart(" \t\r\n"u8) is [(byte)'}', ..];
        return Concat(json.Span[..(open + 1)], Encoding.UTF8.GetBytes(FormattableString.Invariant($"\"{member}\":{number}{(isEmpty ? "" : ",")}")), json.Span[(open + 1)..]);
    }

    private static byte[] Concat(ReadOnlySpan<byte> before, ReadOnlySpan<byte> between, ReadOnlySpan<byte> after)
    {
        var result = new byte[before.Length + between.Length + after.Length];
        before.CopyTo(result);
        between.CopyTo(result.AsSpan(before.Length));
        after.CopyTo(result.AsSpan(before.Length + between.Length));
        return result;
    }
}
