using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

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
        // The answers are JSON by their type; only a page of HTML would need more escaping.
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    /// <summary>The endpoint reads a body of this shape; without a content type, too, so that the answer is about the body and not about the URL.</summary>
    public static RouteHandlerBuilder TakesJson<T>(this RouteHandlerBuilder endpoint)
        where T : notnull
        => endpoint.Accepts<T>(isOptional: true, "application/json");

    public static IResult Json<T>(T value, int status = StatusCodes.Status200OK) => Results.Json(value, Options, statusCode: status);

    public static IResult Error(OpenAiError error) => new ErrorResult(error);

    public static IResult NotJson() => Error(OpenAiError.BadRequest($"The request body must be a JSON object of at most {MaxBodyBytes} bytes with fields of the right types."));

    /// <summary>Reads a small body; <see langword="null"/> when it is not the JSON that was asked for.</summary>
    public static async Task<T?> ReadAsync<T>(HttpContext http)
        where T : class
    {
        if (await RequestBody.ReadAsync(http, MaxBodyBytes) is not { } body) return null;
        try
        {
            return JsonSerializer.Deserialize<T>(body.Span, Options);
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private sealed class ErrorResult(OpenAiError error) : IResult
    {
        public Task ExecuteAsync(HttpContext httpContext) => error.WriteAsync(httpContext);
    }
}
