using System.Buffers;
using System.Text.Json;
using Federation.Silo.Gateway;

namespace Federation.Silo.Apis.Anthropic;

/// <summary>
/// Writes an answer as Anthropic's Messages API does. A stream is <c>message_start</c>, then block after block (thinking, text, each tool call), then <c>message_delta</c> with the reason and the counts,
/// then <c>message_stop</c>. The engine counts at the end, so <c>message_start</c> says 0 and <c>message_delta</c> has all of it.
/// </summary>
/// <param name="output">What is filled.</param>
/// <param name="requestId">Of the request; the message's id is made of it.</param>
/// <param name="call">What was asked.</param>
internal sealed class AnthropicWriter(IBufferWriter<byte> output, string requestId, AnthropicCall call) : AnswerWriter(output)
{
    private const int NoCall = -1;

    private int _blocks;
    private string? _open;
    private int _openCall = NoCall;
    private bool _hasCalls;
    private bool _isBroken;
    private string? _finishReason;
    private string? _stopText;
    private ChatUsage _usage;

    public override string StreamType => "text/event-stream; charset=utf-8";

    /// <summary>A <c>ping</c>, which Anthropic's streams may have anywhere, and as a comment what it says.</summary>
    public override bool TryNote(string words)
    {
        WriteComment(words);
        WriteEvent("ping", _ => { });
        return true;
    }

    public override void Begin(AnswerHead head)
    {
        WriteEvent("message_start", json =>
        {
            json.WriteStartObject("message");
            WriteHead(json);
            json.WriteStartArray("content");
            json.WriteEndArray();
            WriteStop(json, null, null);
            WriteUsage(json, default);
            json.WriteEndObject();
        });
        WriteEvent("ping", _ => { });
    }

    public override void Take(ChatPiece piece)
    {
        if (_isBroken) return;
        if (call.ShowsThoughts && piece.Thought.Length > 0) WriteDelta("thinking", "thinking_delta", "thinking", piece.Thought);
        if (piece.Text.Length > 0) WriteDelta("text", "text_delta", "text", piece.Text);
        if (piece.Refusal.Length > 0) WriteDelta("text", "text_delta", "text", piece.Refusal);
        foreach (var part in piece.Calls.TakeWhile(_ => !_isBroken)) WriteCall(part);
        _finishReason = piece.FinishReason ?? _finishReason;
        _stopText = piece.StopText ?? _stopText;
        _usage = piece.Usage ?? _usage;
    }

    public override void End()
    {
        if (_isBroken) return;
        CloseBlock();
        WriteEvent("message_delta", json =>
        {
            json.WriteStartObject("delta");
            WriteReason(json, _finishReason, _stopText, _hasCalls);
            json.WriteEndObject();
            WriteUsage(json, _usage);
        });
        WriteEvent("message_stop", _ => { });
    }

    public override void BreakOff(OpenAiError error)
    {
        Output.Write("event: error\ndata: "u8);
        WriteObject(json => ErrorShapes.WriteAnthropic(json, error, requestId));
        Output.Write("\n\n"u8);
    }

    public override void Whole(AnswerHead head, ChatAnswer answer) => WriteObject(json =>
    {
        WriteHead(json);
        json.WriteStartArray("content");
        if (call.ShowsThoughts && answer.Thought.Length > 0)
        {
            json.WriteStartObject();
            json.WriteString("type", "thinking");
            json.WriteString("thinking", answer.Thought);
            json.WriteString("signature", string.Empty);
            json.WriteEndObject();
        }
        if (answer.Text.Length + answer.Refusal.Length > 0)
        {
            json.WriteStartObject();
            json.WriteString("type", "text");
            json.WriteString("text", answer.Text + answer.Refusal);
            json.WriteEndObject();
        }
        foreach (var made in answer.Calls)
        {
            WriteToolUse(json, made.Id, made.Name, () => made.WriteObject(json));
        }
        json.WriteEndArray();
        WriteReason(json, answer.FinishReason, answer.StopText, answer.Calls.Count > 0);
        WriteUsage(json, answer.Usage ?? default);
    });

