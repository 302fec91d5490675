using System.Buffers;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using System.Text.Unicode;

namespace Federation.Silo.Apis;

/// <summary>
/// Puts together a text that comes in pieces, each a JSON string. Engines cut where a token ends, also in the middle of a character: as bytes, or as an escaped half of a surrogate pair. What is not a
/// whole character yet is held back for the next piece; what never becomes one is U+FFFD.
/// </summary>
internal sealed class StreamedText
{
    private byte[] _tail = [];
    private char? _half;

    private bool IsClean => _tail.Length == 0 && _half is null;

    /// <summary>The text that is final with this piece.</summary>
    public string Add(JsonElement piece)
    {
        var raw = JsonMarshal.GetRawUtf8Value(piece)[1..^1];
        if (IsClean && Utf8.IsValid(raw) && !MayHoldSurrogate(raw)) return piece.GetString()!;
        var text = new StringBuilder();
        while (!raw.IsEmpty)
        {
            var escape = raw.IndexOf((byte)'\\');
            if (escape != 0)
            {
                var plain = escape < 0 ? raw : raw[..escape];
                TakeBytes(plain, text);
                raw = raw[plain.Length..];
                continue;
            }
            // An escape is a character of its own: what was cut before it stays cut.
            if (_tail.Length > 0) text.Append('\uFFFD');
            _tail = [];
            text.Append(Unescape(raw, out var length));
            raw = raw[length..];
        }
        return Whole(text);
    }

    /// <summary>What was held back and will not become whole.</summary>
    public string End()
    {
        if (IsClean) return string.Empty;
        (_tail, _half) = ([], null);
        return "\uFFFD";
    }

    private static bool MayHoldSurrogate(ReadOnlySpan<byte> raw) => raw.IndexOf("\\ud"u8) >= 0 || raw.IndexOf("\\uD"u8) >= 0;

    private void TakeBytes(ReadOnlySpan<byte> bytes, StringBuilder text)
    {
        ReadOnlySpan<byte> rest = _tail.Length == 0 ? bytes : [.. _tail, .. bytes];
        _tail = [];
        while (!rest.IsEmpty)
        {
            var status = Rune.DecodeFromUtf8(rest, out var rune, out var length);
            if (status is OperationStatus.NeedMoreData)
            {
                _tail = rest.ToArray();
                return;
            }
            text.Append(rune.ToString());
            rest = rest[length..];
        }
    }

    private static char Unescape(ReadOnlySpan<byte> raw, out int length)
    {
        length = raw[1] == 'u' ? 6 : 2;
        return (char)raw[1] switch
        {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\b',
            'f' => '\f',
            'u' => (char)ushort.Parse(raw.Slice(2, 4), NumberStyles.HexNumber, CultureInfo.InvariantCulture),
            var other => other,
        };
    }

    private string Whole(StringBuilder text)
    {
        if (_half is { } before) text.Insert(0, before);
        _half = null;
        if (text.Length == 0) return string.Empty;
        if (char.IsHighSurrogate(text[^1]) && _tail.Length == 0)
        {
            _half = text[^1];
            text.Length--;
        }
        for (var i = 0; i < text.Length; i++)
        {
            if (i + 1 < text.Length && char.IsSurrogatePair(text[i], text[i + 1])) i++;
            else if (char.IsSurrogate(text[i])) text[i] = '\uFFFD';
        }
        return text.ToString();
    }
}
