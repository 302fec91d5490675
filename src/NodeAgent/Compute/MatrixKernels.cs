using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Federation.Protocol.Challenges;

namespace Federation.NodeAgent.Compute;

/// <summary>
/// The inner loops of C = A·B in exact integers. Entries are in [−8, 7]; B is kept 8 too large, as 0 to 15, which is what the byte instructions want of one factor, and the
/// excess, 8 times the sum of A's row, is taken off before.
/// </summary>
/// <remarks>
/// <para>A and B are laid out in <i>quads</i>, four neighbouring k in one 32-bit word. A tile is <see cref="TileRows"/> rows by <see cref="TileColumns"/> columns; A has the words
/// of a tile's rows side by side per quad, B those of its columns.</para>
/// <para>A product of two pairs is at most 2·8·15 = 240, so that 16-bit sums hold 128 quads; then they are widened. That is twice as fast as 32-bit sums without VNNI, and no
/// slower than with it.</para>
/// <para>Compiled fully at the first call: tiering would run the first rounds at a tenth of the speed, and challenges are rare.</para>
/// </remarks>
internal static class MatrixKernels
{
    /// <summary>Rows of a tile.</summary>
    public const int TileRows = 8;

    /// <summary>Columns of a tile.</summary>
    public const int TileColumns = 32;

    /// <summary>k's in one word.</summary>
    public const int QuadEntries = 4;

    /// <summary>Quads that 16-bit sums hold.</summary>
    public const int MaxSteps = 128;

    /// <summary>The ways there are, fastest first; all give the same. For tests, which compare them.</summary>
    public enum Way
    {
        /// <summary>AVX-512BW: 64 products an instruction.</summary>
        Vector512,

        /// <summary>AVX2: 32.</summary>
        Vector256,

        /// <summary>Any machine with vectors of 16 bytes, Arm's too.</summary>
        Portable,
    }

    /// <summary>The fastest way of this machine.</summary>
    public static Way Best => IsSupported(Way.Vector512) ? Way.Vector512 : IsSupported(Way.Vector256) ? Way.Vector256 : Way.Portable;

    /// <summary>Whether this machine has a way.</summary>
    public static bool IsSupported(Way way) => way switch
    {
        Way.Vector512 => Avx512BW.IsSupported && Vector512.IsHardwareAccelerated,
        Way.Vector256 => Avx2.IsSupported,
        _ => true,
    };

