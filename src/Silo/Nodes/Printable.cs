namespace Federation.Silo.Nodes;

/// <summary>Makes words from outside fit for a log line or a page: bounded, on one line, nothing that steers a terminal.</summary>
internal static class Printable
{
    public static string Of(string text, int maxLength)
    {
        var bounded = text.Length <= maxLength ? text : text[..maxLength];
        return bounded.AsSpan().IndexOfAnyInRange('\0', '\x1f') < 0 && !bounded.Contains('\x7f', StringComparison.Ordinal)
            ? bounded
            : string.Concat(bounded.Select(character => char.IsControl(character) ? '·' : character));
    }
}
