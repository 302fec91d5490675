using System.Globalization;

namespace Grpc.Wire;

/// <summary>The value of <c>grpc-timeout</c>: at most eight digits and a unit.</summary>
internal static class CallTimeout
{
    private const long MaxValue = 99_999_999;

    /// <summary>The longest timeout that can be written as seconds; longer ones are cut to it.</summary>
    public static readonly TimeSpan Longest = TimeSpan.FromSeconds(MaxValue);

    /// <summary>Writes a timeout, rounded up so that the server never gives up before the client.</summary>
    public static string Encode(TimeSpan timeout)
    {
        var milliseconds = Math.Max(1, DivideRoundingUp(timeout.Ticks, TimeSpan.TicksPerMillisecond));
        return milliseconds <= MaxValue
            ? string.Create(CultureInfo.InvariantCulture, $"{milliseconds}m")
            : string.Create(CultureInfo.InvariantCulture, $"{Math.Min(MaxValue, DivideRoundingUp(milliseconds, 1000))}S");
    }

    /// <summary>Reads a timeout; false if it is malformed or zero.</summary>
    public static bool TryDecode(string? value, out TimeSpan timeout)
    {
        timeout = TimeSpan.Zero;
        if (value is not { Length: >= 2 and <= 9 })
            return false;
        if (!long.TryParse(value.AsSpan(0, value.Length - 1), NumberStyles.None, CultureInfo.InvariantCulture, out var number))
            return false;

        long? ticks = value[^1] switch
        {
            'H' => number * TimeSpan.TicksPerHour,
            'M' => number * TimeSpan.TicksPerMinute,
            'S' => number * TimeSpan.TicksPerSecond,
            'm' => number * TimeSpan.TicksPerMillisecond,
            'u' => number * TimeSpan.TicksPerMicrosecond,
            'n' => DivideRoundingUp(number, TimeSpan.NanosecondsPerTick),
            _ => null,
        };
        if (ticks is null or 0)
            return false;

        timeout = TimeSpan.FromTicks(Math.Min(ticks.Value, Longest.Ticks));
        return true;
    }

    private static long DivideRoundingUp(long value, long divisor) => (value + divisor - 1) / divisor;
}
