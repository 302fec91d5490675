using Federation.Silo.Accounts.Ledger;

namespace Federation.Silo.Verification.Accrual;

/// <summary>
/// A node's standby between two probes: time online is paid only if the probes before and after it were both answered. Probes come
/// at moments nobody can foresee, so being away while claiming to be there loses more than it gains, however long.
/// </summary>
/// <param name="PassedAt">The last probe that was answered, if no missed one came after it.</param>
/// <param name="IsRetry">The next probe is the one retry of a probe without answer.</param>
internal readonly record struct Standby(DateTimeOffset? PassedAt, bool IsRetry)
{
    /// <summary>Of a node that just came, or came back: nothing before its first probe is paid.</summary>
    public static Standby Fresh => default;

    /// <summary>Takes in what became of a probe.</summary>
    /// <param name="passed">It was answered rightly and in time.</param>
    /// <param name="at">When it was sent.</param>
    /// <param name="worked">Time since the last probe that passed in which the node worked: it is not paid twice.</param>
    /// <param name="options">The rules.</param>
    public StandbyStep After(bool passed, DateTimeOffset at, TimeSpan worked, AccrualOptions options)
    {
        if (passed) return new StandbyStep(new Standby(at, false), PassedAt is { } from && at - from > worked ? at - from - worked : TimeSpan.Zero, null, Missed: false);
        return IsRetry
            ? new StandbyStep(Fresh, TimeSpan.Zero, null, Missed: true)
            : new StandbyStep(this with { IsRetry = true }, TimeSpan.Zero, at + options.ProbeRetry, Missed: false);
    }

    /// <summary>What standby time earns, rounded down.</summary>
    /// <param name="time">Paid time.</param>
    /// <param name="creditsPerHour">What an hour of work earns in the node's class.</param>
    /// <param name="multiplier">The owner's tier's.</param>
    /// <param name="options">The share.</param>
    public static Microcredits Pay(TimeSpan time, long creditsPerHour, int multiplier, AccrualOptions options)
    {
        var shareMillionths = (long)Math.Round(options.StandbyShare * 1_000_000);
        return new Microcredits((long)((Int128)time.Ticks * creditsPerHour * multiplier * shareMillionths * Microcredits.PerCredit / 1_000_000 / TimeSpan.TicksPerHour));
    }
}

/// <summary>What a probe led to.</summary>
/// <param name="After">The standby from now on.</param>
/// <param name="Paid">Time that is paid now.</param>
/// <param name="RetryAt">When to probe once more; null when not.</param>
/// <param name="Missed">The node missed the probe and its retry: the gaps before and after are not paid.</param>
internal readonly record struct StandbyStep(Standby After, TimeSpan Paid, DateTimeOffset? RetryAt, bool Missed)
{
    /// <summary>
    /// Of a probe that says nothing, or of a node that takes no work: neither pass nor miss, and all begins again. That pays exactly what a missed probe pays, the gap before it
    /// and the gap after it are lost, so that no node is better off with work or a pause that comes just when a probe finds it away.
    /// </summary>
    public static StandbyStep Void => new(Standby.Fresh, TimeSpan.Zero, null, Missed: false);
}
