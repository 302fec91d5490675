using System.Text;
using System.Text.Json;

namespace Federation.NodeAgent.Configuration;

/// <summary>
/// Changes single settings in the text of a configuration and leaves everything else as its owner wrote it: comments, order, spacing.
/// The text must be valid.
/// </summary>
internal static class ConfigText
{
    private static readonly JsonReaderOptions _leniently = new() { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true };

    /// <summary>Brings into <paramref name="text"/> what differs between two versions of all settings.</summary>
    public static byte[] Update(byte[] text, JsonElement before, JsonElement after)
    {
        foreach ((string[] path, string value) in Differences(before, after, []))
        {
            text = Set(text, path, value);
        }

        return text;
    }

    /// <summary>Both have the same groups; lists count as one value.</summary>
    private static IEnumerable<(string[] Path, string Value)> Differences(JsonElement before, JsonElement after, string[] path)
    {
        foreach (JsonProperty member in after.EnumerateObject())
        {
            JsonElement old = before.GetProperty(member.Name);
            string[] memberPath = [.. path, member.Name];
            if (member.Value.ValueKind == JsonValueKind.Object && old.ValueKind == JsonValueKind.Object)
            {
                foreach ((string[], string) difference in Differences(old, member.Value, memberPath))
                {
                    yield return difference;
                }
            }
            else if (!JsonElement.DeepEquals(old, member.Value))
            {
                yield return (memberPath, member.Value.GetRawText());
            }
        }
    }

    private static byte[] Set(byte[] text, string[] path, string value)
    {
        var reader = new Utf8JsonReader(text, _leniently);
        reader.Read();
        for (int depth = 0; ; depth++)
        {
            int open = (int)reader.TokenStartIndex;
            int? lastEnd = null;
            bool entered = false;
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                bool wanted = reader.ValueTextEquals(path[depth]);
                reader.Read();
                if (wanted && depth < path.Length - 1 && reader.TokenType == JsonTokenType.StartObject)
                {
                    entered = true;
                    break;
                }

                int start = (int)reader.TokenStartIndex;
                reader.Skip();
                lastEnd = (int)reader.BytesConsumed;
                if (wanted)
                {
                    return Splice(text, start, lastEnd.Value, Nest(path.AsSpan(depth + 1), value));
                }
            }

            if (!entered)
            {
                string member = $"\"{path[depth]}\": {Nest(path.AsSpan(depth + 1), value)}";
                return Append(text, open, lastEnd, close: (int)reader.TokenStartIndex, member, depth);
            }
        }
    }

    /// <summary>Adds a member at the end of the group between two braces.</summary>
    private static byte[] Append(byte[] text, int open, int? lastEnd, int close, string member, int depth)
    {
        bool severalLines = text.AsSpan(open, close - open).Contains((byte)'\n');
        string outerIndent = new(' ', 2 * depth);
        int end = open + 1 + text.AsSpan(open + 1, close - open - 1).TrimEnd(" \t\r\n"u8).Length;
        bool first = lastEnd is null;

        // The document itself is spread over lines even if it was "{}".
        string added = severalLines ? $"\n{outerIndent}  {member}"
            : first && depth == 0 ? $"\n  {member}\n"
            : first ? $" {member} "
            : $" {member}";
        byte[] result = Splice(text, end, severalLines || !first ? end : close, added);
        return first || HasComma(text.AsSpan(lastEnd!.Value, close - lastEnd.Value))
            ? result
            : Splice(result, lastEnd.Value, lastEnd.Value, ",");
    }

    /// <summary>Whether there is a comma in what lies between the last value and the brace: white space and comments.</summary>
    private static bool HasComma(ReadOnlySpan<byte> rest)
    {
        for (int i = 0; i < rest.Length; i++)
        {
            if (rest[i] == (byte)',')
            {
                return true;
            }

            if (rest[i] == (byte)'/')
            {
                ReadOnlySpan<byte> end = rest[i + 1] == (byte)'*' ? "*/"u8 : "\n"u8;
                i += 2;
                i += rest[i..].IndexOf(end) + end.Length - 1;
            }
        }

        return false;
    }

    private static string Nest(ReadOnlySpan<string> path, string value) =>
        path.IsEmpty ? value : $"{{ \"{path[0]}\": {Nest(path[1..], value)} }}";

    private static byte[] Splice(ReadOnlySpan<byte> text, int start, int end, string replacement) =>
        [.. text[..start], .. Encoding.UTF8.GetBytes(replacement), .. text[end..]];
}
