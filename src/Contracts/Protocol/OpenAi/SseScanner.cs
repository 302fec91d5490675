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
/// Lines end in <c>\n</c> or <c>\r\n</c>. A lone <c>\r</c>, which the SSE standard also allows and no engine writes, ends nothing: whether
/// a <c>\n</c> follows it could only be told from the next bytes, and an event would have to wait for them. Not thread-safe.
/// <code>
/// ReadOnlySpan&lt;byte&gt; bytes = …;
/// while (scanner.TryRead(ref bytes, out var e)) { … }
/// </code>
/// </remarks>
/// <param name="eventBytesMax">Largest event, bytes.</param>
public sealed class SseScanner(int eventBytesMax = 4 << 20)
{
    private byte[] _held = [];
    private int _heldLength;

    /// <summary>Where the line being read begins, within the event being read.</summary>
    private int _lineStart;
    private long _offset;
    private byte[] _joined = [];

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
        return new SseEvent
        {
            Offset = start,
            Raw = raw,
            Data = data,
            IsMalformed = isJson && !TryFold(data, ref facts),
            Facts = facts,
        };
    }

    private static bool TryFold(ReadOnlySpan<byte> json, ref AnswerFacts facts)
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

        facts = fold.Facts;
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
