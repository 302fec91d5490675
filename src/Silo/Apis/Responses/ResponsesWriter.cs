using System.Buffers;
using System.Text.Json;
using Federation.Silo.Gateway;

namespace Federation.Silo.Apis.Responses;

/// <summary>
/// Writes an answer as OpenAI's Responses API does. A stream is <c>response.created</c>, <c>response.queued</c> where it waits, <c>response.in_progress</c>, then item after item (reasoning, message, each function call) with its parts and deltas,
/// then <c>response.completed</c>, <c>incomplete</c> or <c>failed</c> with all of it; <c>sequence_number</c> counts from 0.
/// </summary>
/// <param name="output">What is filled.</param>
/// <param name="id">Of the response.</param>
/// <param name="call">What was asked.</param>
/// <param name="createdAt">When.</param>
/// <param name="maxAnswerBytes">Largest answer that is kept until its end, which repeats it.</param>
internal sealed class ResponsesWriter(IBufferWriter<byte> output, string id, ResponsesCall call, DateTimeOffset createdAt, int maxAnswerBytes) : AnswerWriter(output)
{
    private readonly string _suffix = id["resp_".Length..];
    private readonly ResponseItems _items = new();
    private int _sequence;
    private bool _isCreated;
    private bool _isOver;

    public override string StreamType => "text/event-stream; charset=utf-8";

    /// <summary>What came of a stream.</summary>
    public ChatAnswer Answer { get; } = new();

    /// <summary>Whether the answer is kept, as its client is told.</summary>
    public bool IsKept { get; set; } = call.Store;

    /// <summary>Before it begins the response is <c>queued</c>; what else there is to say is a comment.</summary>
    public override bool TryNote(string words)
    {
        WriteComment(words);
        if (_isCreated) return true;
        _isCreated = true;
        Write("response.created", json => WriteResponse(json, "queued", null, null));
        Write("response.queued", json => WriteResponse(json, "queued", null, null));
        return true;
    }

    public override void Begin(AnswerHead head)
    {
        if (!_isCreated) Write("response.created", json => WriteResponse(json, "in_progress", null, null));
        _isCreated = true;
        Write("response.in_progress", json => WriteResponse(json, "in_progress", null, null));
    }

    public override void Take(ChatPiece piece)
    {
        if (_isOver) return;
        Answer.Add(piece);
        if (Answer.Size > maxAnswerBytes)
        {
            BreakOff(OpenAiError.NoAnswer());
            return;
        }
        if (piece.Thought.Length > 0) WriteDelta(ItemKind.Reasoning, "response.reasoning_text.delta", piece.Thought);
        if (piece.Text.Length > 0) WriteDelta(ItemKind.Text, "response.output_text.delta", piece.Text, piece.Logprobs);
        if (piece.Refusal.Length > 0) WriteDelta(ItemKind.Refusal, "response.refusal.delta", piece.Refusal);
        foreach (var part in piece.Calls)
        {
            var item = Open(ItemKind.Call, part.Ordinal);
            if (part.Arguments.Length == 0) continue;
            Write("response.function_call_arguments.delta", json =>
            {
                WritePlace(json, item);
                json.WriteString("delta", part.Arguments);
            });
        }
    }

    public override void End()
    {
        if (_isOver) return;
        foreach (var item in _items.All.Where(item => !item.IsClosed)) Close(item);
        var isWhole = Answer.FinishReason != "length" && Answer.FinishReason != "content_filter";
        Write(isWhole ? "response.completed" : "response.incomplete", json => WriteResponse(json, isWhole ? "completed" : "incomplete", Answer, null));
    }

    public override void BreakOff(OpenAiError error)
    {
        if (_isOver) return;
        _isOver = true;
        Write("response.failed", json => WriteResponse(json, "failed", Answer, error));
    }

    public override void Whole(AnswerHead head, ChatAnswer answer) => Output.Write(Response(answer).Span);

    /// <summary>The response object of an answer that is whole.</summary>
    public ReadOnlyMemory<byte> Response(ChatAnswer answer) => OpenAiBody.Write(json =>
        WriteMembers(json, answer.FinishReason is "length" or "content_filter" ? "incomplete" : "completed", answer, null));

    // ----------------------------------------------------------------------------------------------------- events

    private void Write(string name, Action<Utf8JsonWriter> members) => WriteEvent(name, json =>
    {
        json.WriteNumber("sequence_number", _sequence++);
        members(json);
    });

    private void WriteDelta(ItemKind kind, string name, string text, string? logprobs = null)
    {
        var item = Open(kind, 0);
        // Thoughts after all: the end has all of them, and what is closed is not opened again.
        if (item.IsClosed) return;
        Write(name, json =>
        {
            WritePlace(json, item);
            json.WriteNumber("content_index", item.ContentIndex(kind));
            json.WriteString("delta", text);
            if (kind is ItemKind.Text) WriteLogprobs(json, logprobs is null ? [] : [logprobs]);
        });
    }

