using System.Collections.Immutable;

namespace Federation.Silo.Verification.Inference;

/// <summary>
/// Drawn tokens of one node and class, each as the place in the verifier's distribution from which it was drawn (randomised probability
/// integral transform). Honest draws fill 0 to 1 evenly; a surer model crowds near 0, a wilder one near 1.
/// </summary>
/// <remarks>Every token is tested once and then forgotten: testing a sliding pool again and again would accuse the honest more often than the test says.</remarks>
/// <param name="Places">Places in 65 536ths, in order of arrival; fewer than the test waits for.</param>
internal sealed record PitPool(ImmutableArray<ushort> Places)
{
    /// <summary>Tokens kept at most, whatever the options say.</summary>
    public const int PlacesMax = 1 << 15;

    public static PitPool Empty { get; } = new([]);

    /// <summary>u = F(&lt;y) + U·p(y), for U uniform in 0 to 1.</summary>
    public static double Place(double below, double mass, double uniform) => Math.Clamp(below + (uniform * mass), 0, 1);

    public PitPool Add(IEnumerable<double> places) =>
        new([.. Places.Concat(places.Select(place => (ushort)Math.Min(ushort.MaxValue, place * 65536))).TakeLast(PlacesMax)]);

    /// <summary>Tests what has come together, if it is enough, and begins anew.</summary>
    public (PitPool Waiting, KolmogorovSmirnov? Test) TestWhenFull(int tokens) =>
        Places.Length < tokens ? (this, null) : (Empty, KolmogorovSmirnov.Uniform([.. Places.Select(place => (place + 0.5) / 65536)]));
}

/// <summary>How far a sample lies from the uniform distribution on 0 to 1.</summary>
/// <param name="Count">Numbers in the sample.</param>
/// <param name="Distance">Greatest difference of the two distribution functions, either way: the test is two-sided.</param>
/// <param name="Chance">Chance of a distance as great for a uniform sample.</param>
internal readonly record struct KolmogorovSmirnov(int Count, double Distance, double Chance)
{
    public static KolmogorovSmirnov Uniform(double[] sample)
    {
        Array.Sort(sample);
        var distance = 0.0;
        for (var i = 0; i < sample.Length; i++)
        {
            distance = Math.Max(distance, Math.Max(((i + 1.0) / sample.Length) - sample[i], sample[i] - ((double)i / sample.Length)));
        }

        return new KolmogorovSmirnov(sample.Length, distance, Kolmogorov(distance, sample.Length));
    }

    /// <summary>Stephens' approximation of the distribution for finite samples; within 1 % of it from n = 40 where it matters.</summary>
    private static double Kolmogorov(double distance, int count)
    {
        var root = Math.Sqrt(count);
        var x = (root + 0.12 + (0.11 / root)) * distance;
        if (x < 0.2) return 1;
        var sum = 0.0;
        for (var k = 1; k <= 100; k++)
        {
            var term = Math.Exp(-2 * k * k * x * x);
            sum += k % 2 == 1 ? term : -term;
            if (term < 1e-17) break;
        }

        return Math.Clamp(2 * sum, 0, 1);
    }
}
