using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using System.Text;
using System.Text.Json;
using Federation.Protocol;
using static Federation.Silo.Verification.Audits.BodySpelling;

namespace Federation.Silo.Verification.Audits;

/// <summary>How a client's request for vectors looks without a word of it, as <see cref="RequestShape"/> has it for chats: its fields in their order, how many texts of which lengths, and how its JSON is spaced.</summary>
/// <param name="Fields">In the body's order, each with its JSON where that stays the same.</param>
/// <param name="Lengths">Characters of each text.</param>
/// <param name="IsList">The texts stand in a list, even if it is one.</param>
/// <param name="IsSpaced">A space follows colons and commas.</param>
internal sealed record EmbeddingShape(ImmutableArray<(string Name, string? Raw)> Fields, ImmutableArray<int> Lengths, bool IsList, bool IsSpaced)
{
    private const int TextsMax = 256;
    private const int DimensionsMax = 1 << 16;

    /// <summary>Reads the shape of a request; <see langword="false"/> for one that is no model for a canary: too long, or with fields that hold anybody's text.</summary>
    public static bool TryRead(ReadOnlySpan<byte> body, CanaryOptions options, [NotNullWhen(true)] out EmbeddingShape? shape)
    {
        shape = null;
        try
        {
            var reader = new Utf8JsonReader(body);
            using var json = JsonDocument.ParseValue(ref reader);
            if (json.RootElement.ValueKind is not JsonValueKind.Object) return false;
            var fields = ImmutableArray.CreateBuilder<(string, string?)>();
            ImmutableArray<int> lengths = [];
            var isList = false;
            foreach (var property in json.RootElement.EnumerateObject())
            {
                var value = property.Value;
                switch (property.Name)
                {
                    case "model":
                        fields.Add((property.Name, null));
                        break;
                    case "input" when value.ValueKind is JsonValueKind.String || (value.ValueKind is JsonValueKind.Array && value.GetArrayLength() is > 0 and <= TextsMax):
                        isList = value.ValueKind is JsonValueKind.Array;
                        lengths = isList ? [.. value.EnumerateArray().Select(LengthOf)] : [LengthOf(value)];
                        fields.Add((property.Name, null));
                        break;
                    case "encoding_format" when value.ValueKind is JsonValueKind.String && value.GetString() is "float" or "base64":
                    case "dimensions" when IsCount(value):
                        fields.Add((property.Name, value.GetRawText()));
                        break;
                    default:
                        return false;
                }
            }
            if (fields.Count(field => field.Item1 is "model") != 1 || fields.Count(field => field.Item1 is "input") != 1 || lengths.Sum(length => (long)length) > options.MaxPromptCharacters) return false;
            shape = new EmbeddingShape(fields.ToImmutable(), lengths, isList, BodySpelling.IsSpaced(body));
            return true;
        }
        catch (Exception exception) when (exception.IsBadJson())
        {
            // No text among the texts, or half a surrogate pair: an engine may take it, a canary need not be like it.
            return false;
        }
    }

    /// <summary>A shape as SDKs send it, for a hub that has had no such requests lately.</summary>
    public static EmbeddingShape Usual(Random random)
    {
        var texts = random.Next(2) == 0 ? 1 : random.Next(2, 17);
        return new EmbeddingShape(
            [("input", null), ("model", null), ("encoding_format", random.Next(2) == 0 ? "\"base64\"" : "\"float\"")], [.. Enumerable.Range(0, texts).Select(_ => random.Next(40, 600))], texts > 1, IsSpaced: false);
    }

    /// <summary>All that a body of this shape shows but for its texts and their lengths.</summary>
    public string Manner => $"{IsSpaced} {IsList} {string.Join(' ', Fields.Select(one => $"{one.Name}={one.Raw}"))}";

    /// <summary>Writes a body of this shape.</summary>
    /// <param name="model">The name its nodes know it by.</param>
    /// <param name="random">Unpredictable to nodes.</param>
    public byte[] Write(string model, Random random)
    {
        var (comma, colon) = BodySpelling.Of(IsSpaced);
        var texts = Lengths.Select(length => Quote(CanaryText.Statement(length, random))).ToArray();
        var input = IsList ? $"[{string.Join(comma, texts)}]" : texts[0];
        var fields = Fields.Select(field => $"{Quote(field.Name)}{colon}{field.Raw ?? (field.Name == "model" ? Quote(model) : input)}");
        return Encoding.UTF8.GetBytes("{" + string.Join(comma, fields) + "}");
    }

    private static bool IsCount(JsonElement value) => value.ValueKind is JsonValueKind.Number && value.TryGetInt32(out var count) && count is > 0 and <= DimensionsMax;

    private static int LengthOf(JsonElement text) => (text.GetString() ?? throw new JsonException("No text.")).Length;
}
