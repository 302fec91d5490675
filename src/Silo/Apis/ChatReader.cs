using System.Collections.Immutable;
using System.Text.Json;
using Federation.Protocol;
using Federation.Silo.Gateway;

namespace Federation.Silo.Apis;

/// <summary>What an engine counted, tokens.</summary>
/// <param name="Prompt">All of the prompt.</param>
/// <param name="Cached">Of these, those it had read before.</param>
/// <param name="Completion">All of the answer, thoughts included.</param>
/// <param name="Thought">Of these, those of thoughts.</param>
internal readonly record struct ChatUsage(int Prompt, int Cached, int Completion, int Thought);

/// <summary>A piece of a tool call.</summary>
/// <param name="Ordinal">Which of the answer's calls, from 0.</param>
/// <param name="Id">With the call's first piece; null later.</param>
/// <param name="Name">With the call's first piece; null later.</param>
/// <param name="Arguments">JSON, as far as this piece has it.</param>
internal readonly record struct ToolCallPiece(int Ordinal, string? Id, string? Name, string Arguments);

/// <summary>A piece of an answer, or the whole of one. Texts are whole characters.</summary>
internal sealed record ChatPiece
{
    public string Text { get; init; } = string.Empty;

    /// <summary>What the model thought before it answered.</summary>
    public string Thought { get; init; } = string.Empty;

    public string Refusal { get; init; } = string.Empty;

    public ImmutableArray<ToolCallPiece> Calls { get; init; } = [];

    /// <summary>"stop", "length", "tool_calls", "content_filter" or an engine's own word.</summary>
    public string? FinishReason { get; init; }

    /// <summary>The stop text that ended the answer, from engines that tell (vLLM's <c>stop_reason</c>).</summary>
    public string? StopText { get; init; }

    public ChatUsage? Usage { get; init; }

    /// <summary>OpenAI's <c>logprobs.content</c> as JSON; null where there is none.</summary>
    public string? Logprobs { get; init; }

    /// <summary>The engine says in the middle of its answer that there is no more.</summary>
    public OpenAiError? Error { get; init; }
}

/// <summary>Reads an engine's answer to one chat or completion: event for event, or whole. Only the first choice is read; translated requests never ask for more.</summary>
/// <param name="callPrefix">Begins the ids of tool calls to which the engine gives none.</param>
internal sealed class ChatReader(string callPrefix)
{
    /// <summary>Calls of one answer that are read; a model that makes more is broken.</summary>
    private const int CallsMax = 128;

    private readonly StreamedText _text = new();
    private readonly StreamedText _thought = new();
    private readonly StreamedText _refusal = new();
    private readonly List<Call> _calls = [];

    /// <summary>Reads one event's data or one answer.</summary>
    /// <param name="json">JSON; of anything else the piece is an error.</param>
    public ChatPiece Read(ReadOnlySpan<byte> json)
    {
        try
        {
            var reader = new Utf8JsonReader(json);
            using var document = JsonDocument.ParseValue(ref reader);
            return Read(document.RootElement);
        }
        catch (Exception exception) when (exception.IsBadJson())
        {
            return new ChatPiece { Error = EngineErrors.Unreadable() };
        }
    }

    /// <summary>What was held back of characters that never came whole.</summary>
    public ChatPiece End() => new()
    {
        Text = _text.End(),
        Thought = _thought.End(),
        Refusal = _refusal.End(),
        Calls = [.. _calls.Select((call, ordinal) => new ToolCallPiece(ordinal, null, null, call.Arguments.End())).Where(piece => piece.Arguments.Length > 0)],
    };

    private ChatPiece Read(JsonElement root)
    {
        if (root.ValueKind is not JsonValueKind.Object) return new ChatPiece { Error = EngineErrors.Unreadable() };
        if (EngineErrors.Find(root, StatusCodes.Status502BadGateway) is { } error) return new ChatPiece { Error = error };
        var usage = UsageOf(root);
        if (FirstChoice(root) is not { } choice) return new ChatPiece { Usage = usage };
        var message = Object(choice, "delta") ?? Object(choice, "message");
        return new ChatPiece
        {
            // Completions have their text in the choice itself.
            Text = TextOf(_text, Find(message ?? choice, message is null ? "text" : "content")),
            Thought = TextOf(_thought, Find(message, "reasoning_content") ?? Find(message, "reasoning")),
            Refusal = TextOf(_refusal, Find(message, "refusal")),
            Calls = CallsOf(message),
            FinishReason = StringOf(Find(choice, "finish_reason")),
            StopText = StringOf(Find(choice, "stop_reason")),
            Usage = usage,
            Logprobs = Find(Object(choice, "logprobs"), "content") is { ValueKind: JsonValueKind.Array } logprobs ? logprobs.GetRawText() : null,
        };
    }

