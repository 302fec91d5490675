using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using System.Text;
using System.Text.Json;
using Federation.Protocol.OpenAi;

namespace Federation.Silo.Verification.Audits;

/// <summary>What a model said, without the envelope it came in.</summary>
/// <param name="Text">All of it.</param>
/// <param name="FinishReason">In the engine's words; empty where it gave none.</param>
internal sealed record AnswerText(string Text, string FinishReason)
{
    /// <summary>An error stands where it would have gone on.</summary>
    public bool BrokeOff { get; init; }

    private const int EventBytesMax = 4 << 20;

    /// <summary>
    /// Reads a streamed or whole answer of one choice, as far as it goes. <see langword="false"/> for what an audit cannot score: several choices and tool
    /// calls that were asked for, thoughts, an error alone, or bytes that are no answer.
    /// </summary>
    /// <param name="pieces">The engine's bytes.</param>
    /// <param name="asked">What the request asked for. Whatever else the worker puts into its answer is no text of the model and no way out of an audit: it is left out, and what is claimed for it is missed.</param>
    /// <param name="answer">What was read.</param>
    public static bool TryRead(ImmutableArray<ReadOnlyMemory<byte>> pieces, AskedFor asked, [NotNullWhen(true)] out AnswerText? answer)
    {
        try
        {
            answer = (IsEventStream(pieces) ? null : ReadWhole(pieces, asked)) ?? ReadEvents(pieces, asked);
        }
        catch (Exception exception) when (exception is InvalidOperationException or SseEventTooLargeException)
        {
            // InvalidOperationException: half a surrogate pair.
            answer = null;
        }
        return answer is not null;
    }

    private static bool IsEventStream(ImmutableArray<ReadOnlyMemory<byte>> pieces)
        => pieces.Select(piece => piece.Span.TrimStart(" \r\n\t"u8).ToArray()).FirstOrDefault(piece => piece.Length > 0) is { } first && first[0] != (byte)'{';

    private static AnswerText? ReadEvents(ImmutableArray<ReadOnlyMemory<byte>> pieces, AskedFor asked)
    {
        var reading = new Reading(asked);
        var scanner = new SseScanner(EventBytesMax);
        foreach (var piece in pieces)
        {
            var bytes = piece.Span;
            while (scanner.TryRead(ref bytes, out var item))
            {
                if (item.Data.IsEmpty || item.IsDone) continue;
                try
                {
                    if (!reading.Take(item.Data)) return null;
                }
                catch (JsonException)
                {
                    // Nobody reads a word out of it, so it has none; the others are read all the same.
                }
            }
        }
        return reading.Result();
    }

    /// <summary><see langword="null"/>, too, for a stream that begins like an object.</summary>
    private static AnswerText? ReadWhole(ImmutableArray<ReadOnlyMemory<byte>> pieces, AskedFor asked)
    {
        var reading = new Reading(asked);
        byte[] whole = [.. pieces.SelectMany(piece => piece.ToArray())];
        try
        {
            return reading.Take(whole) ? reading.Result() : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private sealed class Reading(AskedFor asked)
    {
        private readonly StringBuilder _text = new();
        private string _finishReason = string.Empty;
        private bool _hasChoice;
        private bool _brokeOff;

        /// <summary>One JSON object of the answer; <see langword="false"/> when it cannot be scored.</summary>
        public bool Take(ReadOnlySpan<byte> json)
        {
            var reader = new Utf8JsonReader(json);
            using var document = JsonDocument.ParseValue(ref reader);
            var root = document.RootElement;
            if (root.ValueKind is not JsonValueKind.Object) return true;
            // What came before an error is paid, so it is scored; what comes behind one is no part of the answer.
            _brokeOff |= root.TryGetProperty("error", out var error) && IsError(error);
            if (!root.TryGetProperty("choices", out var choices) || choices.ValueKind is not JsonValueKind.Array) return true;
            foreach (var choice in choices.EnumerateArray().Where(static choice => choice.ValueKind is JsonValueKind.Object))
            {
                if (choice.TryGetProperty("index", out var index) && !(index.ValueKind is JsonValueKind.Number && index.TryGetInt32(out var number) && number == 0))
                {
                    if (asked.Choices) return false;
                    continue;
                }
                _hasChoice = true;
                if (_brokeOff) continue;
                if (choice.TryGetProperty("finish_reason", out var reason) && reason.ValueKind is JsonValueKind.String) _finishReason = reason.GetString()!;
                if (choice.TryGetProperty("text", out var text) && text.ValueKind is JsonValueKind.String) _text.Append(text.GetString());
                if ((choice.TryGetProperty("delta", out var said) || choice.TryGetProperty("message", out said)) && !TakeMessage(said)) return false;
            }
            return true;
        }

        public AnswerText? Result() => _hasChoice ? new AnswerText(_text.ToString(), _finishReason) { BrokeOff = _brokeOff } : null;

        private bool TakeMessage(JsonElement said)
        {
            if (said.ValueKind is not JsonValueKind.Object) return true;
            foreach (var property in said.EnumerateObject())
            {
                switch (property.Name)
                {
                    case "content" when property.Value.ValueKind is JsonValueKind.String:
                        _text.Append(property.Value.GetString());
                        break;
                    // Text of the model that does not stand where a scorer would put it. Fields that nobody knows, or asked for, are no way out of an audit.
                    case "content" or "reasoning" or "reasoning_content" or "thinking" when !IsEmpty(property.Value):
                    case "tool_calls" or "function_call" when asked.Tools && !IsEmpty(property.Value):
                        return false;
                }
            }
            return true;
        }

        /// <summary>What clients take for one: neither null nor false, nor an empty text, which come to the same in most of their languages.</summary>
        private static bool IsError(JsonElement value) => value.ValueKind switch
        {
            JsonValueKind.Null or JsonValueKind.False => false,
            JsonValueKind.Number => value.TryGetDouble(out var number) && number != 0,
            _ => !IsEmpty(value),
        };

        private static bool IsEmpty(JsonElement value) => value.ValueKind switch
        {
            JsonValueKind.Null => true,
            JsonValueKind.Array => value.GetArrayLength() == 0,
            JsonValueKind.String => value.ValueEquals(ReadOnlySpan<byte>.Empty),
            _ => false,
        };
    }
}

/// <summary>What a request asked for that an audit cannot score.</summary>
/// <param name="Tools">It offers tools, or functions.</param>
/// <param name="Choices">It wants more answers than one.</param>
internal readonly record struct AskedFor(bool Tools, bool Choices)
{
    /// <summary>Of an OpenAI body.</summary>
    public static AskedFor Of(JsonElement body) => new(
        RequestedSampling.Has(body, "tools") || RequestedSampling.Has(body, "functions"),
        RequestedSampling.Number(body, "n") > 1 || RequestedSampling.Number(body, "best_of") > 1);
}
