namespace Federation.Silo.Accounts.Limits;

/// <summary>
/// The requests of the last minute, each by its moment: whatever 60 seconds one looks at, there are never more than the limit in them, and who asks at exactly the limit's pace is never refused.
/// </summary>
/// <remarks>Moments are those of a clock that never goes back. Memory: eight bytes a request of the last minute, so the limit bounds it.</remarks>
internal sealed class RequestWindow
{
    public static readonly TimeSpan Span = TimeSpan.FromMinutes(1);

    private readonly Queue<TimeSpan> _moments = new();
    private TimeSpan _latest;

    /// <summary>How many there were in the minute that ends now.</summary>
    public int Count(TimeSpan now)
    {
        while (_moments.TryPeek(out var oldest) && now - oldest >= Span) _moments.Dequeue();
        return _moments.Count;
    }

    /// <summary>One more.</summary>
    public void Add(TimeSpan moment)
    {
        // What was read from the record may be later than what this process has counted meanwhile; the order must hold.
        _latest = moment > _latest ? moment : _latest;
        _moments.Enqueue(_latest);
    }

    /// <summary>How long until there is one less.</summary>
    public TimeSpan UntilOneLess(TimeSpan now) => _moments.TryPeek(out var oldest) ? Positive(oldest + Span - now) : TimeSpan.Zero;

    /// <summary>How long until there is none.</summary>
    public TimeSpan UntilNone(TimeSpan now) => _moments.Count > 0 ? Positive(_latest + Span - now) : TimeSpan.Zero;

    private static TimeSpan Positive(TimeSpan time) => time > TimeSpan.Zero ? time : TimeSpan.Zero;
}