    /// <summary>The item that a piece belongs to, announced with its first piece.</summary>
    private ResponseItem Open(ItemKind kind, int ordinal)
    {
        var (item, isNew, isNewPart) = _items.Get(kind, ordinal);
        if (isNew)
        {
            // Thoughts end where something else begins; a message may still go on when a call has begun.
            foreach (var before in _items.All.Where(other => other != item && other is { IsClosed: false, Kind: ItemKind.Reasoning })) Close(before);
            Write("response.output_item.added", json =>
            {
                json.WriteNumber("output_index", item.Index);
                json.WritePropertyName("item");
                WriteItem(json, item, Answer, "in_progress", isEmpty: true);
            });
        }
        if (isNewPart && item.Kind is not ItemKind.Call) WritePart("response.content_part.added", item, kind, isEmpty: true);
        return item;
    }

    private void Close(ResponseItem item)
    {
        item.IsClosed = true;
        if (item.Kind is ItemKind.Call)
        {
            var made = Answer.Calls[item.Ordinal];
            Write("response.function_call_arguments.done", json =>
            {
                WritePlace(json, item);
                json.WriteString("name", made.Name);
                json.WriteString("arguments", made.Arguments);
            });
        }
        foreach (var part in item.Parts)
        {
            var (name, field, text) = part switch
            {
                ItemKind.Reasoning => ("response.reasoning_text.done", "text", Answer.Thought),
                ItemKind.Refusal => ("response.refusal.done", "refusal", Answer.Refusal),
                _ => ("response.output_text.done", "text", Answer.Text),
            };
            Write(name, json =>
            {
                WritePlace(json, item);
                json.WriteNumber("content_index", item.ContentIndex(part));
                json.WriteString(field, text);
                if (part is ItemKind.Text) WriteLogprobs(json, Answer.Logprobs);
            });
            WritePart("response.content_part.done", item, part, isEmpty: false);
        }
        Write("response.output_item.done", json =>
        {
            json.WriteNumber("output_index", item.Index);
            json.WritePropertyName("item");
            WriteItem(json, item, Answer, StatusOf(Answer), isEmpty: false);
        });
    }

    private void WritePlace(Utf8JsonWriter json, ResponseItem item)
    {
        json.WriteString("item_id", IdOf(item));
        json.WriteNumber("output_index", item.Index);
    }

    private void WritePart(string name, ResponseItem item, ItemKind part, bool isEmpty) => Write(name, json =>
    {
        WritePlace(json, item);
        json.WriteNumber("content_index", item.ContentIndex(part));
        json.WritePropertyName("part");
        WriteContent(json, part, Answer, isEmpty);
    });

    // ----------------------------------------------------------------------------------------------------- objects

    private void WriteResponse(Utf8JsonWriter json, string status, ChatAnswer? answer, OpenAiError? error)
    {
        json.WriteStartObject("response");
        WriteMembers(json, status, answer, error);
        json.WriteEndObject();
    }

    private void WriteMembers(Utf8JsonWriter json, string status, ChatAnswer? answer, OpenAiError? error)
    {
        json.WriteString("id", id);
        json.WriteString("object", "response");
        json.WriteNumber("created_at", createdAt.ToUnixTimeSeconds());
        json.WriteString("status", status);
        json.WriteBoolean("background", false);
        WriteError(json, error);
        if (status == "incomplete")
        {
            json.WriteStartObject("incomplete_details");
            json.WriteString("reason", answer!.FinishReason == "length" ? "max_output_tokens" : "content_filter");
            json.WriteEndObject();
        }
        else json.WriteNull("incomplete_details");
        json.WriteString("model", call.Model);
        json.WriteStartArray("output");
        if (answer is not null)
        {
            foreach (var item in (answer == Answer && _items.All.Count > 0 ? _items : ResponseItems.Of(answer)).All) WriteItem(json, item, answer, StatusOf(answer), isEmpty: false);
        }
        json.WriteEndArray();
        WriteUsage(json, answer?.Usage);
        WriteSettings(json);
    }

    private static void WriteError(Utf8JsonWriter json, OpenAiError? error)
    {
        if (error is null)
        {
            json.WriteNull("error");
            return;
        }
        json.WriteStartObject("error");
        json.WriteString("code", error.Status == StatusCodes.Status429TooManyRequests ? "rate_limit_exceeded" : "server_error");
        json.WriteString("message", error.Message);
        json.WriteEndObject();
    }

    private void WriteItem(Utf8JsonWriter json, ResponseItem item, ChatAnswer answer, string status, bool isEmpty)
    {
        json.WriteStartObject();
        json.WriteString("id", IdOf(item));
        switch (item.Kind)
        {
            case ItemKind.Call:
                var made = answer.Calls[item.Ordinal];
                json.WriteString("type", "function_call");
                json.WriteString("status", status);
                json.WriteString("call_id", made.Id);
                json.WriteString("name", made.Name);
                json.WriteString("arguments", isEmpty ? string.Empty : made.Arguments);
                break;
            case ItemKind.Reasoning:
                json.WriteString("type", "reasoning");
                json.WriteString("status", status);
                json.WriteStartArray("summary");
                json.WriteEndArray();
                WriteContents(json, item, answer, isEmpty);
                break;
            default:
                json.WriteString("type", "message");
                json.WriteString("status", status);
                json.WriteString("role", "assistant");
                WriteContents(json, item, answer, isEmpty);
                break;
        }
        json.WriteEndObject();
    }

