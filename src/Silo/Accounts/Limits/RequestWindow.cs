namespace Federation.Silo.Accounts.Limits;

/// <summary>
/// The requests of the last minute, each by its moment: whatever 60 seconds one looks at, there are never more than the limit in them, and who asks at exactly the limit's pace is never refused.
/// </summary>
/// <remarks>Moments are those of a clock that never goes back. Memory: eight bytes a request of the last minute, and an id more for those that were counted elsewhere, so the limit bounds it.</remarks>
internal sealed class RequestWindow
{
    public static readonly TimeSpan Span = TimeSpan.FromMinutes(1);

    private Queue<TimeSpan> _moments = new();
    private Dictionary<string, TimeSpan>? _told;
    private TimeSpan _latest;
    private bool _isUnsorted;

    /// <summary>How many there were in the minute that ends now.</summary>
    public int Count(TimeSpan now)
    {
        Sort();
        while (_moments.TryPeek(out var oldest) && now - oldest >= Span) _moments.Dequeue();
        return _moments.Count;
    }

    /// <summary>One more.</summary>
    public void Add(TimeSpan moment)
    {
        if (moment < _latest) _isUnsorted = _moments.Count > 0;
        else _latest = moment;
        _moments.Enqueue(moment);
    }

    /// <summary>One that was counted elsewhere: once, whoever tells of it, and however often.</summary>
    /// <param name="jobId">Which.</param>
    /// <param name="moment">When it was; before or after those that are known.</param>
    /// <param name="now">The moment.</param>
    public void Tell(string jobId, TimeSpan moment, TimeSpan now)
    {
        if (now - moment >= Span) return;
        _told ??= new Dictionary<string, TimeSpan>(StringComparer.Ordinal);
        if (_told.Count > 2 * _moments.Count)
        {
            foreach (var (id, at) in _told)
            {
                if (now - at >= Span) _told.Remove(id);
            }
        }
        if (_told.TryAdd(jobId, moment)) Add(moment);
    }

    /// <summary>How long until there is one less.</summary>
    public TimeSpan UntilOneLess(TimeSpan now)
    {
        Sort();
        return _moments.TryPeek(out var oldest) ? Positive(oldest + Span - now) : TimeSpan.Zero;
    }

    /// <summary>How long until there is none.</summary>
    public TimeSpan UntilNone(TimeSpan now) => _moments.Count > 0 ? Positive(_latest + Span - now) : TimeSpan.Zero;

    private void Sort()
    {
        if (!_isUnsorted) return;
        _moments = new Queue<TimeSpan>(_moments.Order());
        _isUnsorted = false;
    }

    private static TimeSpan Positive(TimeSpan time) => time > TimeSpan.Zero ? time : TimeSpan.Zero;
}
