using System.Buffers;
using System.Text.Json;

namespace Federation.Protocol.OpenAi;

/// <summary>One event of an OpenAI stream.</summary>
/// <remarks>Its spans point into the bytes that were fed or into the scanner, and are good until the scanner is used again.</remarks>
public readonly ref struct SseEvent
{
    /// <summary>Bytes of the stream before this event.</summary>
    public required long Offset { get; init; }

    /// <summary>The event's bytes as they came, with the blank line that ends it. The events of a stream, put together, are the stream.</summary>
    public required ReadOnlySpan<byte> Raw { get; init; }

    /// <summary>What stands after <c>data:</c>; several such lines are joined by <c>\n</c>. Empty for a comment or a keep-alive.</summary>
    public required ReadOnlySpan<byte> Data { get; init; }

    /// <summary>The data is <c>[DONE]</c>: nothing follows.</summary>
    public bool IsDone => Data.SequenceEqual("[DONE]"u8);

    /// <summary>There is data, and it is neither <c>[DONE]</c> nor a JSON value.</summary>
    public required bool IsMalformed { get; init; }

    /// <summary>What the data says; all empty where there is none or it is malformed.</summary>
    public required AnswerFacts Facts { get; init; }
}

/// <summary>Events in a row that differ in nothing but their text, from each other and from the one before them.</summary>
/// <remarks>Its span points into the bytes that were fed, and is good until the scanner is used again.</remarks>
public readonly ref struct SseRun
{
    /// <summary>Their bytes as they came; each event ends with its blank line.</summary>
    public required ReadOnlySpan<byte> Raw { get; init; }

    /// <summary>Events that have a text which is not empty.</summary>
    public required int Texts { get; init; }

    /// <summary>What each of them says; <see cref="AnswerFacts.TextBytes"/> is that of all together.</summary>
    public required AnswerFacts Facts { get; init; }
}

/// <summary>An event of a stream is larger than the reader allows.</summary>
public sealed class SseEventTooLargeException(int limitBytes) : Exception($"an event of the stream is larger than {limitBytes} bytes")
{
    /// <summary>The limit, bytes.</summary>
    public int LimitBytes { get; } = limitBytes;
}

/// <summary>
/// Cuts an OpenAI event stream, fed in any split, into its events and says what each one holds. The same bytes give the same events however
/// they are split.
/// </summary>
/// <remarks>
/// The chunks of an answer differ in nothing but their text, as a rule. So an event that begins and ends as the one before, with nothing but plain characters between, is known by comparing bytes; only
/// others are read as JSON.
/// Lines end in <c>\n</c> or <c>\r\n</c>. A lone <c>\r</c>, which the SSE standard also allows and no engine writes, ends nothing: whether
/// a <c>\n</c> follows it could only be told from the next bytes, and an event would have to wait for them. Not thread-safe.
/// <code>
/// ReadOnlySpan&lt;byte&gt; bytes = …;
/// while (scanner.TryRead(ref bytes, out var e)) { … }
/// </code>
/// Who has nothing to do with each event asks for <see cref="TryReadRun"/> first.
/// </remarks>
/// <param name="eventBytesMax">Largest event, bytes.</param>
public sealed class SseScanner(int eventBytesMax = 4 << 20)
{
    /// <summary>What a JSON string has only escaped, and what ends it.</summary>
    private static readonly SearchValues<byte> NotPlain = SearchValues.Create([.. Enumerable.Range(0, 0x20).Select(control => (byte)control), (byte)'"', (byte)'\\']);

    /// <summary>More than this around a text is no plain token, and does not come again.</summary>
    private const int RememberedBytesMax = 1024;

    private byte[] _held = [];
    private int _heldLength;

    /// <summary>Where the line being read begins, within the event being read.</summary>
    private int _lineStart;
    private long _offset;
    private byte[] _joined = [];

    /// <summary>The event before, if it had one text: what stands before that text, and what from its closing quote on.</summary>
    private byte[] _before = [];
    private byte[] _behind = [];
    private int _beforeLength;
    private int _behindLength;

    /// <summary>Bytes of <see cref="_before"/> before the data, and of <see cref="_behind"/> behind it.</summary>
    private int _dataStart;
    private int _afterData;
    private AnswerFacts _facts;

    /// <summary>Bytes of the stream in whole events so far.</summary>
    public long Offset => _offset;

