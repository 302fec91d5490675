namespace Federation.Silo.Pricing;

/// <summary>Names of models, where <c>*</c> stands for any text: <c>claude-*-opus*</c>. Upper and lower case differ, as they do for engines.</summary>
internal sealed class NamePattern
{
    private readonly string[] _parts;

    /// <summary>Creates a pattern.</summary>
    /// <param name="text">A name, or one with stars in it.</param>
    public NamePattern(string text)
    {
        ArgumentException.ThrowIfNullOrEmpty(text);
        Text = text;
        _parts = text.Split('*');
    }

    /// <summary>As it was written.</summary>
    public string Text { get; }

    /// <summary>Whether it is one name, and no more.</summary>
    public bool IsName => _parts.Length == 1;

    /// <summary>Whether the name is one of those.</summary>
    public bool Matches(ReadOnlySpan<char> name)
    {
        if (IsName) return name.SequenceEqual(Text);
        if (!name.StartsWith(_parts[0]) || !name[_parts[0].Length..].EndsWith(_parts[^1])) return false;
        var middle = name[_parts[0].Length..^_parts[^1].Length];
        // The first place that fits leaves the most room for the parts that follow.
        foreach (var part in _parts.AsSpan(1, _parts.Length - 2))
        {
            if (middle.IndexOf(part) is not (>= 0 and var at)) return false;
            middle = middle[(at + part.Length)..];
        }
        return true;
    }

    /// <summary>The name by another pattern: what the star stood for here, it stands for there.</summary>
    /// <param name="name">One that <see cref="Matches"/>.</param>
    /// <param name="other">A name, or a pattern; with a star only when this one has exactly one too.</param>
    public string Translate(string name, string other)
        => _parts.Length == 2 ? other.Replace("*", name[_parts[0].Length..(name.Length - _parts[1].Length)], StringComparison.Ordinal) : other;
}
