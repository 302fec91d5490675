using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;

namespace Federation.Silo.Gateway;

/// <summary>A page of something.</summary>
internal sealed record ListJson<T>(IReadOnlyList<T> Data)
{
    public string Object { get; } = "list";
}

/// <summary>JSON in and out of the hub's own endpoints: snake_case, absent for null.</summary>
internal static class Answers
{
    private const long MaxBodyBytes = 64 * 1024;

    public static readonly JsonSerializerOptions Options = new(JsonSerializerDefaults.Web)
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        MaxDepth = 32,
        TypeInfoResolver = new DefaultJsonTypeInfoResolver(),
        // The answers are JSON by their type; only a page of HTML would need more escaping.
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    /// <summary>The endpoint reads a body of this shape; without a content type, too, so that the answer is about the body and not about the URL.</summary>
    public static RouteHandlerBuilder TakesJson<T>(this RouteHandlerBuilder endpoint)
        where T : notnull
        => endpoint.Accepts<T>(isOptional: true, "application/json");

    public static IResult Json<T>(T value, int status = StatusCodes.Status200OK) => Results.Json(value, Options, statusCode: status);

    public static IResult Error(OpenAiError error) => new ErrorResult(error);

    /// <summary>Reads a small body of the hub's own endpoints; an absent one is <c>{}</c>.</summary>
    /// <returns>The body, or what is wrong with it: a field that is not known is refused, lest its sender believes that it counts.</returns>
    public static async Task<(T? Body, OpenAiError? Problem)> ReadAsync<T>(HttpContext http)
        where T : class
    {
        if (await RequestBody.ReadAsync(http, MaxBodyBytes) is not { } bytes) return (null, OpenAiError.BodyTooLarge(MaxBodyBytes));
        try
        {
            using var json = JsonDocument.Parse(bytes.IsEmpty ? "{}"u8.ToArray() : bytes, new JsonDocumentOptions { MaxDepth = Options.MaxDepth });
            if (json.RootElement.ValueKind != JsonValueKind.Object) return (null, NotAnObject());
            var known = Options.GetTypeInfo(typeof(T)).Properties.Select(property => property.Name).ToList();
            foreach (var field in json.RootElement.EnumerateObject())
            {
                if (!known.Contains(field.Name, StringComparer.OrdinalIgnoreCase))
                    return (null, OpenAiError.BadRequest($"There is no field '{field.Name}' here; there are: {string.Join(", ", known)}.", field.Name, "unknown_field"));
                if (WhyUnfit(field.Value) is { } why) return (null, OpenAiError.BadRequest($"'{field.Name}' {why}.", field.Name));
            }
            return (json.RootElement.Deserialize<T>(Options), null);
        }
        catch (InvalidOperationException)
        {
            // The name of a field is an escaped half of a surrogate pair, which is no text.
            return (null, NotAnObject());
        }
        catch (JsonException exception)
        {
            return (null, exception.Path is { Length: > 2 } path ? OpenAiError.BadRequest($"'{path[2..]}' is not of the right type.", path[2..]) : NotAnObject());
        }
    }

    /// <summary>What no field may hold: null in a list, which whoever looks for what does not belong there would take for nothing found; a null character, which PostgreSQL has not in its texts.</summary>
    private static string? WhyUnfit(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Array => value.EnumerateArray().Select(item => item.ValueKind is JsonValueKind.Null ? "holds null" : WhyUnfit(item)).FirstOrDefault(why => why is not null),
        JsonValueKind.String when value.GetString()!.Contains('\0', StringComparison.Ordinal) => "holds a null character",
        _ => null,
    };

    private static OpenAiError NotAnObject() => OpenAiError.BadRequest("The request body must be a JSON object.");

    private sealed class ErrorResult(OpenAiError error) : IResult
    {
        public Task ExecuteAsync(HttpContext httpContext) => error.WriteAsync(httpContext);
    }
}
