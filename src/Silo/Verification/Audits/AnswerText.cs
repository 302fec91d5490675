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
    /// Reads a streamed or whole answer of one choice, as far as it goes. <see langword="false"/> for what an audit cannot score: several choices, tool
    /// calls, an error without an answer before it, or bytes that are no answer.
    /// </summary>
    public static bool TryRead(ImmutableArray<ReadOnlyMemory<byte>> pieces, [NotNullWhen(true)] out AnswerText? answer)
    {
        var reading = new Reading();
        try
        {
            answer = IsEventStream(pieces) ? ReadEvents(pieces, reading) : ReadWhole(pieces, reading);
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException or SseEventTooLargeException)
        {
            // InvalidOperationException: a value of another type than an answer has there, or half a surrogate pair.
            answer = null;
        }
        return answer is not null;
    }

    private static bool IsEventStream(ImmutableArray<ReadOnlyMemory<byte>> pieces)
        => pieces.Select(piece => piece.Span.TrimStart(" \r\n\t"u8).ToArray()).FirstOrDefault(piece => piece.Length > 0) is { } first && first[0] != (byte)'{';

    private static AnswerText? ReadEvents(ImmutableArray<ReadOnlyMemory<byte>> pieces, Reading reading)
    {
        var scanner = new SseScanner(EventBytesMax);
        foreach (var piece in pieces)
        {
            var bytes = piece.Span;
            while (scanner.TryRead(ref bytes, out var item))
            {
                if (!item.Data.IsEmpty && !item.IsDone && !reading.Take(item.Data)) return null;
            }
        }
        return reading.Result();
    }

    private static AnswerText? ReadWhole(ImmutableArray<ReadOnlyMemory<byte>> pieces, Reading reading)
    {
        byte[] whole = [.. pieces.SelectMany(piece => piece.ToArray())];
        return reading.Take(whole) ? reading.Result() : null;
    }

    private sealed class Reading
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
            // What came before an error is paid, so it is scored; what comes behind one is no part of the answer.
            _brokeOff |= root.TryGetProperty("error", out var error) && error.ValueKind is not JsonValueKind.Null;
            if (_brokeOff) return _text.Length > 0;
            if (!root.TryGetProperty("choices", out var choices)) return true;
            foreach (var choice in choices.EnumerateArray())
            {
                if (choice.TryGetProperty("index", out var index) && index.GetInt32() != 0) return false;
                _hasChoice = true;
                if (choice.TryGetProperty("finish_reason", out var reason) && reason.ValueKind is JsonValueKind.String) _finishReason = reason.GetString()!;
                if (choice.TryGetProperty("text", out var text) && text.ValueKind is JsonValueKind.String) _text.Append(text.GetString());
                if ((choice.TryGetProperty("delta", out var said) || choice.TryGetProperty("message", out said)) && !TakeMessage(said)) return false;
            }
            return true;
        }

        public AnswerText? Result() => _hasChoice && _text.Length > 0 ? new AnswerText(_text.ToString(), _finishReason) { BrokeOff = _brokeOff } : null;

        private bool TakeMessage(JsonElement said)
        {
            if (said.ValueKind is not JsonValueKind.Object) return false;
            foreach (var property in said.EnumerateObject())
            {
                switch (property.Name)
                {
                    case "content" when property.Value.ValueKind is JsonValueKind.String:
                        _text.Append(property.Value.GetString());
                        break;
                    // Text of the model that does not stand where a scorer would put it. Fields that nobody knows are no way out of an audit.
                    case "content" or "reasoning" or "reasoning_content" or "thinking" or "tool_calls" or "function_call" or "refusal" or "audio" or "images" when !IsEmpty(property.Value):
                        return false;
                }
            }
            return true;
        }

        private static bool IsEmpty(JsonElement value) => value.ValueKind switch
        {
            JsonValueKind.Null => true,
            JsonValueKind.Array => value.GetArrayLength() == 0,
            JsonValueKind.String => value.ValueEquals(ReadOnlySpan<byte>.Empty),
            _ => false,
        };
    }
}