    /// <summary>An event has begun and not ended.</summary>
    public bool IsInsideEvent => _heldLength > 0;

    /// <summary>
    /// Takes the bytes up to the end of the next event, and leaves the rest. False when they end before it does: all of them have been taken.
    /// </summary>
    /// <exception cref="SseEventTooLargeException">The event is above the limit. The scanner is of no more use.</exception>
    public bool TryRead(ref ReadOnlySpan<byte> bytes, out SseEvent sseEvent)
    {
        if (_heldLength == 0 && TryRepeat(ref bytes, out sseEvent))
        {
            return true;
        }

        var taken = 0;
        while (bytes[taken..].IndexOf((byte)'\n') is >= 0 and var length)
        {
            taken += length + 1;
            var end = _heldLength + taken;
            Guard(end);
            var isBlank = end - _lineStart == 1 || (end - _lineStart == 2 && ByteBefore(end - 1, bytes) == '\r');
            _lineStart = end;
            if (isBlank)
            {
                var raw = _heldLength == 0 ? bytes[..taken] : Held(bytes[..taken]);
                bytes = bytes[taken..];
                sseEvent = Complete(raw);
                return true;
            }
        }

        Held(bytes);
        bytes = default;
        sseEvent = default;
        return false;
    }

    /// <summary>
    /// Takes as many events at once as are like the one before but for their text. False, and nothing is taken, where the next one is not, or not all of it is here: then it is for <see cref="TryRead"/>.
    /// </summary>
    public bool TryReadRun(ref ReadOnlySpan<byte> bytes, out SseRun run)
    {
        run = default;
        if (_heldLength > 0)
        {
            return false;
        }

        var (taken, texts, textBytes) = (0, 0, 0L);
        while (RepeatLength(bytes[taken..], out var textLength) is > 0 and var length)
        {
            taken += length;
            textBytes += textLength;
            texts += textLength > 0 ? 1 : 0;
        }

        if (taken == 0)
        {
            return false;
        }

        run = new SseRun { Raw = bytes[..taken], Texts = texts, Facts = _facts with { TextBytes = textBytes } };
        _offset += taken;
        bytes = bytes[taken..];
        return true;
    }

    /// <summary>
    /// Says that the stream has ended. True when it did so within an event that has data, which some engines do after <c>[DONE]</c>;
    /// the standard would drop that event, but its bytes have been passed on.
    /// </summary>
    public bool TryEnd(out SseEvent sseEvent)
    {
        if (_heldLength == 0)
        {
            sseEvent = default;
            return false;
        }

        sseEvent = Complete(_held.AsSpan(0, _heldLength));
        return !sseEvent.Data.IsEmpty;
    }

    private byte ByteBefore(int position, ReadOnlySpan<byte> bytes) =>
        position - 1 < _heldLength ? _held[position - 1] : bytes[position - 1 - _heldLength];

    /// <summary>Adds to the event that is held, and gives all of it.</summary>
    private ReadOnlySpan<byte> Held(ReadOnlySpan<byte> more)
    {
        var length = _heldLength + more.Length;
        Guard(length);
        if (length > _held.Length)
        {
            Array.Resize(ref _held, Math.Min(Math.Max(length, _held.Length * 2), eventBytesMax));
        }

        more.CopyTo(_held.AsSpan(_heldLength));
        _heldLength = length;
        return _held.AsSpan(0, length);
    }

    private void Guard(int length)
    {
        if (length > eventBytesMax)
        {
            throw new SseEventTooLargeException(eventBytesMax);
        }
    }

    private SseEvent Complete(ReadOnlySpan<byte> raw)
    {
        var data = Data(raw);
        var start = _offset;
        _offset += raw.Length;
        _heldLength = 0;
        _lineStart = 0;

        var isJson = !data.IsEmpty && !data.SequenceEqual("[DONE]"u8);
        var facts = new AnswerFacts(null, null, -1, 0, false);
        (int Start, int Length)? text = null;
        var isMalformed = isJson && !TryFold(data, ref facts, ref text);
        if (text is { } only)
        {
            Remember(raw, data, only, facts);
        }

        return new SseEvent
        {
            Offset = start,
            Raw = raw,
            Data = data,
            IsMalformed = isMalformed,
            Facts = facts,
        };
    }

