using Federation.Silo.Hosting;
using Federation.Silo.Verification.Standings;

namespace Federation.Silo.Verification.Accrual;

/// <summary>What of a receipt's reference work is paid, and from when on it may mature (§2.6). Pure.</summary>
internal static class AccrualRules
{
    /// <summary>Microseconds of an hour.</summary>
    public const long HourMicroseconds = 3_600_000_000;

    /// <summary>Reference work a device is paid for in one hour, µs: 1.35 h.</summary>
    public static long HourlyCap(AccrualOptions options) => (long)(options.SpeedMax * HourMicroseconds);

    /// <summary>The part of <paramref name="referenceMicroseconds"/> that still fits under the hour's cap; the rest is never paid.</summary>
    /// <param name="credited">What the device was credited for in that hour already, µs.</param>
    /// <param name="referenceMicroseconds">What the receipt claims, µs; not negative.</param>
    /// <param name="options">The rules.</param>
    public static long Payable(long credited, long referenceMicroseconds, AccrualOptions options)
        => Math.Clamp(HourlyCap(options) - credited, 0, Math.Max(0, referenceMicroseconds));

    /// <summary>Whether the work is more than the device could have done in the time the hub saw: then it is audited always.</summary>
    public static bool IsTooFast(long referenceMicroseconds, long dispatchMs, long lastMs, AccrualOptions options)
        => referenceMicroseconds > options.SpeedMax * Math.Max(0, lastMs - dispatchMs) * 1_000;

    /// <summary>How long an earning is held at least.</summary>
    /// <param name="creditedAt">When it is credited.</param>
    /// <param name="enrolledAt">When the node enrolled.</param>
    /// <param name="peers">Nodes with its weights, itself included.</param>
    /// <param name="accrual">The rules.</param>
    /// <param name="standing">What a small class is.</param>
    public static TimeSpan MaturityAge(DateTimeOffset creditedAt, DateTimeOffset enrolledAt, int peers, AccrualOptions accrual, StandingOptions standing)
    {
        var age = peers < standing.SmallClassPeers ? Durations.Longer(accrual.MaturityAge, accrual.SmallClassMaturityAge) : accrual.MaturityAge;
        return creditedAt - enrolledAt < accrual.NewNodeAge ? Durations.Longer(age, accrual.NewNodeMaturityAge) : age;
    }
}
