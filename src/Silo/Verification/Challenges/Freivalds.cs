namespace Federation.Silo.Verification.Challenges;

/// <summary>
/// Freivalds' check of a returned product, C = A·B, in O(n²): A·(B·r) = C·r for a random vector r, modulo the prime 2^61 − 1, which no sum of the factors overflows. A wrong C
/// passes with probability below 2^−60. Modulo 2^32 it would be one half: the difference 2^31 vanishes whenever its element of r is even.
/// </summary>
/// <remarks>
/// For compute jobs that give back all of C. It is no part of the MM challenge: there the node would give back C·r alone, which it gets from A·(B·r) as cheaply as the hub does.
/// r must be drawn after C is fixed.
/// </remarks>
internal static class Freivalds
{
    /// <summary>2^61 − 1.</summary>
    public const ulong Prime = (1UL << 61) - 1;

    /// <summary>Whether the product is right; all matrices row by row.</summary>
    /// <param name="a">rows × inner.</param>
    /// <param name="b">inner × columns.</param>
    /// <param name="c">rows × columns.</param>
    /// <param name="r">One number below <see cref="Prime"/> per column.</param>
    public static bool Holds(ReadOnlySpan<sbyte> a, ReadOnlySpan<sbyte> b, ReadOnlySpan<int> c, ReadOnlySpan<ulong> r)
    {
        var columns = r.Length;
        var inner = b.Length / columns;
        var rows = c.Length / columns;
        if (b.Length != inner * columns || c.Length != rows * columns || a.Length != rows * inner) throw new ArgumentException("The sizes of the matrices do not fit each other.");
        var y = new ulong[inner];
        for (var k = 0; k < inner; k++) y[k] = Dot(b.Slice(k * columns, columns), r);
        for (var i = 0; i < rows; i++)
        {
            if (Dot(a.Slice(i * inner, inner), y) != Dot(c.Slice(i * columns, columns), r)) return false;
        }
        return true;
    }

    /// <summary>The next number below <see cref="Prime"/> of a vector r, from 64 random bits at a time.</summary>
    public static ulong Draw(Func<ulong> random)
    {
        // Of 2^61 numbers one is refused.
        while (true)
        {
            if (random() >> 3 is var drawn && drawn < Prime) return drawn;
        }
    }

    // 2^61 · 2^31 · 2^35 elements stay inside 127 bits.
    private static ulong Dot(ReadOnlySpan<sbyte> factors, ReadOnlySpan<ulong> vector)
    {
        var sum = Int128.Zero;
        for (var i = 0; i < factors.Length; i++) sum += (Int128)vector[i] * factors[i];
        return Reduced(sum);
    }

    private static ulong Dot(ReadOnlySpan<int> factors, ReadOnlySpan<ulong> vector)
    {
        var sum = Int128.Zero;
        for (var i = 0; i < factors.Length; i++) sum += (Int128)vector[i] * factors[i];
        return Reduced(sum);
    }

    private static ulong Reduced(Int128 value)
    {
        var remainder = value % (Int128)Prime;
        return (ulong)(remainder < 0 ? remainder + (Int128)Prime : remainder);
    }
}
