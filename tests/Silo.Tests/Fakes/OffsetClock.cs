namespace Federation.Silo.Tests.Fakes;

/// <summary>The machine's clock, put ahead by as much as the test likes: days pass at once, and timers still run.</summary>
internal sealed class OffsetClock : TimeProvider
{
    private long _offsetTicks;

    public static OffsetClock Ahead(TimeSpan by) => new() { _offsetTicks = by.Ticks };

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override DateTimeOffset GetUtcNow() => base.GetUtcNow().AddTicks(Volatile.Read(ref _offsetTicks));

    public override long GetTimestamp() => GetUtcNow().UtcTicks;

    public void Advance(TimeSpan by) => Interlocked.Add(ref _offsetTicks, by.Ticks);
}
