using System.Collections.Immutable;
using System.Text.Json;
using Federation.Protocol;
using Federation.Protocol.OpenAi;

namespace Federation.Silo.Gateway.Rescue;

/// <summary>
/// What a stretch of a streamed answer has told its client, read from the engine's bytes when a node has failed and not before: nobody takes streams apart that come to their end.
/// </summary>
/// <param name="Pieces">The texts, in the pieces in which they came.</param>
/// <param name="IsPlain">There was nothing beside the text of one answer: no tool calls, thoughts, log-probabilities, errors, other choices, nor half a character. Such an answer another node can go on with.</param>
/// <param name="FinishReason">Why the model ended; <see langword="null"/> while it had not.</param>
/// <param name="Head">What its chunks are called; <see langword="null"/> before the first.</param>
internal sealed record SaidSoFar(ImmutableArray<string> Pieces, bool IsPlain, string? FinishReason, StreamHead? Head)
{
    /// <summary>Nothing that a model says: at most the role of who will.</summary>
    public bool IsNothing => IsPlain && Pieces.IsEmpty && FinishReason is null;

    /// <summary>Reads whole events; half of one has reached nobody.</summary>
    public static SaidSoFar Read(ImmutableArray<ReadOnlyMemory<byte>> bytes, int eventBytesMax)
    {
        var reading = new Reading();
        var scanner = new SseScanner(eventBytesMax);
        try
        {
            foreach (var piece in bytes)
            {
                var rest = piece.Span;
                while (scanner.TryRead(ref rest, out var item))
                {
                    if (item.IsDone) return reading.Result();
                    if (!item.Data.IsEmpty) reading.Take(item.Data);
                }
            }
        }
        catch (SseEventTooLargeException)
        {
            // What the node failed by; it reached nobody either.
        }
        return reading.Result();
    }

    private sealed class Reading
    {
        private readonly ImmutableArray<string>.Builder _pieces = ImmutableArray.CreateBuilder<string>();
        private bool _isPlain = true;
        private string? _finishReason;
        private StreamHead? _head;

        public SaidSoFar Result() => new(_pieces.ToImmutable(), _isPlain, _finishReason, _head);

        public void Take(ReadOnlySpan<byte> data)
        {
            try
            {
                var reader = new Utf8JsonReader(data);
                using var json = JsonDocument.ParseValue(ref reader);
                _isPlain &= TryTake(json.RootElement);
            }
            catch (Exception exception) when (exception.IsBadJson())
            {
                // InvalidOperationException: half of a surrogate pair. The client has it, and no node can be asked to go on after it.
                _isPlain = false;
            }
        }

        private bool TryTake(JsonElement chunk)
        {
            if (chunk.ValueKind is not JsonValueKind.Object || (chunk.TryGetProperty("error", out var error) && error.ValueKind is not JsonValueKind.Null)) return false;
            if (!chunk.TryGetProperty("choices", out var choices) || choices.ValueKind is not JsonValueKind.Array) return true;
            _head ??= StreamHead.Of(chunk);
            // Usage has no choice.
            return choices.GetArrayLength() == 0 || (choices.GetArrayLength() == 1 && choices[0].ValueKind is JsonValueKind.Object && TryTakeChoice(choices[0]));
        }

        private bool TryTakeChoice(JsonElement choice)
        {
            foreach (var field in choice.EnumerateObject())
            {
                var isKnown = field.Name switch
                {
                    "index" => field.Value.ValueKind is JsonValueKind.Number && field.Value.TryGetInt32(out var index) && index == 0,
                    // Some engines write an empty one with every chunk.
                    "finish_reason" when field.Value.ValueKind is JsonValueKind.String && !IsEmpty(field.Value) => (_finishReason = field.Value.GetString()) is not null,
                    "text" when field.Value.ValueKind is JsonValueKind.String => TryAdd(field.Value.GetString()!),
                    "delta" when field.Value.ValueKind is JsonValueKind.Object => TryTakeDelta(field.Value),
                    _ => IsEmpty(field.Value),
                };
                if (!isKnown) return false;
            }
            return true;
        }

        private bool TryTakeDelta(JsonElement delta)
        {
            foreach (var field in delta.EnumerateObject())
            {
                var isKnown = field.Name switch
                {
                    "role" => true,
                    "content" when field.Value.ValueKind is JsonValueKind.String => TryAdd(field.Value.GetString()!),
                    _ => IsEmpty(field.Value),
                };
                if (!isKnown) return false;
            }
            return true;
        }

        private bool TryAdd(string piece)
        {
            if (piece.Length > 0) _pieces.Add(piece);
            return true;
        }

        private static bool IsEmpty(JsonElement value) => value.ValueKind switch
        {
            JsonValueKind.Null => true,
            JsonValueKind.String => value.ValueEquals(ReadOnlySpan<byte>.Empty),
            JsonValueKind.Array => value.GetArrayLength() == 0,
            _ => false,
        };
    }
}

/// <summary>What the chunks of a stream have in common: SDKs may hold on to it.</summary>
/// <param name="Id">The answer's; <see langword="null"/> where the engine gives none.</param>
/// <param name="Created">Unix seconds.</param>
/// <param name="Model">In the engine's words.</param>
/// <param name="Object">"chat.completion.chunk" or "text_completion".</param>
internal sealed record StreamHead(string? Id, long? Created, string? Model, string? Object)
{
    public static StreamHead Of(JsonElement chunk) => new(
        Text(chunk, "id"), chunk.TryGetProperty("created", out var created) && created.ValueKind is JsonValueKind.Number && created.TryGetInt64(out var seconds) ? seconds : null, Text(chunk, "model"), Text(chunk, "object"));

    private static string? Text(JsonElement chunk, string name) => chunk.TryGetProperty(name, out var value) && value.ValueKind is JsonValueKind.String ? value.GetString() : null;
}
