using System.Buffers;
using System.Globalization;
using System.Text.Json;
using Federation.Silo.Gateway;

namespace Federation.Silo.Apis.Ollama;

/// <summary>Writes an answer as Ollama does: a line of JSON for each piece, the last with counts and durations; or one object with all of it.</summary>
/// <remarks>
/// Durations are the hub's, nanoseconds: <c>load_duration</c> in the queue for a node; <c>prompt_eval_duration</c> from there to the first piece, of a stream; <c>eval_duration</c> from there to the end.
/// Tool calls come whole, as Ollama's do, on the line before the last.
/// </remarks>
/// <param name="output">What is filled.</param>
/// <param name="model">As the client named it.</param>
/// <param name="isChat">Of <c>/api/chat</c>; else of <c>/api/generate</c>.</param>
/// <param name="showsThoughts">The client did not say that the model is not to think.</param>
/// <param name="time">The clock.</param>
internal sealed class OllamaWriter(IBufferWriter<byte> output, string model, bool isChat, bool showsThoughts, TimeProvider time) : AnswerWriter(output)
{
    private readonly long _startedAt = time.GetTimestamp();
    private readonly ChatAnswer _calls = new();
    private TimeSpan _queued;
    private long? _firstAt;

    public override string StreamType => "application/x-ndjson";

    public override void Begin(AnswerHead head) => _queued = head.Queued;

    public override void Take(ChatPiece piece)
    {
        Note(piece);
        // Only what the last line tells is kept.
        _calls.Add(piece with { Text = string.Empty, Thought = string.Empty, Refusal = string.Empty, Logprobs = null });
        if (piece.Text.Length + piece.Refusal.Length == 0 && piece.Logprobs is null && (piece.Thought.Length == 0 || !showsThoughts)) return;
        WriteLine(json => WriteSaid(json, piece.Text + piece.Refusal, piece.Thought, [], piece.Logprobs is { } logprobs ? [logprobs] : []));
    }

    public override void End()
    {
        if (_calls.Calls.Count > 0) WriteLine(json => WriteSaid(json, string.Empty, string.Empty, _calls.Calls, []));
        WriteLine(json =>
        {
            WriteSaid(json, string.Empty, string.Empty, [], [], isDone: true);
            WriteEnd(json, _calls);
        });
    }

    public override void BreakOff(OpenAiError error)
    {
        WriteObject(json => json.WriteString("error", error.Message));
        Output.Write("\n"u8);
    }

    public override void Whole(AnswerHead head, ChatAnswer answer)
    {
        _queued = head.Queued;
        WriteObject(json =>
        {
            WriteHead(json);
            WriteSaid(json, answer.Text + answer.Refusal, answer.Thought, answer.Calls, answer.Logprobs, isDone: true);
            WriteEnd(json, answer);
        });
    }

    /// <summary>Writes the answer to a question without words.</summary>
    /// <param name="residency">"load" or "unload".</param>
    public void Resident(string residency)
    {
        WriteObject(json =>
        {
            WriteHead(json);
            WriteSaid(json, string.Empty, string.Empty, [], [], isDone: true);
            json.WriteString("done_reason", residency);
        });
        Output.Write("\n"u8);
    }

    private void Note(ChatPiece piece)
    {
        if (piece.Text.Length + piece.Thought.Length + piece.Refusal.Length > 0 || !piece.Calls.IsEmpty) _firstAt ??= time.GetTimestamp();
    }

    private void WriteLine(Action<Utf8JsonWriter> members)
    {
        WriteObject(json =>
        {
            WriteHead(json);
            members(json);
        });
        Output.Write("\n"u8);
    }

    private void WriteHead(Utf8JsonWriter json)
    {
        json.WriteString("model", model);
        json.WriteString("created_at", time.GetUtcNow().UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.fffffff'Z'", CultureInfo.InvariantCulture));
    }

    private void WriteSaid(Utf8JsonWriter json, string text, string thought, IReadOnlyList<ChatCall> calls, IReadOnlyList<string> logprobs, bool isDone = false)
    {
        if (isChat)
        {
            json.WriteStartObject("message");
            json.WriteString("role", "assistant");
            json.WriteString("content", text);
        }
        else json.WriteString("response", text);
        if (showsThoughts && thought.Length > 0) json.WriteString("thinking", thought);
        if (calls.Count > 0)
        {
            json.WriteStartArray("tool_calls");
            for (var i = 0; i < calls.Count; i++) WriteCall(json, calls[i], i);
            json.WriteEndArray();
        }
        if (isChat) json.WriteEndObject();
        WriteLogprobs(json, logprobs);
        json.WriteBoolean("done", isDone);
    }

    private static void WriteCall(Utf8JsonWriter json, ChatCall call, int index)
    {
        json.WriteStartObject();
        json.WriteString("id", call.Id);
        json.WriteStartObject("function");
        json.WriteNumber("index", index);
        json.WriteString("name", call.Name);
        json.WritePropertyName("arguments");
        call.WriteObject(json);
        json.WriteEndObject();
        json.WriteEndObject();
    }

    private static void WriteLogprobs(Utf8JsonWriter json, IReadOnlyList<string> logprobs)
    {
        if (logprobs.Count == 0) return;
        json.WriteStartArray("logprobs");
        foreach (var some in logprobs)
        {
            using var document = JsonDocument.Parse(some);
            foreach (var one in document.RootElement.EnumerateArray()) one.WriteTo(json);
        }
        json.WriteEndArray();
    }

    private void WriteEnd(Utf8JsonWriter json, ChatAnswer answer)
    {
        var total = time.GetElapsedTime(_startedAt);
        var read = _firstAt is { } firstAt ? time.GetElapsedTime(_startedAt, firstAt) : _queued;
        json.WriteString("done_reason", answer.FinishReason == "length" ? "length" : "stop");
        json.WriteNumber("total_duration", Nanoseconds(total));
        json.WriteNumber("load_duration", Nanoseconds(_queued));
        json.WriteNumber("prompt_eval_count", answer.Usage?.Prompt ?? 0);
        json.WriteNumber("prompt_eval_duration", Nanoseconds(read - _queued));
        json.WriteNumber("eval_count", answer.Usage?.Completion ?? 0);
        json.WriteNumber("eval_duration", Nanoseconds(total - read));
    }

    private static long Nanoseconds(TimeSpan span) => Math.Max(0, span.Ticks) * 100;
}
