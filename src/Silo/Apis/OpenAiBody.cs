using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;
using Federation.Silo.Gateway;

namespace Federation.Silo.Apis;

/// <summary>Writes the OpenAI request that another API's request is translated into: the one kind of request the hub knows.</summary>
internal static class OpenAiBody
{
    private static readonly JsonWriterOptions Relaxed = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Writes one object.</summary>
    /// <exception cref="RefusedException">A text in it is none.</exception>
    public static ReadOnlyMemory<byte> Write(Action<Utf8JsonWriter> members)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using var json = new Utf8JsonWriter(buffer, Relaxed);
        try
        {
            json.WriteStartObject();
            members(json);
            json.WriteEndObject();
            json.Flush();
        }
        catch (InvalidOperationException)
        {
            // A value that is passed on as it came holds an escaped half of a surrogate pair.
            throw new RefusedException(ParameterErrors.NotJson());
        }
        return buffer.WrittenMemory;
    }

    /// <summary>Asks for a stream, with usage at its end: its client is always told.</summary>
    public static void WriteStream(this Utf8JsonWriter json, bool stream)
    {
        json.WriteBoolean("stream", stream);
        if (!stream) return;
        json.WriteStartObject("stream_options");
        json.WriteBoolean("include_usage", true);
        json.WriteEndObject();
    }

    /// <summary>Passes a value on under another name, as it came.</summary>
    public static void WriteField(this Utf8JsonWriter json, string name, RequestField value)
    {
        json.WritePropertyName(name);
        value.Json.WriteTo(json);
    }

    /// <summary>A part of a message that is text.</summary>
    public static void WriteTextPart(this Utf8JsonWriter json, string text)
    {
        json.WriteStartObject();
        json.WriteString("type", "text");
        json.WriteString("text", text);
        json.WriteEndObject();
    }

    /// <summary>A part of a message that is an image.</summary>
    public static void WriteImagePart(this Utf8JsonWriter json, string url, string? detail = null)
    {
        json.WriteStartObject();
        json.WriteString("type", "image_url");
        json.WriteStartObject("image_url");
        json.WriteString("url", url);
        if (detail is not null) json.WriteString("detail", detail);
        json.WriteEndObject();
        json.WriteEndObject();
    }

    /// <summary>An assistant's tool call of an earlier turn.</summary>
    /// <param name="json">Into the array <c>tool_calls</c>.</param>
    /// <param name="id">Of the call.</param>
    /// <param name="name">Of the function.</param>
    /// <param name="arguments">JSON.</param>
    public static void WriteToolCall(this Utf8JsonWriter json, string id, string name, string arguments)
    {
        json.WriteStartObject();
        json.WriteString("id", id);
        json.WriteString("type", "function");
        json.WriteStartObject("function");
        json.WriteString("name", name);
        json.WriteString("arguments", arguments);
        json.WriteEndObject();
        json.WriteEndObject();
    }

    /// <summary>A function that the model may call.</summary>
    /// <param name="json">Into the array <c>tools</c>.</param>
    /// <param name="name">Of the function.</param>
    /// <param name="description">For the model.</param>
    /// <param name="parameters">Its JSON schema.</param>
    /// <param name="strict">Whether the arguments must follow it.</param>
    public static void WriteTool(this Utf8JsonWriter json, string name, RequestField? description, RequestField? parameters, RequestField? strict = null)
    {
        json.WriteStartObject();
        json.WriteString("type", "function");
        json.WriteStartObject("function");
        json.WriteString("name", name);
        if (description is { } words) json.WriteString("description", words.Text());
        if (parameters is { } schema) json.WriteField("parameters", schema.Object());
        if (strict is { } flag) json.WriteBoolean("strict", flag.Flag());
        json.WriteEndObject();
        json.WriteEndObject();
    }

    /// <summary>Asks for JSON that follows a schema.</summary>
    public static void WriteSchemaFormat(this Utf8JsonWriter json, string name, RequestField schema, bool? strict, string? description = null)
    {
        json.WriteStartObject("response_format");
        json.WriteString("type", "json_schema");
        json.WriteStartObject("json_schema");
        json.WriteString("name", name);
        if (description is not null) json.WriteString("description", description);
        json.WriteField("schema", schema);
        if (strict is { } must) json.WriteBoolean("strict", must);
        json.WriteEndObject();
        json.WriteEndObject();
    }
}
