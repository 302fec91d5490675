using System.Collections.Immutable;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Federation.Protocol;
using Federation.Protocol.OpenAi;
using Federation.Protocol.Verification;

namespace Federation.Silo.Verification.Audits;

/// <summary>What a model said that does not stand where a scorer would put it.</summary>
[Flags]
internal enum Unscored
{
    /// <summary>Nothing: the text is all.</summary>
    None = 0,

    /// <summary>Thoughts beside the answer. Which models have them, and which engines tell them apart, no request says.</summary>
    Thoughts = 1,

    /// <summary>Calls of tools that the request offers.</summary>
    ToolCalls = 2,
}

/// <summary>What a model said, without the envelope it came in.</summary>
/// <param name="Text">All of it; of several answers that were asked for, one's.</param>
/// <param name="FinishReason">In the engine's words; empty where it gave none.</param>
internal sealed partial record AnswerText(string Text, string FinishReason)
{
    /// <summary>An error stands where it would have gone on.</summary>
    public bool BrokeOff { get; init; }

    /// <summary>What else the model said, which cannot be scored.</summary>
    public Unscored Unscored { get; init; }

    /// <summary>Bytes of the texts of other answers that were asked for: at a token each, what their tokens are at most.</summary>
    public int OtherBytes { get; init; }

    private const int EventBytesMax = 4 << 20;

    /// <summary>More answers than any engine gives to one request.</summary>
    private const int ChoicesMax = 128;

    /// <summary>Of UTF-8.</summary>
    private const int BytesPerCharMax = 3;

    /// <summary>As long as the gateway takes one.</summary>
    private const int FinishReasonMax = 64;

    /// <summary>Reads a streamed or whole answer as far as it goes; <see langword="null"/> for an error alone, or bytes that are no answer.</summary>
    /// <param name="pieces">The engine's bytes.</param>
    /// <param name="asked">What the request asked for. Whatever else the worker puts into its answer is no text of the model and no way out of an audit: it is left out, and what is claimed for it is missed.</param>
    /// <param name="draw">Which of several answers that were asked for is read: not the worker's to foresee. The same number reads the same one.</param>
    public static AnswerText? Read(ImmutableArray<ReadOnlyMemory<byte>> pieces, AskedFor asked, uint draw = 0)
    {
        try
        {
            return ((IsEventStream(pieces) ? null : ReadWhole(pieces, asked)) ?? ReadEvents(pieces, asked))?.Result(draw);
        }
        catch (SseEventTooLargeException)
        {
            return null;
        }
    }

    private static bool IsEventStream(ImmutableArray<ReadOnlyMemory<byte>> pieces)
        => pieces.Select(piece => piece.Span.TrimStart(" \r\n\t"u8).ToArray()).FirstOrDefault(piece => piece.Length > 0) is { } first && first[0] != (byte)'{';

    private static Reading ReadEvents(ImmutableArray<ReadOnlyMemory<byte>> pieces, AskedFor asked)
    {
        var reading = new Reading(asked);
        var scanner = new SseScanner(EventBytesMax);
        foreach (var piece in pieces)
        {
            var bytes = piece.Span;
            while (scanner.TryRead(ref bytes, out var item))
            {
                // Nobody reads a word out of what is no JSON, so it has none; the others are read all the same.
                if (!item.Data.IsEmpty && !item.IsDone) reading.TryTake(item.Data);
            }
        }
        return reading;
    }

    /// <summary><see langword="null"/>, too, for a stream that begins like an object.</summary>
    private static Reading? ReadWhole(ImmutableArray<ReadOnlyMemory<byte>> pieces, AskedFor asked)
    {
        var reading = new Reading(asked);
        byte[] whole = [.. pieces.SelectMany(piece => piece.ToArray())];
        return reading.TryTake(whole) ? reading : null;
    }

    /// <summary>A string as clients get it. Half a surrogate pair, or bytes that are no UTF-8, become replaced characters: they hide nothing of what stands around them.</summary>
    private static string Said(JsonElement text)
    {
        try
        {
            return text.GetString()!;
        }
        catch (InvalidOperationException)
        {
            var repaired = Surrogates().Replace(Encoding.UTF8.GetString(JsonMarshal.GetRawUtf8Value(text)), static found => found.Groups["half"].Success ? "\\ufffd" : found.Value);
            using var json = JsonDocument.Parse(repaired);
            return json.RootElement.GetString()!;
        }
    }

    /// <summary>Escapes of a JSON string, those of surrogates that are halves by name.</summary>
    [GeneratedRegex("""\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.""")]
    private static partial Regex Surrogates();

    private sealed class Choice
    {
        public StringBuilder Text { get; } = new();

        public string FinishReason { get; set; } = string.Empty;