    /// <summary>Adds the products of one tile over some quads to <paramref name="tile"/>.</summary>
    /// <param name="way">How.</param>
    /// <param name="a">A's words, <see cref="TileRows"/> per quad.</param>
    /// <param name="b">B's words, <see cref="TileColumns"/> per quad.</param>
    /// <param name="steps">Quads, at most <see cref="MaxSteps"/>.</param>
    /// <param name="tile">The sums, row by row.</param>
    public static void Accumulate(Way way, ReadOnlySpan<uint> a, ReadOnlySpan<uint> b, int steps, Span<int> tile)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(steps, MaxSteps);
        ArgumentOutOfRangeException.ThrowIfLessThan(a.Length, steps * TileRows);
        ArgumentOutOfRangeException.ThrowIfLessThan(b.Length, steps * TileColumns);
        ArgumentOutOfRangeException.ThrowIfLessThan(tile.Length, TileRows * TileColumns);
        ref var left = ref MemoryMarshal.GetReference(a);
        ref var right = ref MemoryMarshal.GetReference(b);
        ref var sums = ref MemoryMarshal.GetReference(tile);
        switch (way)
        {
            case Way.Vector512:
                Accumulate512(ref left, ref right, steps, ref sums);
                break;
            case Way.Vector256:
                for (var row = 0; row < TileRows; row += 4)
                {
                    for (var column = 0; column < TileColumns; column += 16)
                    {
                        Accumulate256(ref Unsafe.Add(ref left, row), ref Unsafe.Add(ref right, column), steps, ref Unsafe.Add(ref sums, (row * TileColumns) + column));
                    }
                }
                break;
            default:
                for (var row = 0; row < TileRows; row++)
                {
                    for (var column = 0; column < TileColumns; column += 8)
                    {
                        AccumulatePortable(ref Unsafe.Add(ref left, row), ref Unsafe.Add(ref right, column), steps, ref Unsafe.Add(ref sums, (row * TileColumns) + column));
                    }
                }
                break;
        }
    }

    /// <summary>Sixteen columns of four rows of B, words as <see cref="ChallengeMatrix.FillWords"/> gives them, as 16 words of quads.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Interleave(ulong row0, ulong row1, ulong row2, ulong row3, ref uint quads)
    {
        var low = Zip(ChallengeMatrix.Nibbles(row0), ChallengeMatrix.Nibbles(row1));
        var high = Zip(ChallengeMatrix.Nibbles(row2), ChallengeMatrix.Nibbles(row3));
        Store(low.Lower, high.Lower, ref quads);
        Store(low.Upper, high.Upper, ref Unsafe.Add(ref quads, 8));

        static (Vector128<ushort> Lower, Vector128<ushort> Upper) Zip(Vector128<byte> even, Vector128<byte> odd)
            => (Vector128.WidenLower(even) | (Vector128.WidenLower(odd) << 8), Vector128.WidenUpper(even) | (Vector128.WidenUpper(odd) << 8));

        static void Store(Vector128<ushort> even, Vector128<ushort> odd, ref uint target)
        {
            (Vector128.WidenLower(even) | (Vector128.WidenLower(odd) << 16)).StoreUnsafe(ref target);
            (Vector128.WidenUpper(even) | (Vector128.WidenUpper(odd) << 16)).StoreUnsafe(ref target, 4);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Accumulate512(ref uint a, ref uint b, int steps, ref int sums)
    {
        Vector512<short> s00 = default, s01 = default, s10 = default, s11 = default, s20 = default, s21 = default, s30 = default, s31 = default;
        Vector512<short> s40 = default, s41 = default, s50 = default, s51 = default, s60 = default, s61 = default, s70 = default, s71 = default;
        for (var step = 0; step < steps; step++)
        {
            var b0 = Vector512.LoadUnsafe(ref b).AsByte();
            var b1 = Vector512.LoadUnsafe(ref b, 16).AsByte();
            var row = Vector512.Create(a).AsSByte();
            s00 += Avx512BW.MultiplyAddAdjacent(b0, row);
            s01 += Avx512BW.MultiplyAddAdjacent(b1, row);
            row = Vector512.Create(Unsafe.Add(ref a, 1)).AsSByte();
            s10 += Avx512BW.MultiplyAddAdjacent(b0, row);
            s11 += Avx512BW.MultiplyAddAdjacent(b1, row);
            row = Vector512.Create(Unsafe.Add(ref a, 2)).AsSByte();
            s20 += Avx512BW.MultiplyAddAdjacent(b0, row);
            s21 += Avx512BW.MultiplyAddAdjacent(b1, row);
            row = Vector512.Create(Unsafe.Add(ref a, 3)).AsSByte();
            s30 += Avx512BW.MultiplyAddAdjacent(b0, row);
            s31 += Avx512BW.MultiplyAddAdjacent(b1, row);
            row = Vector512.Create(Unsafe.Add(ref a, 4)).AsSByte();
            s40 += Avx512BW.MultiplyAddAdjacent(b0, row);
            s41 += Avx512BW.MultiplyAddAdjacent(b1, row);
            row = Vector512.Create(Unsafe.Add(ref a, 5)).AsSByte();
            s50 += Avx512BW.MultiplyAddAdjacent(b0, row);
            s51 += Avx512BW.MultiplyAddAdjacent(b1, row);
            row = Vector512.Create(Unsafe.Add(ref a, 6)).AsSByte();
            s60 += Avx512BW.MultiplyAddAdjacent(b0, row);
            s61 += Avx512BW.MultiplyAddAdjacent(b1, row);
            row = Vector512.Create(Unsafe.Add(ref a, 7)).AsSByte();
            s70 += Avx512BW.MultiplyAddAdjacent(b0, row);
            s71 += Avx512BW.MultiplyAddAdjacent(b1, row);
            a = ref Unsafe.Add(ref a, TileRows);
            b = ref Unsafe.Add(ref b, TileColumns);
        }
        Add(s00, s01, ref sums, 0);
        Add(s10, s11, ref sums, 1);
        Add(s20, s21, ref sums, 2);
        Add(s30, s31, ref sums, 3);
        Add(s40, s41, ref sums, 4);
        Add(s50, s51, ref sums, 5);
        Add(s60, s61, ref sums, 6);
        Add(s70, s71, ref sums, 7);

        static void Add(Vector512<short> left, Vector512<short> right, ref int sums, int row)
        {
            ref var target = ref Unsafe.Add(ref sums, row * TileColumns);
            (Vector512.LoadUnsafe(ref target) + Avx512BW.MultiplyAddAdjacent(left, Vector512<short>.One)).StoreUnsafe(ref target);
            (Vector512.LoadUnsafe(ref target, 16) + Avx512BW.MultiplyAddAdjacent(right, Vector512<short>.One)).StoreUnsafe(ref target, 16);
        }
    }

    /// <summary>Four rows by sixteen columns: eight sums, two of B, one of A and a product fit sixteen registers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Accumulate256(ref uint a, ref uint b, int steps, ref int sums)
    {
        Vector256<short> s00 = default, s01 = default, s10 = default, s11 = default, s20 = default, s21 = default, s30 = default, s31 = default;
        for (var step = 0; step < steps; step++)
        {
            var b0 = Vector256.LoadUnsafe(ref b).AsByte();
            var b1 = Vector256.LoadUnsafe(ref b, 8).AsByte();
            var row = Vector256.Create(a).AsSByte();
            s00 += Avx2.MultiplyAddAdjacent(b0, row);
            s01 += Avx2.MultiplyAddAdjacent(b1, row);
            row = Vector256.Create(Unsafe.Add(ref a, 1)).AsSByte();
            s10 += Avx2.MultiplyAddAdjacent(b0, row);
            s11 += Avx2.MultiplyAddAdjacent(b1, row);
            row = Vector256.Create(Unsafe.Add(ref a, 2)).AsSByte();
            s20 += Avx2.MultiplyAddAdjacent(b0, row);
            s21 += Avx2.MultiplyAddAdjacent(b1, row);
            row = Vector256.Create(Unsafe.Add(ref a, 3)).AsSByte();
            s30 += Avx2.MultiplyAddAdjacent(b0, row);
            s31 += Avx2.MultiplyAddAdjacent(b1, row);
            a = ref Unsafe.Add(ref a, TileRows);
            b = ref Unsafe.Add(ref b, TileColumns);
        }
        Add(s00, s01, ref sums, 0);
        Add(s10, s11, ref sums, 1);
        Add(s20, s21, ref sums, 2);
        Add(s30, s31, ref sums, 3);

        static void Add(Vector256<short> left, Vector256<short> right, ref int sums, int row)
        {
            ref var target = ref Unsafe.Add(ref sums, row * TileColumns);
            (Vector256.LoadUnsafe(ref target) + Avx2.MultiplyAddAdjacent(left, Vector256<short>.One)).StoreUnsafe(ref target);
            (Vector256.LoadUnsafe(ref target, 8) + Avx2.MultiplyAddAdjacent(right, Vector256<short>.One)).StoreUnsafe(ref target, 8);
        }
    }

    /// <summary>One row by eight columns; each 16-bit sum is that of one k of four, at most 128·120.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AccumulatePortable(ref uint a, ref uint b, int steps, ref int sums)
    {
        Vector128<short> s0 = default, s1 = default, s2 = default, s3 = default;
        for (var step = 0; step < steps; step++)
        {
            var row = Vector128.WidenLower(Vector128.Create(a).AsSByte());
            var (low, high) = Vector128.Widen(Vector128.LoadUnsafe(ref b).AsByte());
            s0 += low.AsInt16() * row;
            s1 += high.AsInt16() * row;
            (low, high) = Vector128.Widen(Vector128.LoadUnsafe(ref b, 4).AsByte());
            s2 += low.AsInt16() * row;
            s3 += high.AsInt16() * row;
            a = ref Unsafe.Add(ref a, TileRows);
            b = ref Unsafe.Add(ref b, TileColumns);
        }
        Add(s0, ref sums);
        Add(s1, ref Unsafe.Add(ref sums, 2));
        Add(s2, ref Unsafe.Add(ref sums, 4));
        Add(s3, ref Unsafe.Add(ref sums, 6));

        static void Add(Vector128<short> pair, ref int sums)
        {
            var (first, second) = Vector128.Widen(pair);
            sums += Vector128.Sum(first);
            Unsafe.Add(ref sums, 1) += Vector128.Sum(second);
        }
    }
}
