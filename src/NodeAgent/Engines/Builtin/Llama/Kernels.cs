using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Federation.NodeAgent.Engines.Builtin.Llama;

/// <summary>The inner loops, on as wide a vector as the machine has.</summary>
/// <remarks>Compiled fully at the first call: tiering would run the first answers at a tenth of the speed.</remarks>
internal static class Kernels
{
    /// <summary>
    /// <c>y[b, firstRow + r] = weights[r] · x[b]</c> for the first <paramref name="rows"/> rows of <paramref name="weights"/>.
    /// </summary>
    public static void Products(
        ReadOnlySpan<float> weights, int columns, ReadOnlySpan<float> x, int batch, Span<float> y, int firstRow, int stride, int rows)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(weights.Length, rows * columns);
        ArgumentOutOfRangeException.ThrowIfLessThan(x.Length, batch * columns);
        ArgumentOutOfRangeException.ThrowIfLessThan(y.Length, ((batch - 1) * stride) + firstRow + rows);
        ref var w = ref MemoryMarshal.GetReference(weights);
        ref var source = ref MemoryMarshal.GetReference(x);
        ref var target = ref Unsafe.Add(ref MemoryMarshal.GetReference(y), firstRow);
        var vector = 0;
        for (; vector <= batch - 4; vector += 4)
        {
            FourVectors(ref w, rows, columns, ref Unsafe.Add(ref source, vector * columns), ref Unsafe.Add(ref target, vector * stride), stride);
        }