        public Unscored Unscored { get; set; }
    }

    private sealed class Reading(AskedFor asked)
    {
        private readonly SortedDictionary<int, Choice> _choices = [];
        private bool _brokeOff;

        /// <summary>One JSON object of the answer; <see langword="false"/> when it is no JSON.</summary>
        public bool TryTake(ReadOnlySpan<byte> json)
        {
            try
            {
                Take(json);
                return true;
            }
            catch (Exception exception) when (exception.IsBadJson())
            {
                return false;
            }
        }

        /// <summary>One of the answers, drawn among those that came.</summary>
        public AnswerText? Result(uint draw)
        {
            if (_choices.Count == 0) return null;
            var drawn = _choices.Values.ElementAt((int)(draw % (uint)_choices.Count));
            return new AnswerText(Scorable(drawn.Text.ToString()), drawn.FinishReason)
            {
                BrokeOff = _brokeOff,
                Unscored = drawn.Unscored,
                OtherBytes = _choices.Values.Where(choice => choice != drawn).Sum(choice => Encoding.UTF8.GetByteCount(choice.Text.ToString())),
            };
        }

        /// <summary>As much as a verifier takes. Only replaced characters make a text longer than the bytes it came in; what is claimed for the rest is missed.</summary>
        private static string Scorable(string text)
        {
            if (Encoding.UTF8.GetByteCount(text) <= ScoreCodec.TextBytesMax) return text;
            var cut = ScoreCodec.TextBytesMax / BytesPerCharMax;
            return text[..(char.IsHighSurrogate(text[cut - 1]) ? cut - 1 : cut)];
        }

        private void Take(ReadOnlySpan<byte> json)
        {
            var reader = new Utf8JsonReader(json);
            using var document = JsonDocument.ParseValue(ref reader);
            var root = document.RootElement;
            if (root.ValueKind is not JsonValueKind.Object) return;
            // What came before an error is paid, so it is scored; what comes behind one is no part of the answer.
            _brokeOff |= root.TryGetProperty("error", out var error) && IsError(error);
            if (!root.TryGetProperty("choices", out var choices) || choices.ValueKind is not JsonValueKind.Array) return;
            foreach (var said in choices.EnumerateArray().Where(static choice => choice.ValueKind is JsonValueKind.Object))
            {
                if (!TryIndex(said, out var index) || Find(index) is not { } choice || _brokeOff) continue;
                if (said.TryGetProperty("finish_reason", out var reason) && reason.ValueKind is JsonValueKind.String && Said(reason) is { Length: <= FinishReasonMax } why) choice.FinishReason = why;
                if (said.TryGetProperty("text", out var text) && text.ValueKind is JsonValueKind.String) choice.Text.Append(Said(text));
                if (said.TryGetProperty("delta", out var message) || said.TryGetProperty("message", out message)) TakeMessage(choice, message);
            }
        }

        private static bool TryIndex(JsonElement choice, out int number)
        {
            number = 0;
            return !choice.TryGetProperty("index", out var index) || (index.ValueKind is JsonValueKind.Number && index.TryGetInt32(out number));
        }

        private Choice? Find(int index)
        {
            if (_choices.TryGetValue(index, out var known)) return known;
            return index == 0 || (asked.Choices && index > 0 && _choices.Count < ChoicesMax) ? (_choices[index] = new Choice()) : null;
        }

        private void TakeMessage(Choice choice, JsonElement said)
        {
            if (said.ValueKind is not JsonValueKind.Object) return;
            foreach (var property in said.EnumerateObject())
            {
                switch (property.Name)
                {
                    // Of another form it is text that nobody asked for.
                    case "content" when property.Value.ValueKind is JsonValueKind.String:
                        choice.Text.Append(Said(property.Value));
                        break;
                    case "reasoning" or "reasoning_content" or "thinking" when !IsEmpty(property.Value):
                        choice.Unscored |= Unscored.Thoughts;
                        break;
                    case "tool_calls" or "function_call" when asked.Tools && !IsEmpty(property.Value):
                        choice.Unscored |= Unscored.ToolCalls;
                        break;
                    default:
                        break;
                }
            }
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

/// <summary>What a request asked for beside one text.</summary>
/// <param name="Tools">It offers tools, or functions.</param>
/// <param name="Choices">It wants more answers than one.</param>
internal readonly record struct AskedFor(bool Tools, bool Choices)
{
    /// <summary>Of an OpenAI body.</summary>
    public static AskedFor Of(JsonElement body) => new(
        RequestedSampling.Has(body, "tools") || RequestedSampling.Has(body, "functions"),
        RequestedSampling.Number(body, "n") > 1 || RequestedSampling.Number(body, "best_of") > 1);
}
