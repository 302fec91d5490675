namespace Federation.Silo.Verification;

/// <summary>Moments without memory: how long ago the last one was says nothing about the next.</summary>
internal static class PoissonProcess
{
    /// <summary>How long until the next moment.</summary>
    /// <param name="uniform">Uniform within [0, 1), of a source that nodes do not know.</param>
    /// <param name="mean">The mean time between two.</param>
    public static TimeSpan Wait(double uniform, TimeSpan mean)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(uniform);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(uniform, 1);
        return mean * -Math.Log(1 - uniform);
    }
}
