using System.Globalization;

namespace Federation.Silo.Verification.Sampling;

/// <summary>
/// A share of units in whole millionths, 0 to 1 000 000: what a receipt's audit rate is committed to as, so that whoever recomputes
/// the draw needs no floating point.
/// </summary>
internal readonly record struct AuditRate
{
    /// <summary>Millionths in one.</summary>
    public const int One = 1_000_000;

    /// <summary>A rate of whole millionths.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Below 0 or above 1 000 000.</exception>
    public AuditRate(int millionths)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(millionths);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(millionths, One);
        Millionths = millionths;
    }

    /// <summary>Every unit.</summary>
    public static AuditRate Always => new(One);

    /// <summary>The share, millionths.</summary>
    public int Millionths { get; }

    /// <summary>p·2^64, rounded down: a draw below it is an audit. 2^64 itself for <see cref="Always"/>.</summary>
    public UInt128 Threshold => ((UInt128)Millionths << 64) / One;

    /// <summary>The rate next above <paramref name="share"/>: rounding never lets a unit escape.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The share is not within 0 and 1.</exception>
    public static AuditRate Of(double share) => share is >= 0 and <= 1
        ? new AuditRate((int)Math.Ceiling(share * One))
        : throw new ArgumentOutOfRangeException(nameof(share), share, "A share is 0 to 1.");

    /// <summary>As a percentage.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Millionths / 10_000m:0.####} %");
}