    private void WriteHead(Utf8JsonWriter json)
    {
        json.WriteString("id", $"msg_{requestId["job_".Length..]}");
        json.WriteString("type", "message");
        json.WriteString("role", "assistant");
        json.WriteString("model", call.Model);
    }

    private void WriteDelta(string block, string delta, string field, string text)
    {
        if (_open != block)
        {
            OpenBlock(block, json =>
            {
                json.WriteString("type", block);
                json.WriteString(field, string.Empty);
                if (block == "thinking") json.WriteString("signature", string.Empty);
            });
        }
        WriteDelta(delta, field, text);
    }

    private void WriteCall(ToolCallPiece part)
    {
        if (_openCall != part.Ordinal)
        {
            if (part.Name is null)
            {
                // A piece of a call whose block is closed: no client could put it together.
                _isBroken = true;
                BreakOff(EngineErrors.Unreadable());
                return;
            }
            OpenBlock("tool_use", json => WriteToolUseMembers(json, part.Id!, part.Name, () =>
            {
                json.WriteStartObject();
                json.WriteEndObject();
            }));
            _openCall = part.Ordinal;
            _hasCalls = true;
        }
        if (part.Arguments.Length > 0) WriteDelta("input_json_delta", "partial_json", part.Arguments);
    }

    private void WriteDelta(string delta, string field, string text) => WriteEvent("content_block_delta", json =>
    {
        json.WriteNumber("index", _blocks - 1);
        json.WriteStartObject("delta");
        json.WriteString("type", delta);
        json.WriteString(field, text);
        json.WriteEndObject();
    });

    private void OpenBlock(string type, Action<Utf8JsonWriter> members)
    {
        CloseBlock();
        _open = type;
        WriteEvent("content_block_start", json =>
        {
            json.WriteNumber("index", _blocks);
            json.WriteStartObject("content_block");
            members(json);
            json.WriteEndObject();
        });
        _blocks++;
    }

    private void CloseBlock()
    {
        if (_open is null) return;
        if (_open == "thinking") WriteDelta("signature_delta", "signature", string.Empty);
        WriteEvent("content_block_stop", json => json.WriteNumber("index", _blocks - 1));
        (_open, _openCall) = (null, NoCall);
    }

    private static void WriteToolUse(Utf8JsonWriter json, string id, string name, Action input)
    {
        json.WriteStartObject();
        WriteToolUseMembers(json, id, name, input);
        json.WriteEndObject();
    }

    private static void WriteToolUseMembers(Utf8JsonWriter json, string id, string name, Action input)
    {
        json.WriteString("type", "tool_use");
        json.WriteString("id", id);
        json.WriteString("name", name);
        json.WritePropertyName("input");
        input();
    }

    /// <summary>Most engines do not tell which of several stop texts ended an answer, nor whether it was one at all: then it is the end of a turn.</summary>
    private void WriteReason(Utf8JsonWriter json, string? finishReason, string? stopText, bool hasCalls)
    {
        var stop = finishReason is "stop" or null && stopText is not null && call.Stops.Contains(stopText) ? stopText : null;
        var reason = finishReason switch
        {
            "length" => "max_tokens",
            "content_filter" => "refusal",
            _ when stop is not null => "stop_sequence",
            _ when hasCalls => "tool_use",
            _ => "end_turn",
        };
        WriteStop(json, reason, stop);
    }

    private static void WriteStop(Utf8JsonWriter json, string? reason, string? stop)
    {
        json.WriteString("stop_reason", reason);
        json.WriteString("stop_sequence", stop);
    }

    private static void WriteUsage(Utf8JsonWriter json, ChatUsage usage)
    {
        json.WriteStartObject("usage");
        // Anthropic counts what it had read before apart.
        json.WriteNumber("input_tokens", usage.Prompt - usage.Cached);
        json.WriteNumber("cache_creation_input_tokens", 0);
        json.WriteNumber("cache_read_input_tokens", usage.Cached);
        json.WriteNumber("output_tokens", usage.Completion);
        json.WriteEndObject();
    }
}
