using System.Text.Json;

namespace Federation.Silo.Gateway;

/// <summary>
/// Pictures, sounds and films that a request names by their address instead of bringing them. A node's engine would fetch them from where it stands: from a contributor's own network, on a stranger's
/// word. Which address a name leads to is decided only when it is fetched, so no list of forbidden ones helps, and nodes are sent none.
/// </summary>
internal static class RemoteMedia
{
    /// <summary>Whether the engine would have to fetch anything.</summary>
    /// <param name="body">A request that is JSON.</param>
    public static bool IsNamedIn(ReadOnlySpan<byte> body)
    {
        // Of what most requests have neither of, the second may hide the first.
        if (body.IndexOf("_url"u8) < 0 && body.IndexOf("\\u"u8) < 0) return false;
        var reader = new Utf8JsonReader(body);
        while (reader.Read())
        {
            if (reader.TokenType is not JsonTokenType.PropertyName || !IsAddress(reader) || !reader.Read()) continue;
            if (reader.TokenType is JsonTokenType.String && !IsData(reader)) return true;
            if (reader.TokenType is JsonTokenType.StartObject && HasAddress(ref reader)) return true;
        }
        return false;
    }

    /// <summary><c>image_url</c>, <c>video_url</c>, <c>audio_url</c>, <c>file_url</c>, and whatever engines add.</summary>
    private static bool IsAddress(in Utf8JsonReader name)
        => name.ValueIsEscaped ? Unescaped(name).EndsWith("_url", StringComparison.Ordinal) : name.ValueSpan.EndsWith("_url"u8);

    /// <summary>Whether the object that the reader stands on, and then behind, has an address for its <c>url</c>.</summary>
    private static bool HasAddress(ref Utf8JsonReader reader)
    {
        var depth = reader.CurrentDepth;
        var found = false;
        while (reader.Read() && reader.CurrentDepth > depth)
        {
            if (reader.TokenType is not JsonTokenType.PropertyName || (!IsUrl(reader) && !IsAddress(reader)) || !reader.Read()) continue;
            found |= reader.TokenType is JsonTokenType.String && !IsData(reader);
        }
        return found;
    }

    private static bool IsData(in Utf8JsonReader value)
        => value.ValueIsEscaped ? Unescaped(value).StartsWith("data:", StringComparison.OrdinalIgnoreCase) : value.ValueSpan.Length >= 5 && System.Text.Ascii.EqualsIgnoreCase(value.ValueSpan[..5], "data:"u8);

    private static bool IsUrl(in Utf8JsonReader name) => name.ValueIsEscaped ? Unescaped(name) == "url" : name.ValueSpan.SequenceEqual("url"u8);

    /// <summary>As an engine reads it; half a surrogate pair, which is no text, is neither name nor address.</summary>
    private static string Unescaped(in Utf8JsonReader text)
    {
        try
        {
            return text.GetString()!;
        }
        catch (InvalidOperationException)
        {
            return string.Empty;
        }
    }
}
