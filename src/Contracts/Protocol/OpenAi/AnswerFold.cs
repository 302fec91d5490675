using System.Text;
using System.Text.Json;

namespace Federation.Protocol.OpenAi;

/// <summary>Folds the tokens of one answer's JSON into <see cref="AnswerFacts"/>. Knows where it is, keeps nothing else.</summary>
internal struct AnswerFold
{
    /// <summary>Deeper than the deepest place that says anything, <c>choices[].delta.tool_calls[].function.arguments</c>.</summary>
    private const int PathDepth = 8;

    private const int FinishReasonBytesMax = 64;

    private Path _path;
    private int _depth;
    private Place _next;
    private int? _promptTokens;
    private int? _completionTokens;
    private string? _finishReason;
    private int _choices;
    private long _textBytes;
    private int _texts;
    private int _textStart;
    private int _textLength;
    private bool _isError;

    public AnswerFold() => _choices = -1;

    private enum Place : byte
    {
        Elsewhere,
        Answer,
        Choices,
        Choice,
        Message,
        ToolCalls,
        ToolCall,
        Function,
        Usage,
        PromptTokens,
        CompletionTokens,
        FinishReason,
        Text,
        Error,
    }

    public readonly AnswerFacts Facts => new(
        _promptTokens is { } prompt ? new TokenUsage(prompt, _completionTokens ?? 0) : null,
        _finishReason,
        _choices,
        _textBytes,
        _isError);

    /// <summary>
    /// Where the one string that counts as text stands, between its quotes, in the bytes that the reader was made for; <see langword="null"/> where there is none, or more than one. Of no meaning where
    /// those are only a part of the JSON.
    /// </summary>
    public readonly (int Start, int Length)? OnlyText => _texts == 1 ? (_textStart, _textLength) : null;

    /// <summary>Takes the token that <paramref name="reader"/> has just read.</summary>
    public void Take(ref Utf8JsonReader reader)
    {
        switch (reader.TokenType)
        {
            case JsonTokenType.PropertyName:
                _next = Property(Container, reader.ValueSpan);
                break;
            case JsonTokenType.StartObject:
                Open(ValuePlace());
                break;
            case JsonTokenType.StartArray:
                Open(ValuePlace(), isArray: true);
                break;
            case JsonTokenType.EndObject:
            case JsonTokenType.EndArray:
                _depth--;
                break;
            default:
                TakeValue(ValuePlace(), ref reader);
                break;
        }
    }

    private readonly Place Container => _depth is > 0 and <= PathDepth ? _path[_depth - 1] : Place.Elsewhere;

    /// <summary>The place of the value that begins: its property's, or that of an element of the array around it.</summary>
    private Place ValuePlace()
    {
        if (_depth == 0)
        {
            return Place.Answer;
        }

        var place = Container switch
        {
            Place.Choices => Place.Choice,
            Place.ToolCalls => Place.ToolCall,
            _ => _next,
        };
        _next = Place.Elsewhere;
        return place;
    }

    private void Open(Place place, bool isArray = false)
    {
        // An array where an object belongs, or the other way round, says nothing.
        if (isArray != (place is Place.Choices or Place.ToolCalls))
        {
            _isError |= place == Place.Error;
            place = Place.Elsewhere;
        }

        switch (place)
        {
            case Place.Choices:
                _choices = 0;
                break;
            case Place.Choice:
                _choices++;
                break;
            case Place.Usage:
                (_promptTokens, _completionTokens) = (null, null);
                break;
            case Place.Error:
                _isError = true;
                break;
        }

        if (_depth < PathDepth)
        {
            _path[_depth] = place;
        }

        _depth++;
    }

