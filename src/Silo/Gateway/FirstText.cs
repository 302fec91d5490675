using Federation.Protocol.OpenAi;

namespace Federation.Silo.Gateway;

/// <summary>Finds the first text in a streamed answer: its first token, since an event that only names a role is none.</summary>
internal sealed class FirstText(long maxBytes)
{
    private readonly SseScanner _scanner = new((int)Math.Min(maxBytes, int.MaxValue));
    private bool _isLost;

    /// <summary>Whether there is text in this chunk; it goes on where the one before ended.</summary>
    public bool IsIn(ReadOnlyMemory<byte> chunk)
    {
        var bytes = chunk.Span;
        try
        {
            while (!_isLost && _scanner.TryRead(ref bytes, out var item))
            {
                if (item.Facts.TextBytes > 0) return true;
            }
        }
        catch (SseEventTooLargeException)
        {
            // Not a stream of events: there is no first one.
            _isLost = true;
        }
        return false;
    }
}
