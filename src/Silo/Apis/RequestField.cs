using System.Text.Json;
using System.Text.Unicode;
using Federation.Protocol;
using Federation.Silo.Gateway;

namespace Federation.Silo.Apis;

/// <summary>A request of another API cannot be translated; the error names the field by the name its client gave it.</summary>
internal sealed class RefusedException(OpenAiError error) : Exception(error.Message)
{
    public OpenAiError Error { get; } = error;
}

/// <summary>A value in a client's request, and where it stands: whoever reads it as something it is not gets an error that names the place.</summary>
/// <param name="Json">The value.</param>
/// <param name="Path">As in <c>messages[0].content</c>; empty for the request itself.</param>
internal readonly record struct RequestField(JsonElement Json, string Path)
{
    private const int DepthMax = 64;

    /// <summary>Reads a request's body, which must be one JSON object that says nothing twice; the document is the caller's to dispose.</summary>
    /// <exception cref="RefusedException">It is not.</exception>
    public static JsonDocument Parse(ReadOnlyMemory<byte> body)
    {
        JsonDocument document;
        try
        {
            if (!Utf8.IsValid(body.Span)) throw new JsonException("Not UTF-8.");
            // Of a name that stands twice, one reader takes the first and another the last.
            document = JsonDocument.Parse(body, new JsonDocumentOptions { MaxDepth = DepthMax, AllowDuplicateProperties = false });
        }
        catch (Exception exception) when (exception.IsBadJson())
        {
            throw new RefusedException(ParameterErrors.NotJson());
        }
        if (document.RootElement.ValueKind is JsonValueKind.Object) return document;
        document.Dispose();
        throw new RefusedException(OpenAiError.BadRequest("The request body must be a JSON object."));
    }

    /// <summary>A field of this object that is there and not null.</summary>
    public RequestField? Find(string name) => Json.TryGetProperty(name, out var value) && value.ValueKind is not JsonValueKind.Null ? new RequestField(value, At(name)) : null;

    /// <summary>A field that must be there.</summary>
    public RequestField Need(string name) => Find(name) ?? throw new RefusedException(ParameterErrors.Missing(At(name)));

    /// <summary>Where a field of this object stands.</summary>
    public string At(string name) => Path.Length == 0 ? name : $"{Path}.{name}";

    public bool IsText => Json.ValueKind is JsonValueKind.String;

    /// <summary>The text.</summary>
    /// <exception cref="RefusedException">It is none.</exception>
    public string Text(string expected = "a string")
    {
        if (!IsText) throw WrongType(expected);
        try
        {
            return Json.GetString()!;
        }
        catch (InvalidOperationException)
        {
            // An escaped half of a surrogate pair, which is no text.
            throw new RefusedException(ParameterErrors.NotJson());
        }
    }

    public bool Flag() => Json.ValueKind switch
    {
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        _ => throw WrongType("a boolean"),
    };

    public double Number(double min, double max)
    {
        if (Json.ValueKind is not JsonValueKind.Number) throw WrongType("a number");
        var number = Json.GetDouble();
        return number < min || number > max ? throw OutOfRange(isWhole: false, isBelow: number < min, number < min ? min : max) : number;
    }

    public long Whole(long min, long max)
    {
        if (Json.ValueKind is not JsonValueKind.Number) throw WrongType("an integer");
        if (!Json.TryGetInt64(out var number))
        {
            var size = Json.GetDouble();
            throw Math.Abs(size) >= long.MaxValue ? OutOfRange(isWhole: true, isBelow: size < 0, size < 0 ? min : max) : WrongType("an integer");
        }
        return number < min || number > max ? throw OutOfRange(isWhole: true, isBelow: number < min, number < min ? min : max) : number;
    }

    /// <summary>The elements of an array.</summary>
    public IEnumerable<RequestField> Items(string expected = "an array")
    {
        if (Json.ValueKind is not JsonValueKind.Array) throw WrongType(expected);
        var path = Path;
        return Json.EnumerateArray().Select((item, index) => new RequestField(item, $"{path}[{index}]"));
    }

    /// <summary>This, which must be an object.</summary>
    public RequestField Object() => Json.ValueKind is JsonValueKind.Object ? this : throw WrongType("an object");

    /// <summary>The text, which must be one of these.</summary>
    public string OneOf(params ReadOnlySpan<string> allowed)
    {
        var text = Text();
        return allowed.Contains(text) ? text : throw new RefusedException(ParameterErrors.NotAmong(Path, text, allowed));
    }

    public RefusedException WrongType(string expected) => new(ParameterErrors.WrongType(Path, expected, Json.ValueKind));

    /// <summary>The field is known, and cannot be honoured here.</summary>
    public RefusedException Unsupported(string why) => new(ParameterErrors.Unsupported(Path, why));

    private RefusedException OutOfRange(bool isWhole, bool isBelow, double bound) => new(ParameterErrors.OutOfRange(Path, isWhole, isBelow, bound, Json.GetRawText()));
}
