using System.Collections.Immutable;

namespace Federation.NodeAgent.Link;

/// <summary>Where a hub is reached: first as its owner wrote it, then, in turn, wherever else the hub said it is.</summary>
internal sealed class HubUrls(Uri configured)
{
    private ImmutableArray<Uri> _urls = [configured];
    private int _next;

    /// <summary>Some URL was not tried since the node was let in last.</summary>
    public bool HasUntried => _next < _urls.Length;

    /// <summary>The URL to try now.</summary>
    public Uri Next()
    {
        if (!HasUntried) _next = 0;
        return _urls[_next++];
    }

    /// <summary>The hub at the URL tried last answered, and said that it is reached there too.</summary>
    public void Learn(ImmutableArray<Uri> others)
    {
        var answered = _urls[_next - 1];
        // Whoever answered is asked first the next time; the configured one is never forgotten.
        _urls = [.. new[] { answered, configured }.Concat(others).Distinct()];
        _next = 1;
    }

    /// <summary>The node was let in: the next time, whoever did so is asked first.</summary>
    public void StartOver() => _next = 0;
}
