namespace Federation.Silo.Nodes;

/// <summary>
/// Makes words from outside fit for a log line, a page or a database: bounded, on one line, whole characters, nothing that
/// steers a terminal or turns the reading direction.
/// </summary>
internal static class Printable
{
    private const char Placeholder = '·';

    /// <summary>The text, at most <paramref name="maxLength"/> UTF-16 units of it, with a dot for what is not fit.</summary>
    public static string Of(string text, int maxLength)
    {
        var length = Math.Min(text.Length, maxLength);
        // Half a character is none.
        if (length < text.Length && length > 0 && char.IsSurrogatePair(text[length - 1], text[length])) length--;
        for (var index = 0; index < length; index++)
        {
            if (!IsFit(text, index)) return string.Create(length, text, Replace);
        }
        return length == text.Length ? text : text[..length];
    }

    private static void Replace(Span<char> fit, string text)
    {
        for (var index = 0; index < fit.Length; index++) fit[index] = IsFit(text, index) ? text[index] : Placeholder;
    }

    private static bool IsFit(string text, int index) => text[index] switch
    {
        var unit when char.IsHighSurrogate(unit) => index + 1 < text.Length && char.IsLowSurrogate(text[index + 1]),
        var unit when char.IsLowSurrogate(unit) => index > 0 && char.IsHighSurrogate(text[index - 1]),
        '\u2028' or '\u2029' or (>= '\u202a' and <= '\u202e') or (>= '\u2066' and <= '\u2069') => false,
        var unit => !char.IsControl(unit),
    };
}
