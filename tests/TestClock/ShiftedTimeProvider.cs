using System.Globalization;

namespace Federation.TestClock;

/// <summary>The real time and the offset that stands in a file. Never goes back, as long as the offset does not.</summary>
internal sealed class ShiftedTimeProvider(string file) : TimeProvider
{
    private static readonly TimeSpan LookEvery = TimeSpan.FromMilliseconds(50);

    private long _offset = Read(file);
    private long _lookedAt = System.GetTimestamp();

    public override DateTimeOffset GetUtcNow()
    {
        var lookedAt = Volatile.Read(ref _lookedAt);
        // One of those who find that it is time looks.
        if (GetElapsedTime(lookedAt) >= LookEvery && Interlocked.CompareExchange(ref _lookedAt, GetTimestamp(), lookedAt) == lookedAt) Volatile.Write(ref _offset, Read(file));
        return base.GetUtcNow() + TimeSpan.FromTicks(Volatile.Read(ref _offset));
    }

    private static long Read(string file) => long.Parse(File.ReadAllText(file), CultureInfo.InvariantCulture);
}
