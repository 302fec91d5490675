namespace Federation.Silo.Verification.Challenges;

/// <summary>The round trip to a node: the shortest of the last five pings, since everything but the wire only makes one longer.</summary>
internal sealed class RoundTrip
{
    private const int Pings = 5;

    private readonly Queue<TimeSpan> _samples = new(Pings);

    /// <summary>The shortest; zero while there is none.</summary>
    public TimeSpan Shortest => _samples.Count == 0 ? TimeSpan.Zero : _samples.Min();

    /// <summary>One ping was answered. Clocks that went backwards are not believed.</summary>
    public void Add(TimeSpan sample)
    {
        if (sample < TimeSpan.Zero) return;
        if (_samples.Count == Pings) _samples.Dequeue();
        _samples.Enqueue(sample);
    }

    /// <summary>
    /// A span less the round trip. Never more than <paramref name="max"/> is taken off, or slow pings would buy time; and never more than half, so that something positive remains.
    /// </summary>
    public static TimeSpan TakenOff(TimeSpan span, TimeSpan roundTrip, TimeSpan max)
    {
        var off = roundTrip < max ? roundTrip : max;
        return off < span / 2 ? off : span / 2;
    }
}