    private static void WriteContents(Utf8JsonWriter json, ResponseItem item, ChatAnswer answer, bool isEmpty)
    {
        json.WriteStartArray("content");
        foreach (var part in isEmpty ? [] : item.Parts) WriteContent(json, part, answer, isEmpty: false);
        json.WriteEndArray();
    }

    private static void WriteContent(Utf8JsonWriter json, ItemKind part, ChatAnswer answer, bool isEmpty)
    {
        json.WriteStartObject();
        switch (part)
        {
            case ItemKind.Reasoning:
                json.WriteString("type", "reasoning_text");
                json.WriteString("text", isEmpty ? string.Empty : answer.Thought);
                break;
            case ItemKind.Refusal:
                json.WriteString("type", "refusal");
                json.WriteString("refusal", isEmpty ? string.Empty : answer.Refusal);
                break;
            default:
                json.WriteString("type", "output_text");
                json.WriteString("text", isEmpty ? string.Empty : answer.Text);
                json.WriteStartArray("annotations");
                json.WriteEndArray();
                WriteLogprobs(json, isEmpty ? [] : answer.Logprobs);
                break;
        }
        json.WriteEndObject();
    }

    private static void WriteLogprobs(Utf8JsonWriter json, IReadOnlyList<string> logprobs)
    {
        json.WriteStartArray("logprobs");
        foreach (var some in logprobs)
        {
            using var document = JsonDocument.Parse(some);
            foreach (var one in document.RootElement.EnumerateArray()) one.WriteTo(json);
        }
        json.WriteEndArray();
    }

    private static void WriteUsage(Utf8JsonWriter json, ChatUsage? counted)
    {
        if (counted is not { } usage)
        {
            json.WriteNull("usage");
            return;
        }
        json.WriteStartObject("usage");
        json.WriteNumber("input_tokens", usage.Prompt);
        json.WriteStartObject("input_tokens_details");
        json.WriteNumber("cached_tokens", usage.Cached);
        json.WriteEndObject();
        json.WriteNumber("output_tokens", usage.Completion);
        json.WriteStartObject("output_tokens_details");
        json.WriteNumber("reasoning_tokens", usage.Thought);
        json.WriteEndObject();
        json.WriteNumber("total_tokens", (long)usage.Prompt + usage.Completion);
        json.WriteEndObject();
    }

    /// <summary>A response repeats what was asked, with the defaults where nothing was.</summary>
    private void WriteSettings(Utf8JsonWriter json)
    {
        Repeat(json, "instructions", static json => json.WriteNullValue());
        Repeat(json, "max_output_tokens", static json => json.WriteNullValue());
        Repeat(json, "metadata", static json => WriteEmpty(json));
        Repeat(json, "parallel_tool_calls", static json => json.WriteBooleanValue(true));
        Repeat(json, "previous_response_id", static json => json.WriteNullValue());
        Repeat(json, "reasoning", static json =>
        {
            json.WriteStartObject();
            json.WriteNull("effort");
            json.WriteNull("summary");
            json.WriteEndObject();
        });
        json.WriteBoolean("store", IsKept);
        Repeat(json, "temperature", static json => json.WriteNumberValue(1));
        Repeat(json, "text", static json =>
        {
            json.WriteStartObject();
            json.WriteStartObject("format");
            json.WriteString("type", "text");
            json.WriteEndObject();
            json.WriteEndObject();
        });
        Repeat(json, "tool_choice", static json => json.WriteStringValue("auto"));
        Repeat(json, "tools", static json =>
        {
            json.WriteStartArray();
            json.WriteEndArray();
        });
        Repeat(json, "top_p", static json => json.WriteNumberValue(1));
        json.WriteString("truncation", "disabled");
        Repeat(json, "user", static json => json.WriteNullValue());
    }

    private static void WriteEmpty(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        json.WriteEndObject();
    }

    private void Repeat(Utf8JsonWriter json, string name, Action<Utf8JsonWriter> otherwise)
    {
        json.WritePropertyName(name);
        if (call.Request.TryGetProperty(name, out var value) && value.ValueKind is not JsonValueKind.Null) value.WriteTo(json);
        else otherwise(json);
    }

    private static string StatusOf(ChatAnswer answer) => answer.FinishReason is "length" or "content_filter" ? "incomplete" : "completed";

    private string IdOf(ResponseItem item) => $"{item.Kind switch { ItemKind.Reasoning => "rs", ItemKind.Call => "fc", _ => "msg" }}_{_suffix}_{item.Index}";
}
