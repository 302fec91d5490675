namespace Federation.Silo.Verification.Inference;

/// <summary>
/// A cumulative sum that finds a small lasting shift where no single audit does (verification.md §2.5): S ← max(0, S + z − k), alarm at h.
/// With k = 0.25 and h = 16 and normal z, an honest node alarms once in 37 000 audits; a shift of 0.5 standard deviations is caught in 61.
/// </summary>
/// <param name="Sum">S, in standard deviations.</param>
/// <param name="Audits">Audits since S was last 0: how long the shift has lasted.</param>
internal readonly record struct Cusum(double Sum, int Audits)
{
    public static Cusum Zero { get; }

    /// <summary>Takes an audit's z.</summary>
    public Cusum Add(double z, double allowance)
    {
        var sum = Math.Max(0, Sum + z - allowance);
        return new Cusum(sum, sum > 0 ? Audits + 1 : 0);
    }
}