    /// <summary>Takes an event that is the one before but for its text. False, and nothing is taken, where it is not, or not all of it is here.</summary>
    private bool TryRepeat(ref ReadOnlySpan<byte> bytes, out SseEvent sseEvent)
    {
        sseEvent = default;
        if (RepeatLength(bytes, out var textLength) is not (> 0 and var length))
        {
            return false;
        }

        var raw = bytes[..length];
        sseEvent = new SseEvent
        {
            Offset = _offset,
            Raw = raw,
            Data = raw[_dataStart..^_afterData],
            IsMalformed = false,
            Facts = _facts with { TextBytes = textLength },
        };
        _offset += raw.Length;
        bytes = bytes[raw.Length..];
        return true;
    }

    /// <summary>How long an event is that is the one before but for its text, and its text; 0 where the next one is not, or not all of it is here.</summary>
    private int RepeatLength(ReadOnlySpan<byte> bytes, out int textLength)
    {
        textLength = 0;
        if (_beforeLength == 0 || !bytes.StartsWith(_before.AsSpan(0, _beforeLength)))
        {
            return 0;
        }

        // No line can end within a text, and no string but by a quote: these bytes cut and say what the ones before did.
        textLength = bytes[_beforeLength..].IndexOfAny(NotPlain);
        if (textLength < 0 || !bytes[(_beforeLength + textLength)..].StartsWith(_behind.AsSpan(0, _behindLength)))
        {
            return 0;
        }

        // One above the limit is refused where it is read by itself: what comes before it is not lost with it.
        var length = _beforeLength + textLength + _behindLength;
        return length <= eventBytesMax ? length : 0;
    }

    /// <summary>Keeps an event for <see cref="RepeatLength"/>, if it has one text and its data stands on one line.</summary>
    private void Remember(ReadOnlySpan<byte> raw, ReadOnlySpan<byte> data, (int Start, int Length) text, in AnswerFacts facts)
    {
        if (raw.Length - text.Length > RememberedBytesMax || !raw.Overlaps(data, out var dataStart))
        {
            return;
        }

        var textStart = dataStart + text.Start;
        _beforeLength = Copy(raw[..textStart], ref _before);
        _behindLength = Copy(raw[(textStart + text.Length)..], ref _behind);
        (_dataStart, _afterData, _facts) = (dataStart, raw.Length - dataStart - data.Length, facts);
    }

    private static int Copy(ReadOnlySpan<byte> bytes, ref byte[] to)
    {
        if (to.Length < bytes.Length)
        {
            to = new byte[bytes.Length];
        }

        bytes.CopyTo(to);
        return bytes.Length;
    }

    private static bool TryFold(ReadOnlySpan<byte> json, ref AnswerFacts facts, ref (int Start, int Length)? text)
    {
        var reader = new Utf8JsonReader(json);
        var fold = new AnswerFold();
        try
        {
            while (reader.Read())
            {
                fold.Take(ref reader);
            }
        }
        catch (JsonException)
        {
            return false;
        }

        (facts, text) = (fold.Facts, fold.OnlyText);
        return true;
    }

    private ReadOnlySpan<byte> Data(ReadOnlySpan<byte> raw)
    {
        ReadOnlySpan<byte> data = default;
        var lines = 0;
        var joinedLength = 0;
        while (!raw.IsEmpty)
        {
            var end = raw.IndexOf((byte)'\n');
            var line = end < 0 ? raw : raw[..end];
            raw = end < 0 ? default : raw[(end + 1)..];
            if (DataOf(line) is not { IsEmpty: false } value)
            {
                continue;
            }

            if (++lines == 1)
            {
                data = value;
                continue;
            }

            if (lines == 2)
            {
                Join(data, ref joinedLength);
            }

            Join("\n"u8, ref joinedLength);
            Join(value, ref joinedLength);
            data = _joined.AsSpan(0, joinedLength);
        }

        return data;
    }

    private static ReadOnlySpan<byte> DataOf(ReadOnlySpan<byte> line)
    {
        if (!line.StartsWith("data:"u8))
        {
            return default;
        }

        line = line[5..];
        line = line.EndsWith("\r"u8) ? line[..^1] : line;
        return line.StartsWith(" "u8) ? line[1..] : line;
    }

    private void Join(ReadOnlySpan<byte> piece, ref int length)
    {
        if (_joined.Length < length + piece.Length)
        {
            Array.Resize(ref _joined, Math.Max(length + piece.Length, _joined.Length * 2));
        }

        piece.CopyTo(_joined.AsSpan(length));
        length += piece.Length;
    }
}
