using System.Text.Encodings.Web;
using System.Text.Json;

namespace Federation.Silo.Gateway;

/// <summary>The shape of an error: each API's clients parse their own, and the path says whose client asks.</summary>
internal enum ErrorShape
{
    /// <summary><c>{"error":{"message","type","param","code"}}</c>, below <c>/v1</c>.</summary>
    OpenAi,

    /// <summary><c>{"error":"…"}</c>, below <c>/api</c>.</summary>
    Ollama,

    /// <summary><c>{"type":"error","error":{"type","message"},"request_id"}</c>, below <c>/v1/messages</c>.</summary>
    Anthropic,

    /// <summary>Problem details (RFC 9457), everywhere else.</summary>
    Problem,
}

/// <summary>Writes errors in each shape.</summary>
internal static class ErrorShapes
{
    /// <summary>The shape that whoever asks for this path can parse.</summary>
    public static ErrorShape Of(PathString path)
        => path.StartsWithSegments("/v1/messages", StringComparison.Ordinal) ? ErrorShape.Anthropic
            : path.StartsWithSegments("/v1", StringComparison.Ordinal) || OpenAiError.LacksVersion(path) ? ErrorShape.OpenAi
            : path.StartsWithSegments("/api", StringComparison.Ordinal) ? ErrorShape.Ollama
            : ErrorShape.Problem;

    public static string ContentType(this ErrorShape shape) => shape is ErrorShape.Problem ? "application/problem+json" : "application/json";

    /// <summary>The error's JSON.</summary>
    /// <param name="shape">Whose.</param>
    /// <param name="error">What went wrong.</param>
    /// <param name="requestId">Of the request.</param>
    public static byte[] Write(this ErrorShape shape, OpenAiError error, string requestId)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            switch (shape)
            {
                case ErrorShape.OpenAi:
                    WriteOpenAi(json, error);
                    break;
                case ErrorShape.Ollama:
                    json.WriteString("error", error.Message);
                    break;
                case ErrorShape.Anthropic:
                    WriteAnthropic(json, error, requestId);
                    break;
                case ErrorShape.Problem:
                    json.WriteString("type", $"urn:federation:{error.Code ?? error.Type}");
                    json.WriteString("title", error.Message);
                    json.WriteNumber("status", error.Status);
                    break;
                default:
                    throw new ArgumentOutOfRangeException(nameof(shape), shape, null);
            }
            json.WriteEndObject();
        }
        return buffer.ToArray();
    }

    /// <summary>The members of Anthropic's error, which are also those of its stream's <c>error</c> event.</summary>
    public static void WriteAnthropic(Utf8JsonWriter json, OpenAiError error, string requestId)
    {
        json.WriteString("type", "error");
        json.WriteStartObject("error");
        json.WriteString("type", AnthropicType(error.Status));
        json.WriteString("message", error.Message);
        json.WriteEndObject();
        json.WriteString("request_id", requestId);
    }

    private static void WriteOpenAi(Utf8JsonWriter json, OpenAiError error)
    {
        json.WriteStartObject("error");
        json.WriteString("message", error.Message);
        json.WriteString("type", error.Type);
        json.WriteString("param", error.Param);
        json.WriteString("code", error.Code);
        json.WriteEndObject();
    }

    private static string AnthropicType(int status) => status switch
    {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 => "overloaded_error",
        504 => "timeout_error",
        >= 500 => "api_error",
        _ => "invalid_request_error",
    };
}
