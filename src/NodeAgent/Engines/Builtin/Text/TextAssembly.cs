using System.Buffers;
using System.Text;

namespace Federation.NodeAgent.Engines.Builtin.Text;

/// <summary>
/// Makes text of an answer's bytes. Holds back what may yet become a stop text, and the beginning of a UTF-8 sequence until it is whole.
/// </summary>
/// <param name="stops">Texts that end the answer and are not part of it.</param>
internal sealed class TextAssembly(IReadOnlyList<byte[]> stops)
{
    private readonly ArrayBufferWriter<byte> _held = new();

    /// <summary>A stop text has come; nothing more is taken.</summary>
    public bool IsStopped { get; private set; }

    /// <summary>Bytes released so far.</summary>
    public long ReleasedBytes { get; private set; }

    /// <summary>Bytes taken so far, whether released, held or cut off.</summary>
    public long TakenBytes { get; private set; }

    /// <summary>Takes a token's bytes and gives the text that can now be shown; often none.</summary>
    public string Add(ReadOnlySpan<byte> bytes)
    {
        _held.Write(bytes);
        TakenBytes += bytes.Length;
        if (FirstStop() is { } position)
        {
            IsStopped = true;
            return Release(position);
        }

        var free = _held.WrittenCount - LongestBegunStop();
        return Release(free - BegunRune(_held.WrittenSpan[..free]));
    }

    /// <summary>The answer has ended: gives the rest. A UTF-8 sequence that was not finished becomes U+FFFD.</summary>
    public string End() => IsStopped ? "" : Release(_held.WrittenCount);

    private int? FirstStop()
    {
        int? first = null;
        foreach (var stop in stops)
        {
            var position = _held.WrittenSpan.IndexOf(stop);
            if (position >= 0 && !(first <= position))
            {
                first = position;
            }
        }

        return first;
    }

    /// <summary>How many of the last bytes are the beginning of a stop text.</summary>
    private int LongestBegunStop()
    {
        var longest = 0;
        foreach (var stop in stops)
        {
            for (var length = Math.Min(stop.Length - 1, _held.WrittenCount); length > longest; length--)
            {
                if (_held.WrittenSpan.EndsWith(stop.AsSpan(0, length)))
                {
                    longest = length;
                }
            }
        }

        return longest;
    }

    /// <summary>How many of the last bytes are the beginning of a UTF-8 sequence.</summary>
    private static int BegunRune(ReadOnlySpan<byte> bytes)
    {
        for (var length = 1; length <= Math.Min(3, bytes.Length); length++)
        {
            if (Rune.DecodeFromUtf8(bytes[^length..], out _, out _) == OperationStatus.NeedMoreData)
            {
                return length;
            }
        }

        return 0;
    }

    private string Release(int count)
    {
        if (count == 0)
        {
            return "";
        }

        var text = Encoding.UTF8.GetString(_held.WrittenSpan[..count]);
        var rest = _held.WrittenSpan[count..].ToArray();
        _held.ResetWrittenCount();
        _held.Write(rest);
        ReleasedBytes += count;
        return text;
    }
}
