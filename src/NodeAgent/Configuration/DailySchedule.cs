using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace Federation.NodeAgent.Configuration;

/// <summary>
/// The hours of a day in which a node works, in its local time: <c>18:00-02:00</c> begins in the evening and ends in the night.
/// The end is not part of it. Start and end the same: the whole day.
/// </summary>
/// <param name="Start">When it begins.</param>
/// <param name="End">When it ends; before <paramref name="Start"/>: on the next day.</param>
public readonly record struct DailySchedule(TimeOnly Start, TimeOnly End)
{
    private const string TimeFormat = "HH:mm";

    /// <summary>Reads <c>HH:mm-HH:mm</c>; <c>24:00</c> is allowed as the end.</summary>
    public static bool TryParse([NotNullWhen(true)] string? text, out DailySchedule schedule)
    {
        schedule = default;
        if (text?.Split('-', StringSplitOptions.TrimEntries) is not [var from, var to]
            || !TryParseTime(from, out TimeOnly start)
            || !TryParseTime(to == "24:00" ? "00:00" : to, out TimeOnly end))
        {
            return false;
        }

        schedule = new DailySchedule(start, end);
        return true;

        static bool TryParseTime(string time, out TimeOnly result) =>
            TimeOnly.TryParseExact(time, TimeFormat, CultureInfo.InvariantCulture, DateTimeStyles.None, out result);
    }

    /// <summary>Whether the node works at this time of the day.</summary>
    public bool Contains(TimeOnly time) => Start == End || time.IsBetween(Start, End);

    /// <summary>As <see cref="TryParse"/> reads it.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Start:HH:mm}-{End:HH:mm}");
}
