using System.Buffers;
using System.Text.Json;
using Federation.Protocol;
using Federation.Protocol.OpenAi;
using Federation.Silo.Gateway;

namespace Federation.Silo.Apis.Ollama;

/// <summary>An Ollama client that asked for vectors.</summary>
/// <param name="http">The client.</param>
/// <param name="model">As the client named it.</param>
/// <param name="isOne">Of <c>/api/embeddings</c>: one vector; else of <c>/api/embed</c>.</param>
/// <param name="time">The clock.</param>
internal sealed class OllamaEmbeddingSink(HttpContext http, string model, bool isOne, TimeProvider time) : AnswerSink
{
    private readonly long _startedAt = time.GetTimestamp();

    public override CancellationToken Gone => http.RequestAborted;

    public override void Tell(RateLimits limits) => limits.WriteTo(http.Response);

    public override void Repeat(string jobId) => OpenAiSink.DescribeRepeat(http.Response, jobId);

    public override void Begin(AnswerHead head) => OpenAiSink.Describe(http.Response, head);

    public override void Write(in SseEvent item)
    {
    }

    public override ValueTask FlushAsync() => ValueTask.CompletedTask;

    /// <summary>Vectors are never streamed: an engine that does has not understood what it was asked.</summary>
    public override ValueTask CompleteAsync(ReadOnlyMemory<byte> rest) => RefuseAsync(EngineErrors.Unreadable());

    public override async ValueTask WriteWholeAsync(AnswerHead head, int status, string contentType, ReadOnlyMemory<byte> body)
    {
        OpenAiSink.Describe(http.Response, head);
        if (status >= StatusCodes.Status300MultipleChoices)
        {
            await RefuseAsync(EngineErrors.Read(status, body));
            return;
        }
        var answer = new ArrayBufferWriter<byte>();
        if (!TryWrite(body, head, answer))
        {
            await RefuseAsync(EngineErrors.Unreadable());
            return;
        }
        http.Response.StatusCode = StatusCodes.Status200OK;
        http.Response.ContentType = "application/json";
        http.Response.ContentLength = answer.WrittenCount;
        await http.Response.Body.WriteAsync(answer.WrittenMemory, Gone);
    }

    public override async ValueTask RefuseAsync(OpenAiError error) => await error.WriteAsync(http);

    public override ValueTask BreakOffAsync(OpenAiError error) => RefuseAsync(error);

    /// <summary>Writes the vectors in the order of their indices.</summary>
    private bool TryWrite(ReadOnlyMemory<byte> body, AnswerHead head, IBufferWriter<byte> output)
    {
        try
        {
            using var document = JsonDocument.Parse(body);
            var root = document.RootElement;
            var vectors = root.GetProperty("data").EnumerateArray().OrderBy(item => item.GetProperty("index").GetInt32()).Select(item => item.GetProperty("embedding")).ToList();
            if (vectors.Exists(vector => vector.ValueKind is not JsonValueKind.Array) || (isOne && vectors.Count != 1)) return false;
            using var json = new Utf8JsonWriter(output);
            json.WriteStartObject();
            if (isOne)
            {
                json.WritePropertyName("embedding");
                vectors[0].WriteTo(json);
            }
            else
            {
                json.WriteString("model", model);
                json.WriteStartArray("embeddings");
                foreach (var vector in vectors) vector.WriteTo(json);
                json.WriteEndArray();
                json.WriteNumber("total_duration", time.GetElapsedTime(_startedAt).Ticks * 100);
                json.WriteNumber("load_duration", head.Queued.Ticks * 100);
                json.WriteNumber("prompt_eval_count", root.TryGetProperty("usage", out var usage) && usage.TryGetProperty("prompt_tokens", out var tokens) ? tokens.GetInt32() : 0);
            }
            json.WriteEndObject();
            return true;
        }
        catch (Exception exception) when (exception.IsBadJson() || exception is FormatException or KeyNotFoundException)
        {
            return false;
        }
    }
}
