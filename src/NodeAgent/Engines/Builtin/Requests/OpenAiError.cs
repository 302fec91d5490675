using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Federation.NodeAgent.Engines.Builtin.Requests;

/// <summary>An answer that says what was wrong, in the shape OpenAI clients read.</summary>
/// <param name="Status">HTTP status.</param>
/// <param name="Type">"invalid_request_error", "server_error"…</param>
/// <param name="Message">For a person.</param>
/// <param name="Param">The field at fault, as a path ("messages[0].role").</param>
/// <param name="Code">For a program ("context_length_exceeded").</param>
internal sealed record OpenAiError(int Status, string Type, string Message, string? Param = null, string? Code = null)
{
    private static readonly JsonWriterOptions Relaxed = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static OpenAiError Invalid(string message, string? param = null, string? code = null) =>
        new(400, "invalid_request_error", message, param, code);

    public byte[] ToJson()
    {
        var buffer = new ArrayBufferWriter<byte>();
        using var json = new Utf8JsonWriter(buffer, Relaxed);
        json.WriteStartObject();
        json.WriteStartObject("error"u8);
        json.WriteString("message"u8, Message);
        json.WriteString("type"u8, Type);
        json.WriteString("param"u8, Param);
        json.WriteString("code"u8, Code);
        json.WriteEndObject();
        json.WriteEndObject();
        json.Flush();
        return buffer.WrittenSpan.ToArray();
    }
}

/// <summary>Ends the handling of a request with an error for its client.</summary>
internal sealed class OpenAiErrorException(OpenAiError error) : Exception(error.Message)
{
    public OpenAiError Error { get; } = error;
}
