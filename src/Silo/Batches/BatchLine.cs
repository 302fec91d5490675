using System.Buffers;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Federation.Protocol;
using Federation.Protocol.OpenAi;
using Federation.Silo.Jobs;

namespace Federation.Silo.Batches;

/// <summary>One request of a batch, as its line has it.</summary>
/// <param name="CustomId">The client's name for it.</param>
/// <param name="Body">OpenAI's body, in the client's own bytes.</param>
/// <param name="Model">The model the body names; empty where it names none, which its own answer will say.</param>
internal sealed record BatchLine(string CustomId, ReadOnlyMemory<byte> Body, string Model)
{
    private const int DepthMax = 68;
    private const int CustomIdMax = 512;

    private static readonly JsonWriterOptions Relaxed = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true };

    /// <summary>Reads a line; exactly one of the two is set. What is wrong with the body inside is for the line's own answer to say.</summary>
    public static (BatchLine? Line, BatchError? Problem) Read(ReadOnlyMemory<byte> line, long number, JobKind kind)
    {
        try
        {
            using var json = JsonDocument.Parse(line, new JsonDocumentOptions { MaxDepth = DepthMax, AllowDuplicateProperties = false });
            return json.RootElement.ValueKind is JsonValueKind.Object ? Read(json.RootElement, number, kind) : Bad("invalid_json_line", "This line is not a JSON object.", null, number);
        }
        catch (Exception exception) when (exception.IsBadJson())
        {
            return Bad("invalid_json_line", "This line is not parseable as valid JSON.", null, number);
        }
    }

    /// <summary>The line of the output for an answer.</summary>
    public static byte[] Output(string customId, BackgroundAnswer answer) => Write(customId, json =>
    {
        json.WriteStartObject("response");
        json.WriteNumber("status_code", answer.Status);
        json.WriteString("request_id", answer.RequestId);
        json.WritePropertyName("body");
        WriteInOneLine(json, answer.Body);
        json.WriteEndObject();
        json.WriteNull("error");
    });

    /// <summary>The line of the output for a request that was not answered at all.</summary>
    public static byte[] Output(string customId, string code, string message) => Write(customId, json =>
    {
        json.WriteNull("response");
        json.WriteStartObject("error");
        json.WriteString("code", code);
        json.WriteString("message", message);
        json.WriteEndObject();
    });

    private static (BatchLine?, BatchError?) Read(JsonElement root, long number, JobKind kind)
    {
        if (!TryGetText(root, "custom_id", out var customId) || customId.Length is 0 or > CustomIdMax)
            return Bad("missing_required_parameter", $"'custom_id' must be a string of 1 to {CustomIdMax} characters.", "custom_id", number);
        if (!TryGetText(root, "method", out var method) || method != "POST") return Bad("invalid_method", "'method' must be 'POST'.", "method", number);
        if (!TryGetText(root, "url", out var url) || url != kind.Path()) return Bad("invalid_url", $"'url' must be the batch's endpoint, '{kind.Path()}'.", "url", number);
        if (!root.TryGetProperty("body", out var body) || body.ValueKind is not JsonValueKind.Object) return Bad("missing_required_parameter", "'body' must be an object.", "body", number);
        return (new BatchLine(customId, Encoding.UTF8.GetBytes(body.GetRawText()), TryGetText(body, "model", out var model) ? model : string.Empty), null);
    }

    private static bool TryGetText(JsonElement root, string name, out string text)
    {
        var isText = root.TryGetProperty(name, out var value) && value.ValueKind is JsonValueKind.String;
        text = isText ? value.GetString()! : string.Empty;
        return isText;
    }

    private static (BatchLine?, BatchError?) Bad(string code, string message, string? param, long line) => (null, new BatchError(code, message, param, line));

    private static byte[] Write(string customId, Action<Utf8JsonWriter> rest)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, Relaxed))
        {
            json.WriteStartObject();
            json.WriteString("id", $"batch_req_{Guid.CreateVersion7():N}");
            json.WriteString("custom_id", customId);
            rest(json);
            json.WriteEndObject();
        }
        return buffer.WrittenSpan.ToArray();
    }

    /// <summary>The engine's bytes as they are; written anew only if they have line breaks, which would cut the output's line in two.</summary>
    private static void WriteInOneLine(Utf8JsonWriter json, ReadOnlyMemory<byte> body)
    {
        if (body.Span.IndexOfAny((byte)'\n', (byte)'\r') < 0)
        {
            json.WriteRawValue(body.Span, skipInputValidation: true);
            return;
        }
        using var parsed = JsonDocument.Parse(body, new JsonDocumentOptions { MaxDepth = 128 });
        parsed.RootElement.WriteTo(json);
    }
}

/// <summary>A line of a file.</summary>
/// <param name="Number">From 1, blank lines counted.</param>
/// <param name="Bytes">Without its line break; empty where the line is beyond the limit.</param>
/// <param name="IsTooLong">It has more bytes than a line may.</param>
internal readonly record struct FileLine(long Number, ReadOnlyMemory<byte> Bytes, bool IsTooLong);

/// <summary>Cuts a file that comes in pieces into its lines.</summary>
internal static class FileLines
{
    /// <summary>The lines that are not blank, in order.</summary>
    /// <param name="pieces">The file.</param>
    /// <param name="maxBytes">Longest line, bytes; more of one is not kept.</param>
    public static async IAsyncEnumerable<FileLine> ReadAsync(IAsyncEnumerable<byte[]> pieces, int maxBytes)
    {
        var held = new ArrayBufferWriter<byte>();
        var (number, tooLong) = (1L, false);
        await foreach (var piece in pieces)
        {
            ReadOnlyMemory<byte> rest = piece;
            while (rest.Span.IndexOf((byte)'\n') is >= 0 and var end)
            {
                tooLong |= !TryHold(held, rest[..end], maxBytes);
                if (Line(held, number, tooLong) is { } line) yield return line;
                held = new ArrayBufferWriter<byte>();
                (number, tooLong, rest) = (number + 1, false, rest[(end + 1)..]);
            }
            tooLong |= !TryHold(held, rest, maxBytes);
        }
        if (Line(held, number, tooLong) is { } last) yield return last;
    }

    private static bool TryHold(ArrayBufferWriter<byte> held, ReadOnlyMemory<byte> bytes, int maxBytes)
    {
        if (held.WrittenCount + bytes.Length > maxBytes) return false;
        held.Write(bytes.Span);
        return true;
    }

    private static FileLine? Line(ArrayBufferWriter<byte> held, long number, bool tooLong)
    {
        if (tooLong) return new FileLine(number, default, true);
        // Some editors put a mark before the first line.
        var bytes = number == 1 && held.WrittenSpan.StartsWith(Encoding.UTF8.Preamble) ? held.WrittenMemory[Encoding.UTF8.Preamble.Length..] : held.WrittenMemory;
        return bytes.Span.IndexOfAnyExcept(" \t\r"u8) < 0 ? null : new FileLine(number, bytes, false);
    }
}
