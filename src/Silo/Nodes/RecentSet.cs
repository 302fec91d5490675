namespace Federation.Silo.Nodes;

/// <summary>Remembers the last <paramref name="capacity"/> texts given to it. Safe for use by several threads.</summary>
internal sealed class RecentSet(int capacity)
{
    private readonly HashSet<string> _members = new(StringComparer.Ordinal);
    private readonly Queue<string> _order = [];
    private readonly Lock _gate = new();

    public void Add(string text)
    {
        lock (_gate)
        {
            if (!_members.Add(text)) return;
            _order.Enqueue(text);
            if (_order.Count > capacity) _members.Remove(_order.Dequeue());
        }
    }

    public bool Contains(string text)
    {
        lock (_gate) return _members.Contains(text);
    }
}
