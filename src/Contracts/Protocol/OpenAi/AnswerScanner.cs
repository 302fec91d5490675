using System.Buffers;
using System.Text.Json;

namespace Federation.Protocol.OpenAi;

/// <summary>Reads the facts of a whole (not streamed) OpenAI answer while its bytes pass by in any split, without keeping the answer.</summary>
/// <remarks>Not thread-safe. Memory is bounded by the largest single JSON token. Never throws on what it is fed: a body that is not JSON just says nothing.</remarks>
/// <param name="tokenBytesMax">Largest JSON token (in practice: the answer's text) that is looked into, bytes. A larger one ends the scan.</param>
public sealed class AnswerScanner(int tokenBytesMax = 4 << 20)
{
    private readonly ArrayBufferWriter<byte> _held = new();
    private JsonReaderState _state;
    private AnswerFold _fold = new();
    private bool _gaveUp;

    /// <summary>What is known so far. <see cref="AnswerFacts.Usage"/> usually comes last.</summary>
    public AnswerFacts Facts => _fold.Facts;

    /// <summary>The body was not JSON, or held a token above the bound: <see cref="Facts"/> stay as they are.</summary>
    public bool IsMalformed => _gaveUp;

    /// <summary>Takes the next bytes of the body.</summary>
    public void Feed(ReadOnlySpan<byte> bytes)
    {
        if (_gaveUp)
        {
            return;
        }

        if (_held.WrittenCount == 0)
        {
            Hold(bytes[Scan(bytes, isLast: false)..]);
            return;
        }

        _held.Write(bytes);
        var rest = _held.WrittenSpan[Scan(_held.WrittenSpan, isLast: false)..];
        if (rest.Length == _held.WrittenCount)
        {
            GiveUpIf(rest.Length > tokenBytesMax);
            return;
        }

        var copy = rest.ToArray();
        _held.ResetWrittenCount();
        Hold(copy);
    }

    /// <summary>Says that the body has ended. True when it was one whole JSON value.</summary>
    public bool End()
    {
        if (!_gaveUp)
        {
            Scan(_held.WrittenSpan, isLast: true);
        }

        return !_gaveUp;
    }

    private void Hold(ReadOnlySpan<byte> rest)
    {
        GiveUpIf(rest.Length > tokenBytesMax);
        if (!_gaveUp)
        {
            _held.Write(rest);
        }
    }

    private int Scan(ReadOnlySpan<byte> bytes, bool isLast)
    {
        var reader = new Utf8JsonReader(bytes, isLast, _state);
        try
        {
            while (reader.Read())
            {
                _fold.Take(ref reader);
            }
        }
        catch (JsonException)
        {
            GiveUpIf(true);
            return bytes.Length;
        }

        _state = reader.CurrentState;
        return (int)reader.BytesConsumed;
    }

    private void GiveUpIf(bool hopeless)
    {
        if (hopeless)
        {
            _gaveUp = true;
            _held.Clear();
        }
    }
}
