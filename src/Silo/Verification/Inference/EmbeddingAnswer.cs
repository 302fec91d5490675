using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Text.Json;
using Federation.Protocol;
using Federation.Protocol.OpenAi;

namespace Federation.Silo.Verification.Inference;

/// <summary>The vectors of an answer to <c>/v1/embeddings</c>.</summary>
/// <param name="Vectors">One for each text, in the texts' order; all finite.</param>
/// <param name="PromptTokens">As the engine counted them; <see langword="null"/> where it did not tell.</param>
internal sealed record EmbeddingAnswer(ImmutableArray<ImmutableArray<float>> Vectors, int? PromptTokens)
{
    /// <summary>Reads numbers and base64 (little-endian singles) alike; <see langword="null"/> for what clients would find no vectors in. Never throws for what a node says.</summary>
    /// <param name="json">The engine's bytes, bounded by whoever kept them.</param>
    public static EmbeddingAnswer? Read(ReadOnlyMemory<byte> json)
    {
        try
        {
            using var document = JsonDocument.Parse(json);
            var root = document.RootElement;
            if (root.ValueKind is not JsonValueKind.Object || !root.TryGetProperty("data", out var data) || data.ValueKind is not JsonValueKind.Array || data.GetArrayLength() == 0) return null;
            var vectors = new ImmutableArray<float>?[data.GetArrayLength()];
            var place = 0;
            foreach (var item in data.EnumerateArray())
            {
                if (item.ValueKind is not JsonValueKind.Object || !item.TryGetProperty("embedding", out var embedding) || VectorOf(embedding) is not { } vector) return null;
                var at = item.TryGetProperty("index", out var index) ? index.GetInt32() : place;
                if ((uint)at >= vectors.Length || vectors[at] is not null) return null;
                vectors[at] = vector;
                place++;
            }
            return new EmbeddingAnswer([.. vectors.Select(vector => vector!.Value)], TokensOf(json.Span));
        }
        catch (Exception exception) when (exception.IsBadJson() || exception is FormatException)
        {
            // No JSON, half a surrogate pair, or a number where none fits.
            return null;
        }
    }

    private static ImmutableArray<float>? VectorOf(JsonElement embedding)
    {
        ImmutableArray<float> vector;
        switch (embedding.ValueKind)
        {
            case JsonValueKind.Array:
                vector = [.. embedding.EnumerateArray().Select(number => number.GetSingle())];
                break;
            case JsonValueKind.String when embedding.TryGetBytesFromBase64(out var bytes) && bytes.Length % sizeof(float) == 0:
                vector = [.. bytes.Chunk(sizeof(float)).Select(single => BinaryPrimitives.ReadSingleLittleEndian(single))];
                break;
            default:
                return null;
        }
        return vector.IsEmpty || !vector.All(float.IsFinite) ? null : vector;
    }

    /// <summary>As the gateway reads them.</summary>
    private static int? TokensOf(ReadOnlySpan<byte> json)
    {
        var scanner = new AnswerScanner();
        scanner.Feed(json);
        scanner.End();
        return scanner.Facts.Usage is { PromptTokens: > 0 and var tokens } ? tokens : null;
    }
}
