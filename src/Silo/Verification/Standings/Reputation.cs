namespace Federation.Silo.Verification.Standings;

/// <summary>
/// What the audits of one node with certain weights amount to, and how often the next unit is to be audited (§2.7). A unit is
/// what is audited as one: a receipt.
/// </summary>
/// <param name="Passes">a: passed audits, older ones fading. Starts at 1; never above 1/(1−λ).</param>
/// <param name="Failures">b: weight of what was wrong, fading, never below 1.</param>
/// <param name="AuditAllUnits">Units that are still audited whatever the rate says, after a confirmed mismatch.</param>
/// <param name="AuditsPassed">Audits passed in all, less what was evaded, never fading: what an earning's later audits are counted by.</param>
/// <param name="RecentUnits">Units credited, fading over <see cref="StandingOptions.LightNodeWindow"/>: about how many come in the next one.</param>
/// <param name="CountedAt">When <paramref name="RecentUnits"/> was brought up to date.</param>
/// <param name="Abandoned">
/// What leases weigh that the node took and gave up, a part of b that fades with every unit it delivers: a steady share r of abandoned units is held at about <c>0.2·r/(1−λ)</c>, which at one
/// in 300 brings the floor of p from 1 % to 1.7 %. Were it to fade with audits, as the rest of b, it would pile up until enough audits come to fade it: at one in 300 to p = 8 %.
/// </param>
internal readonly record struct Reputation(double Passes, double Failures, int AuditAllUnits, long AuditsPassed, double RecentUnits, DateTimeOffset CountedAt, double Abandoned = 0)
{
    /// <summary>Of a node nobody has seen work: a = b = 1, audited always.</summary>
    public static Reputation New(DateTimeOffset now) => new(1, 1, 0, 0, 0, now);

    /// <summary>ε = b/(a+b), what was abandoned a part of b.</summary>
    public double ErrorRate => (Failures + Abandoned) / (Passes + Failures + Abandoned);

    /// <summary>p: the share of the next units that is audited, <c>clamp(10ε, p_min, 1)</c>, and more for light nodes.</summary>
    /// <param name="options">The rules.</param>
    /// <param name="peers">Nodes with these weights, this one included.</param>
    public double AuditRate(StandingOptions options, int peers)
    {
        if (AuditAllUnits > 0) return 1;
        var floor = peers < options.SmallClassPeers ? Math.Max(options.SmallClassAuditRateMin, options.AuditRateMin) : options.AuditRateMin;
        // A node of few units would wait for weeks for its ten audits at the floor.
        if (RecentUnits * floor < options.AuditsToMature) floor = RecentUnits > options.AuditsToMature ? options.AuditsToMature / RecentUnits : 1;
        return Math.Clamp(options.Caution * ErrorRate, floor, 1);
    }

    /// <summary>Counts a credited unit, audited or not.</summary>
    public Reputation AfterUnit(StandingOptions options, DateTimeOffset now)
    {
        // Two silos' clocks may differ; a unit from the past fades nothing.
        var elapsed = now > CountedAt ? now - CountedAt : TimeSpan.Zero;
        return this with { RecentUnits = (RecentUnits * Math.Exp(-(elapsed / options.LightNodeWindow))) + 1, CountedAt = CountedAt + elapsed, Abandoned = options.Memory * Abandoned };
    }

    /// <summary>Takes in an audit's outcome, or that a lease was abandoned; evidence of other kinds changes nothing.</summary>
    /// <remarks>A suspicion that was not confirmed neither passes nor fades what came before: it adds its weight and nothing else.</remarks>
    public Reputation After(Evidence evidence, StandingOptions options) => evidence switch
    {
        Evidence.AuditPassed => this with
        {
            Passes = (options.Memory * Passes) + 1,
            Failures = Math.Max(1, options.Memory * Failures),
            AuditAllUnits = Math.Max(0, AuditAllUnits - 1),
            AuditsPassed = AuditsPassed + 1,
        },
        Evidence.AuditMismatch => this with
        {
            Passes = options.Memory * Passes,
            Failures = Math.Max(1, (options.Memory * Failures) + options.MismatchWeight),
            AuditAllUnits = options.UnitsAfterMismatch,
        },
        Evidence.AuditEvaded => this with { Failures = Failures + options.SuspicionWeight, AuditsPassed = Math.Max(0, AuditsPassed - options.PassesPerEvasion) },
        Evidence.AuditUnconfirmed => this with { Failures = Failures + options.SuspicionWeight },
        Evidence.Abandoned => this with { Abandoned = Abandoned + options.SuspicionWeight },
        _ => this,
    };
}
