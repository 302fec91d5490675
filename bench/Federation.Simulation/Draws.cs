namespace Federation.Simulation;

/// <summary>
/// Numbers drawn from exact distributions by one seed: counts of many equal trials are drawn at once, so that sixty days of minutes need
/// not be walked through one by one. SplitMix64 (Steele, Lea, Flood 2014). Not safe for use by several threads.
/// </summary>
internal sealed class Draws(ulong seed)
{
    private const double OneIn53Bits = 1.0 / (1UL << 53);

    private ulong _state = seed;
    private double? _spareNormal;

    /// <summary>The seed of something numbered within something seeded; neighbours have nothing in common.</summary>
    public static ulong Seed(ulong seed, ulong number) => new Draws(unchecked((seed * 0x9E3779B97F4A7C15) ^ (number * 0xD1B54A32D192ED03))).Bits();

    /// <summary>64 random bits.</summary>
    public ulong Bits()
    {
        unchecked
        {
            var z = _state += 0x9E3779B97F4A7C15;
            z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
            z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
            return z ^ (z >> 31);
        }
    }

    /// <summary>Uniform within [0, 1).</summary>
    public double Uniform() => (Bits() >> 11) * OneIn53Bits;

    /// <summary>Uniform within [<paramref name="from"/>, <paramref name="to"/>).</summary>
    public double Uniform(double from, double to) => from + ((to - from) * Uniform());

    /// <summary>0 to below <paramref name="limit"/>.</summary>
    public int Below(int limit) => (int)(Uniform() * limit);

    /// <summary>Whether something of this chance happens.</summary>
    public bool Happens(double chance) => chance > 0 && Uniform() < chance;

    /// <summary>Exponentially distributed around <paramref name="mean"/>.</summary>
    public double Exponential(double mean) => -mean * Math.Log(1 - Uniform());

    /// <summary>Standard normal, by Marsaglia's polar method.</summary>
    public double Normal()
    {
        if (_spareNormal is { } spare)
        {
            _spareNormal = null;
            return spare;
        }

        double x, y, square;
        do
        {
            x = (2 * Uniform()) - 1;
            y = (2 * Uniform()) - 1;
            square = (x * x) + (y * y);
        }
        while (square is >= 1 or 0);
        var scale = Math.Sqrt(-2 * Math.Log(square) / square);
        _spareNormal = y * scale;
        return x * scale;
    }

    /// <summary>A whole number next to <paramref name="value"/>, right on average.</summary>
    public int Rounded(double value)
    {
        var floor = Math.Floor(value);
        return (int)floor + (Happens(value - floor) ? 1 : 0);
    }

    /// <summary>How many of <paramref name="trials"/> happen, each with the same chance. Inversion: time grows with the result.</summary>
    public int Binomial(int trials, double chance)
    {
        if (trials <= 0 || chance <= 0) return 0;
        if (chance >= 1) return trials;
        if (chance > 0.5) return trials - Binomial(trials, 1 - chance);
        // P(0) of more trials than this would sink towards zero.
        if (trials > 500) return Binomial(trials / 2, chance) + Binomial(trials - (trials / 2), chance);
        var odds = chance / (1 - chance);
        var probability = Math.Exp(trials * Math.Log(1 - chance));
        var left = Uniform() - probability;
        var count = 0;
        while (left >= 0 && count < trials)
        {
            count++;
            probability *= odds * (trials - count + 1) / count;
            left -= probability;
        }

        return count;
    }
}