    private static JsonElement? FirstChoice(JsonElement root)
    {
        if (Find(root, "choices") is not { ValueKind: JsonValueKind.Array } choices) return null;
        foreach (var choice in choices.EnumerateArray())
        {
            if (choice.ValueKind is JsonValueKind.Object && (CountOf(choice, "index") ?? 0) == 0) return choice;
        }
        return null;
    }

    private ImmutableArray<ToolCallPiece> CallsOf(JsonElement? message)
    {
        if (Find(message, "tool_calls") is not { ValueKind: JsonValueKind.Array } calls) return [];
        var pieces = ImmutableArray.CreateBuilder<ToolCallPiece>();
        foreach (var json in calls.EnumerateArray())
        {
            if (json.ValueKind is JsonValueKind.Object && CallOf(json) is { } piece) pieces.Add(piece);
        }
        return pieces.ToImmutable();
    }

    private ToolCallPiece? CallOf(JsonElement json)
    {
        var function = Object(json, "function");
        var (ordinal, isNew) = OrdinalOf(CountOf(json, "index"), StringOf(Find(json, "id")));
        if (ordinal < 0) return null;
        var call = _calls[ordinal];
        // Some engines write the arguments as the object that they are.
        var arguments = Find(function, "arguments") is { ValueKind: JsonValueKind.Object } whole ? whole.GetRawText() : TextOf(call.Arguments, Find(function, "arguments"));
        return new ToolCallPiece(ordinal, isNew ? call.Id : null, isNew ? StringOf(Find(function, "name")) ?? string.Empty : null, arguments);
    }

    /// <summary>Which call a piece belongs to. An index that comes again with another id is another call: some engines give every call the index 0, or none.</summary>
    private (int Ordinal, bool IsNew) OrdinalOf(int? index, string? id)
    {
        var known = index is null && id is null ? _calls.Count - 1 : _calls.FindLastIndex(call => (index is null || call.Index == index) && (id is null || call.Id == id));
        if (known >= 0) return (known, false);
        if (_calls.Count == CallsMax) return (-1, false);
        _calls.Add(new Call(index, string.IsNullOrEmpty(id) ? $"{callPrefix}{_calls.Count}" : id));
        return (_calls.Count - 1, true);
    }

    private static string TextOf(StreamedText text, JsonElement? value)
    {
        switch (value)
        {
            case { ValueKind: JsonValueKind.String } one:
                return text.Add(one);
            case { ValueKind: JsonValueKind.Array } parts:
                // Mistral's engines may answer in parts.
                return string.Concat(parts.EnumerateArray().Select(part => part.ValueKind is JsonValueKind.Object && Find(part, "text") is { ValueKind: JsonValueKind.String } one ? text.Add(one) : string.Empty));
            default:
                return string.Empty;
        }
    }

    private static ChatUsage? UsageOf(JsonElement root) => Object(root, "usage") is { } usage && CountOf(usage, "prompt_tokens") is { } prompt
        ? new ChatUsage(
            prompt,
            Math.Min(prompt, CountOf(Object(usage, "prompt_tokens_details"), "cached_tokens") ?? 0),
            CountOf(usage, "completion_tokens") ?? 0,
            CountOf(Object(usage, "completion_tokens_details"), "reasoning_tokens") ?? 0)
        : null;

    private static JsonElement? Find(JsonElement? parent, string name)
        => parent is { ValueKind: JsonValueKind.Object } json && json.TryGetProperty(name, out var value) && value.ValueKind is not JsonValueKind.Null ? value : null;

    private static JsonElement? Object(JsonElement? parent, string name) => Find(parent, name) is { ValueKind: JsonValueKind.Object } json ? json : null;

    private static int? CountOf(JsonElement? parent, string name) => Find(parent, name) is { ValueKind: JsonValueKind.Number } value && value.TryGetInt32(out var count) && count >= 0 ? count : null;

    private static string? StringOf(JsonElement? value)
    {
        if (value is not { ValueKind: JsonValueKind.String } json) return null;
        var text = new StreamedText();
        return text.Add(json) + text.End();
    }

    /// <summary>A call as far as it has come.</summary>
    private sealed record Call(int? Index, string Id)
    {
        public StreamedText Arguments { get; } = new();
    }
}
