using System.Security.Cryptography;

namespace Federation.Silo.Verification;

/// <summary>Randomness that no seed gives away: for what nodes must not foresee. Safe for use by several threads.</summary>
internal sealed class UnforeseeableRandom : Random
{
    /// <inheritdoc/>
    public override int Next(int minValue, int maxValue) => minValue == maxValue ? minValue : RandomNumberGenerator.GetInt32(minValue, maxValue);

    /// <inheritdoc/>
    public override int Next(int maxValue) => Next(0, maxValue);

    /// <inheritdoc/>
    public override double NextDouble() => (BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(8)) >> 11) * (1.0 / (1UL << 53));
}
