namespace Federation.Silo.Accounts.Limits;

/// <summary>What is used of one day's or month's limit, and what running jobs may still use of it.</summary>
internal sealed class PeriodCount
{
    private long _period = long.MinValue;

    /// <summary>What is over and counted.</summary>
    public long Used { get; private set; }

    /// <summary>What running jobs may come to.</summary>
    public long Reserved { get; private set; }

    /// <summary>Both.</summary>
    public long Total => Used + Reserved;

    /// <summary>A new period begins from nothing. A clock that was put back begins none: what is used stays used.</summary>
    public void MoveTo(long period)
    {
        if (period <= _period) return;
        (_period, Used, Reserved) = (period, 0, 0);
    }

    /// <summary>The record says so; it may lack what is not on disk yet, as this may lack what was counted elsewhere.</summary>
    public void AtLeast(long used) => Used = Math.Max(Used, used);

    /// <summary>Sets aside.</summary>
    /// <returns>The period it belongs to, for <see cref="Settle"/>.</returns>
    public long Reserve(long amount)
    {
        Reserved += amount;
        return _period;
    }

    /// <summary>Puts what was used in the place of what was reserved, unless its period is over.</summary>
    public void Settle(long period, long reserved, long used)
    {
        if (period != _period) return;
        Reserved -= reserved;
        Used += used;
    }
}

/// <summary>Days and months, counted, UTC.</summary>
internal static class Periods
{
    public static long DayOf(DateTimeOffset at) => at.UtcTicks / TimeSpan.TicksPerDay;

    public static long MonthOf(DateTimeOffset at) => (at.UtcDateTime.Year * 12L) + at.UtcDateTime.Month;

    public static DateTimeOffset StartOfDay(DateTimeOffset at) => new(at.UtcDateTime.Date, TimeSpan.Zero);

    public static DateTimeOffset StartOfMonth(DateTimeOffset at) => new(at.UtcDateTime.Year, at.UtcDateTime.Month, 1, 0, 0, 0, TimeSpan.Zero);

    public static TimeSpan UntilTomorrow(DateTimeOffset at) => TimeSpan.FromTicks(TimeSpan.TicksPerDay - (at.UtcTicks % TimeSpan.TicksPerDay));

    public static TimeSpan UntilNextMonth(DateTimeOffset at) => StartOfMonth(at).AddMonths(1) - at;
}