        for (; vector < batch; vector++)
        {
            OneVector(ref w, rows, columns, ref Unsafe.Add(ref source, vector * columns), ref Unsafe.Add(ref target, vector * stride));
        }
    }

    /// <inheritdoc cref="Products(ReadOnlySpan{float}, int, ReadOnlySpan{float}, int, Span{float}, int, int, int)"/>
    public static void Products(ReadOnlySpan<float> weights, int columns, ReadOnlySpan<float> x, int batch, Span<float> y, int firstRow, int rows) =>
        Products(weights, columns, x, batch, y, firstRow, rows, rows);

    /// <summary><c>destination = scale × quants</c>, for one block.</summary>
    public static void Widen(ReadOnlySpan<sbyte> quants, float scale, Span<float> destination)
    {
        for (var i = 0; i < quants.Length; i++)
        {
            destination[i] = quants[i] * scale;
        }
    }

    /// <summary>The dot product of two vectors of equal length.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Dot(ReadOnlySpan<float> a, ReadOnlySpan<float> b)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(a.Length, b.Length);
        ref var left = ref MemoryMarshal.GetReference(a);
        ref var right = ref MemoryMarshal.GetReference(b);
        var sum = Vector<float>.Zero;
        var i = 0;
        for (; i <= a.Length - Vector<float>.Count; i += Vector<float>.Count)
        {
            sum = Vector.FusedMultiplyAdd(Load(ref left, i), Load(ref right, i), sum);
        }

        return Finish(sum, ref left, ref right, i, a.Length);
    }

    /// <summary><c>sum += factor × x</c>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void AddScaled(Span<float> sum, ReadOnlySpan<float> x, float factor)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(sum.Length, x.Length);
        ref var target = ref MemoryMarshal.GetReference(sum);
        ref var source = ref MemoryMarshal.GetReference(x);
        var factors = new Vector<float>(factor);
        var i = 0;
        for (; i <= sum.Length - Vector<float>.Count; i += Vector<float>.Count)
        {
            Vector.FusedMultiplyAdd(Load(ref source, i), factors, Load(ref target, i)).StoreUnsafe(ref target, (nuint)i);
        }

        for (; i < sum.Length; i++)
        {
            Unsafe.Add(ref target, i) = MathF.FusedMultiplyAdd(Unsafe.Add(ref source, i), factor, Unsafe.Add(ref target, i));
        }
    }

    /// <summary>Root-mean-square normalisation, then each number times its weight.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Normalise(ReadOnlySpan<float> x, ReadOnlySpan<float> weights, float epsilon, Span<float> destination)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(x.Length, weights.Length);
        ArgumentOutOfRangeException.ThrowIfNotEqual(x.Length, destination.Length);
        var scale = 1f / MathF.Sqrt((Dot(x, x) / x.Length) + epsilon);
        for (var i = 0; i < x.Length; i++)
        {
            destination[i] = x[i] * scale * weights[i];
        }
    }

    /// <summary>Scores become weights that add up to one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Softmax(Span<float> scores)
    {
        var max = float.NegativeInfinity;
        foreach (var score in scores)
        {
            max = MathF.Max(max, score);
        }

        ref var first = ref MemoryMarshal.GetReference(scores);
        var maxima = new Vector<float>(max);
        var sums = Vector<float>.Zero;
        var i = 0;
        for (; i <= scores.Length - Vector<float>.Count; i += Vector<float>.Count)
        {
            var weight = Vector.Exp(Load(ref first, i) - maxima);
            weight.StoreUnsafe(ref first, (nuint)i);
            sums += weight;
        }

        var sum = Vector.Sum(sums);
        for (; i < scores.Length; i++)
        {
            sum += scores[i] = MathF.Exp(scores[i] - max);
        }

        var scale = 1f / sum;
        foreach (ref var score in scores)
        {
            score *= scale;
        }
    }

    /// <summary><c>gate = silu(gate) × up</c>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void SwiGlu(Span<float> gate, ReadOnlySpan<float> up)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(gate.Length, up.Length);
        ref var gates = ref MemoryMarshal.GetReference(gate);
        ref var ups = ref MemoryMarshal.GetReference(up);
        var i = 0;
        for (; i <= gate.Length - Vector<float>.Count; i += Vector<float>.Count)
        {
            var g = Load(ref gates, i);
            (g / (Vector<float>.One + Vector.Exp(-g)) * Load(ref ups, i)).StoreUnsafe(ref gates, (nuint)i);
        }

        for (; i < gate.Length; i++)
        {
            gate[i] = gate[i] / (1f + MathF.Exp(-gate[i])) * up[i];
        }
    }

    /// <summary>Eight rows at a time: one load of x serves all, and eight sums keep both multipliers busy.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void OneVector(ref float weights, int rows, int columns, ref float x, ref float y)
    {
        var row = 0;
        for (; row <= rows - 8; row += 8)
        {
            ref var w0 = ref Unsafe.Add(ref weights, row * columns);
            ref var w1 = ref Unsafe.Add(ref w0, columns);
            ref var w2 = ref Unsafe.Add(ref w1, columns);
            ref var w3 = ref Unsafe.Add(ref w2, columns);
            ref var w4 = ref Unsafe.Add(ref w3, columns);
            ref var w5 = ref Unsafe.Add(ref w4, columns);
            ref var w6 = ref Unsafe.Add(ref w5, columns);
            ref var w7 = ref Unsafe.Add(ref w6, columns);
            Vector<float> s0 = default, s1 = default, s2 = default, s3 = default, s4 = default, s5 = default, s6 = default, s7 = default;
            var i = 0;
            for (; i <= columns - Vector<float>.Count; i += Vector<float>.Count)
            {
                var v = Load(ref x, i);
                s0 = Vector.FusedMultiplyAdd(Load(ref w0, i), v, s0);
                s1 = Vector.FusedMultiplyAdd(Load(ref w1, i), v, s1);
                s2 = Vector.FusedMultiplyAdd(Load(ref w2, i), v, s2);
                s3 = Vector.FusedMultiplyAdd(Load(ref w3, i), v, s3);
                s4 = Vector.FusedMultiplyAdd(Load(ref w4, i), v, s4);
                s5 = Vector.FusedMultiplyAdd(Load(ref w5, i), v, s5);
                s6 = Vector.FusedMultiplyAdd(Load(ref w6, i), v, s6);
                s7 = Vector.FusedMultiplyAdd(Load(ref w7, i), v, s7);
            }

            ref var target = ref Unsafe.Add(ref y, row);
            target = Finish(s0, ref w0, ref x, i, columns);
            Unsafe.Add(ref target, 1) = Finish(s1, ref w1, ref x, i, columns);
            Unsafe.Add(ref target, 2) = Finish(s2, ref w2, ref x, i, columns);
            Unsafe.Add(ref target, 3) = Finish(s3, ref w3, ref x, i, columns);
            Unsafe.Add(ref target, 4) = Finish(s4, ref w4, ref x, i, columns);
            Unsafe.Add(ref target, 5) = Finish(s5, ref w5, ref x, i, columns);
            Unsafe.Add(ref target, 6) = Finish(s6, ref w6, ref x, i, columns);
            Unsafe.Add(ref target, 7) = Finish(s7, ref w7, ref x, i, columns);
        }

        for (; row < rows; row++)
        {
            Unsafe.Add(ref y, row) = Dot(
                MemoryMarshal.CreateReadOnlySpan(ref Unsafe.Add(ref weights, row * columns), columns),
                MemoryMarshal.CreateReadOnlySpan(ref x, columns));
        }
    }

    /// <summary>Two rows by four vectors at a time: six loads for eight products.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void FourVectors(ref float weights, int rows, int columns, ref float x, ref float y, int stride)
    {
        ref var x1 = ref Unsafe.Add(ref x, columns);
        ref var x2 = ref Unsafe.Add(ref x1, columns);
        ref var x3 = ref Unsafe.Add(ref x2, columns);
        var row = 0;
        for (; row <= rows - 2; row += 2)
        {
            ref var w0 = ref Unsafe.Add(ref weights, row * columns);
            ref var w1 = ref Unsafe.Add(ref w0, columns);
            Vector<float> s00 = default, s01 = default, s02 = default, s03 = default, s10 = default, s11 = default, s12 = default, s13 = default;
            var i = 0;
            for (; i <= columns - Vector<float>.Count; i += Vector<float>.Count)
            {
                var v0 = Load(ref x, i);
                var v1 = Load(ref x1, i);
                var v2 = Load(ref x2, i);
                var v3 = Load(ref x3, i);
                var w = Load(ref w0, i);
                s00 = Vector.FusedMultiplyAdd(w, v0, s00);
                s01 = Vector.FusedMultiplyAdd(w, v1, s01);
                s02 = Vector.FusedMultiplyAdd(w, v2, s02);
                s03 = Vector.FusedMultiplyAdd(w, v3, s03);
                w = Load(ref w1, i);
                s10 = Vector.FusedMultiplyAdd(w, v0, s10);
                s11 = Vector.FusedMultiplyAdd(w, v1, s11);
                s12 = Vector.FusedMultiplyAdd(w, v2, s12);
                s13 = Vector.FusedMultiplyAdd(w, v3, s13);
            }

            ref var target = ref Unsafe.Add(ref y, row);
            target = Finish(s00, ref w0, ref x, i, columns);
            Unsafe.Add(ref target, 1) = Finish(s10, ref w1, ref x, i, columns);
            target = ref Unsafe.Add(ref target, stride);
            target = Finish(s01, ref w0, ref x1, i, columns);
            Unsafe.Add(ref target, 1) = Finish(s11, ref w1, ref x1, i, columns);
            target = ref Unsafe.Add(ref target, stride);
            target = Finish(s02, ref w0, ref x2, i, columns);
            Unsafe.Add(ref target, 1) = Finish(s12, ref w1, ref x2, i, columns);
            target = ref Unsafe.Add(ref target, stride);
            target = Finish(s03, ref w0, ref x3, i, columns);
            Unsafe.Add(ref target, 1) = Finish(s13, ref w1, ref x3, i, columns);
        }

        if (row < rows)
        {
            for (var vector = 0; vector < 4; vector++)
            {
                Unsafe.Add(ref y, (vector * stride) + row) = Dot(
                    MemoryMarshal.CreateReadOnlySpan(ref Unsafe.Add(ref weights, row * columns), columns),
                    MemoryMarshal.CreateReadOnlySpan(ref Unsafe.Add(ref x, vector * columns), columns));
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector<float> Load(ref float start, int index) => Vector.LoadUnsafe(ref start, (nuint)index);

    /// <summary>The lanes' sum, and what was left over at the end of the row.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float Finish(Vector<float> lanes, ref float w, ref float x, int done, int columns)
    {
        var sum = Vector.Sum(lanes);
        for (; done < columns; done++)
        {
            sum = MathF.FusedMultiplyAdd(Unsafe.Add(ref w, done), Unsafe.Add(ref x, done), sum);
        }

        return sum;
    }
}
