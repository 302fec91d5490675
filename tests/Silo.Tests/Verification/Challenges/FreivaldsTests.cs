using Federation.Silo.Verification.Challenges;

namespace Federation.Silo.Tests.Verification.Challenges;

/// <summary>P4 of the verification protocol.</summary>
public sealed class FreivaldsTests
{
    private const int Size = 6;

    private readonly Random _random = new(6);

    [Fact]
    public void A_right_product_always_holds()
    {
        for (var i = 0; i < 2_000; i++)
        {
            var (rows, inner, columns) = (_random.Next(1, 9), _random.Next(1, 9), _random.Next(1, 9));
            var (a, b) = (Entries(rows * inner), Entries(inner * columns));
            Assert.True(Freivalds.Holds(a, b, Product(a, b, rows, inner, columns), Vector(columns)));
        }
    }

    [Fact]
    public void A_product_at_the_ends_of_all_ranges_holds_too()
    {
        sbyte[] a = [.. Enumerable.Repeat(sbyte.MinValue, 4 * 1_000)], b = [.. Enumerable.Repeat(sbyte.MinValue, 1_000 * 4)];
        int[] c = [.. Enumerable.Repeat(1_000 * 16_384, 16)];
        ulong[] r = [.. Enumerable.Repeat(Freivalds.Prime - 1, 4)];
        Assert.True(Freivalds.Holds(a, b, c, r));
        c[5] = int.MinValue;
        Assert.False(Freivalds.Holds(a, b, c, r));
    }

    [Fact]
    public void No_wrong_product_holds()
    {
        var falselyAccepted = 0;
        for (var i = 0; i < Counts.Of(full: 1_000_000, quick: 20_000); i++)
        {
            var (a, b) = (Entries(Size * Size), Entries(Size * Size));
            var c = Product(a, b, Size, Size, Size);
            // What escapes a check modulo 2^32 half of the time is a third of the lies.
            var lie = (i % 3) switch { 0 => int.MinValue, 1 => 1, _ => _random.Next(int.MinValue, int.MaxValue) | 1 };
            var place = _random.Next(c.Length);
            c[place] = unchecked(c[place] + lie);
            if (Freivalds.Holds(a, b, c, Vector(Size))) falselyAccepted++;
        }
        Assert.Equal(0, falselyAccepted);
    }

    // Why the prime: the same check in the arithmetic of int32, on the difference 2^31 in one element.
    [Fact]
    public void Modulo_two_to_the_32_half_of_the_worst_lies_would_hold()
    {
        var trials = Counts.Of(full: 1_000_000, quick: 100_000);
        var missed = 0;
        for (var i = 0; i < trials; i++)
        {
            var r = unchecked((uint)_random.NextInt64());
            if (unchecked(0x8000_0000u * r) == 0) missed++;
        }
        Assert.InRange(missed / (double)trials, 0.495, 0.505);
    }

    [Fact]
    public void Sizes_that_do_not_fit_are_an_error()
    {
        Assert.Throws<ArgumentException>(() => Freivalds.Holds(Entries(5), Entries(6), new int[4], Vector(2)));
        Assert.Throws<ArgumentException>(() => Freivalds.Holds(Entries(6), Entries(6), new int[5], Vector(2)));
    }

    [Fact]
    public void The_vector_is_drawn_below_the_prime()
    {
        var draws = new Queue<ulong>([ulong.MaxValue, (Freivalds.Prime << 3) | 7, 8]);
        Assert.Equal(1UL, Freivalds.Draw(draws.Dequeue));
    }

    private sbyte[] Entries(int count)
    {
        var entries = new sbyte[count];
        for (var i = 0; i < count; i++) entries[i] = (sbyte)_random.Next(sbyte.MinValue, sbyte.MaxValue + 1);
        return entries;
    }

    private ulong[] Vector(int count)
    {
        var vector = new ulong[count];
        for (var i = 0; i < count; i++) vector[i] = Freivalds.Draw(() => (ulong)_random.NextInt64() << 1);
        return vector;
    }

    private static int[] Product(sbyte[] a, sbyte[] b, int rows, int inner, int columns)
    {
        var c = new int[rows * columns];
        for (var i = 0; i < rows; i++)
        {
            for (var j = 0; j < columns; j++)
            {
                for (var k = 0; k < inner; k++) c[(i * columns) + j] += a[(i * inner) + k] * b[(k * columns) + j];
            }
        }
        return c;
    }
}
