using System.Text.Json;

namespace Federation.Protocol.OpenAi;

/// <summary>A streaming request that asks for usage, and whether its client did so itself.</summary>
/// <param name="Body">The client's bytes, with as few added as it takes.</param>
/// <param name="IsAdded">The client did not ask: it must not be shown the chunk that only holds usage.</param>
public readonly record struct UsageRequest(ReadOnlyMemory<byte> Body, bool IsAdded);

/// <summary>Asks for usage at the end of a stream, by splicing <c>stream_options.include_usage</c> into the body as it came.</summary>
/// <remarks>The body is not parsed and written anew: number formats, key order, duplicate keys and fields nobody knows reach the engine as the client wrote them.</remarks>
public static class StreamUsage
{
    /// <summary>
    /// The same request with <c>include_usage</c> on. A body that is not a JSON object, or whose <c>stream_options</c> is neither an object nor
    /// <c>null</c>, comes back as it is: to refuse it is the engine's business.
    /// </summary>
    public static UsageRequest Ask(ReadOnlyMemory<byte> body)
    {
        Splice? splice;
        try
        {
            splice = Find(body.Span);
        }
        catch (Exception e) when (e.IsBadJson())
        {
            // Not JSON, or a name that is not valid text.
            return new(body, false);
        }

        return splice is { } found ? new(found.Apply(body.Span), true) : new(body, false);
    }

    private static Splice? Find(ReadOnlySpan<byte> body)
    {
        var reader = new Utf8JsonReader(body);
        if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
        {
            return null;
        }

        var start = (int)reader.BytesConsumed;
        Splice? found = null;
        var isEmpty = true;
        var isNamed = false;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            isEmpty = false;
            if (!reader.ValueTextEquals("stream_options"u8))
            {
                reader.Skip();
                continue;
            }

            // The last of several counts, as for every parser we know.
            isNamed = true;
            reader.Read();
            found = InOptions(ref reader);
        }

        RequireEnd(ref reader);
        return isNamed ? found : Insertion(start, isEmpty, "\"stream_options\":{\"include_usage\":true}");
    }

    /// <summary>What to do to the value of <c>stream_options</c>, on which the reader stands.</summary>
    private static Splice? InOptions(ref Utf8JsonReader reader)
    {
        if (reader.TokenType == JsonTokenType.Null)
        {
            return Replacement(ref reader, "{\"include_usage\":true}");
        }

        if (reader.TokenType != JsonTokenType.StartObject)
        {
            reader.Skip();
            return null;
        }

        var start = (int)reader.BytesConsumed;
        Splice? found = null;
        var isEmpty = true;
        var isNamed = false;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            isEmpty = false;
            var isUsage = reader.ValueTextEquals("include_usage"u8);
            reader.Read();
            if (isUsage)
            {
                isNamed = true;
                found = reader.TokenType is JsonTokenType.False or JsonTokenType.Null ? Replacement(ref reader, "true") : null;
            }

            reader.Skip();
        }

        return isNamed ? found : Insertion(start, isEmpty, "\"include_usage\":true");
    }

    /// <summary>Bytes after the object make the body invalid as a whole; splicing could hide that from nobody, but need not be tried.</summary>
    private static void RequireEnd(ref Utf8JsonReader reader)
    {
        while (reader.Read())
        {
        }
    }

    private static Splice Insertion(int position, bool isOnly, string text) => new(position, 0, isOnly ? text : text + ",");

    private static Splice Replacement(ref Utf8JsonReader reader, string text) =>
        new((int)reader.TokenStartIndex, reader.ValueSpan.Length, text);

    private readonly record struct Splice(int Position, int Removed, string Text)
    {
        public byte[] Apply(ReadOnlySpan<byte> body)
        {
            var result = new byte[body.Length - Removed + Text.Length];
            body[..Position].CopyTo(result);
            System.Text.Encoding.ASCII.GetBytes(Text, result.AsSpan(Position));
            body[(Position + Removed)..].CopyTo(result.AsSpan(Position + Text.Length));
            return result;
        }
    }
}
