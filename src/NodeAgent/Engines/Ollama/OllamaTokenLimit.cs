using System.Text.Json;
using Federation.Protocol;

namespace Federation.NodeAgent.Engines.Ollama;

/// <summary>
/// Ollama's OpenAI-compatible endpoint knows <c>max_tokens</c> and passes over its newer name: a client that says <c>max_completion_tokens</c> alone would be answered, and charged, without end. So the number
/// is said again under the older name, spliced into the body as it came.
/// </summary>
internal static class OllamaTokenLimit
{
    /// <summary>The same request with a <c>max_tokens</c>; as it is where it has one, or no number to go by.</summary>
    public static ReadOnlyMemory<byte> Say(ReadOnlyMemory<byte> body)
    {
        try
        {
            return Find(body.Span) is var (position, number) && position > 0
                ? (byte[])[.. body.Span[..position], .. "\"max_tokens\":"u8, .. body.Span.Slice(number.Start, number.Length), (byte)',', .. body.Span[position..]]
                : body;
        }
        catch (Exception e) when (e.IsBadJson())
        {
            // Not JSON: to refuse it is the engine's business.
            return body;
        }
    }

    /// <summary>Where the field goes, behind the opening brace, and where its number stands; 0 where there is nothing to say.</summary>
    private static (int Position, (int Start, int Length) Number) Find(ReadOnlySpan<byte> body)
    {
        var reader = new Utf8JsonReader(body);
        if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
        {
            return default;
        }

        var position = (int)reader.BytesConsumed;
        (int Start, int Length) number = default;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var isOld = reader.ValueTextEquals("max_tokens"u8);
            var isNew = reader.ValueTextEquals("max_completion_tokens"u8);
            reader.Read();
            if (isOld)
            {
                return default;
            }

            if (isNew && reader.TokenType == JsonTokenType.Number)
            {
                number = ((int)reader.TokenStartIndex, reader.ValueSpan.Length);
            }

            reader.Skip();
        }

        return number.Length > 0 ? (position, number) : default;
    }
}