    private void TakeValue(Place place, ref Utf8JsonReader reader)
    {
        switch (place)
        {
            case Place.PromptTokens:
                _promptTokens = Count(ref reader);
                break;
            case Place.CompletionTokens:
                _completionTokens = Count(ref reader);
                break;
            case Place.FinishReason when reader.TokenType == JsonTokenType.String && reader.ValueSpan.Length <= FinishReasonBytesMax:
                _finishReason = Encoding.UTF8.GetString(reader.ValueSpan);
                break;
            case Place.Text when reader.TokenType == JsonTokenType.String:
                _textBytes += reader.ValueIsEscaped ? UnescapedLength(reader.ValueSpan) : reader.ValueSpan.Length;
                _texts++;
                (_textStart, _textLength) = ((int)reader.TokenStartIndex + 1, reader.ValueSpan.Length);
                break;
            case Place.Error when reader.TokenType != JsonTokenType.Null:
                _isError = true;
                break;
        }
    }

    private static int? Count(ref Utf8JsonReader reader) =>
        reader.TokenType == JsonTokenType.Number && reader.TryGetInt32(out var count) && count >= 0 ? count : null;

    private static Place Property(Place container, ReadOnlySpan<byte> name) => container switch
    {
        Place.Answer when name.SequenceEqual("choices"u8) => Place.Choices,
        Place.Answer when name.SequenceEqual("usage"u8) => Place.Usage,
        Place.Answer when name.SequenceEqual("error"u8) => Place.Error,
        Place.Usage when name.SequenceEqual("prompt_tokens"u8) => Place.PromptTokens,
        Place.Usage when name.SequenceEqual("completion_tokens"u8) => Place.CompletionTokens,
        Place.Choice when name.SequenceEqual("delta"u8) || name.SequenceEqual("message"u8) => Place.Message,
        Place.Choice when name.SequenceEqual("finish_reason"u8) => Place.FinishReason,
        Place.Choice when name.SequenceEqual("text"u8) => Place.Text,
        Place.Message when name.SequenceEqual("tool_calls"u8) => Place.ToolCalls,
        Place.Message when name.SequenceEqual("function_call"u8) => Place.Function,
        Place.Message when name.SequenceEqual("content"u8) || name.SequenceEqual("refusal"u8)
            || name.SequenceEqual("reasoning_content"u8) || name.SequenceEqual("reasoning"u8) => Place.Text,
        Place.ToolCall when name.SequenceEqual("function"u8) => Place.Function,
        Place.Function when name.SequenceEqual("name"u8) || name.SequenceEqual("arguments"u8) => Place.Text,
        _ => Place.Elsewhere,
    };

    /// <summary>
    /// UTF-8 bytes of a JSON string after unescaping. Counted by hand since the reader's own unescaping throws on a lone surrogate, which
    /// engines do write when they cut an emoji between two chunks; it counts as the three bytes of U+FFFD.
    /// </summary>
    private static long UnescapedLength(ReadOnlySpan<byte> json)
    {
        long length = 0;
        for (var i = 0; i < json.Length; length++, i++)
        {
            if (json[i] != '\\')
            {
                continue;
            }

            if (json[++i] != 'u')
            {
                continue;
            }

            var unit = HexUnit(json, i + 1);
            i += 4;
            if (unit < 0x80)
            {
                continue;
            }

            length += unit < 0x800 ? 1 : 2;
            if (char.IsHighSurrogate((char)unit) && json.Length - i > 6 && json[i + 1] == '\\' && json[i + 2] == 'u'
                && char.IsLowSurrogate((char)HexUnit(json, i + 3)))
            {
                length++;
                i += 6;
            }
        }

        return length;
    }

    /// <summary>The four hexadecimal digits at <paramref name="start"/>; the reader has checked that they are there.</summary>
    private static int HexUnit(ReadOnlySpan<byte> json, int start)
    {
        var unit = 0;
        foreach (var digit in json.Slice(start, 4))
        {
            unit = (unit << 4) | (digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10);
        }

        return unit;
    }

    [System.Runtime.CompilerServices.InlineArray(PathDepth)]
    private struct Path
    {
        private Place _first;
    }
}
