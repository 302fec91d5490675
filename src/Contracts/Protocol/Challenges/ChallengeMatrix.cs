using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Federation.Protocol.Challenges;

/// <summary>
/// The matrices of an MM challenge: n × n integers, uniform in [−8, 7], made from a key, each row on its own. With entries that small |C_ij| ≤ 64n stays far inside 2^24,
/// so that int32, int64 and fp32 sums in any order are all the same number.
/// </summary>
/// <remarks>
/// Row i is the SplitMix64 sequence that starts at <see cref="RowKey"/>; each output gives 16 entries, lowest four bits first, an entry being its four bits less 8.
/// </remarks>
public static class ChallengeMatrix
{
    /// <summary>What is taken from four bits to give an entry.</summary>
    public const int EntryOffset = 8;

    /// <summary>Entries in one word.</summary>
    public const int EntriesPerWord = 16;

    /// <summary>The size of a matrix is a multiple of this, so that no kernel has an edge to handle.</summary>
    public const int SizeMultiple = 64;

    /// <summary>State of the generator before the first word of a row.</summary>
    /// <param name="key">The matrix: <see cref="SeedChain.StreamKey"/> of its seed.</param>
    /// <param name="row">The row, counted from 0.</param>
    public static ulong RowKey(ulong key, int row) => SplitMix64.Mix(key ^ (uint)row);

    /// <summary>One row as words, 16 entries each.</summary>
    public static void FillWords(ulong key, int row, Span<ulong> words)
    {
        var state = RowKey(key, row);
        var i = 0;
        if (Vector256.IsHardwareAccelerated)
        {
            var states = Vector256.Create(state) + Vector256.Create(0, SplitMix64.Golden, unchecked(2 * SplitMix64.Golden), unchecked(3 * SplitMix64.Golden));
            for (; i <= words.Length - Vector256<ulong>.Count; i += Vector256<ulong>.Count)
            {
                SplitMix64.Mix(states).StoreUnsafe(ref MemoryMarshal.GetReference(words), (nuint)i);
                states += Vector256.Create(unchecked(4 * SplitMix64.Golden));
            }
        }
        for (; i < words.Length; i++) words[i] = SplitMix64.Mix(unchecked(state + ((ulong)i * SplitMix64.Golden)));
    }

    /// <summary>The 16 entries of a word, each 8 too large: bytes 0 to 15.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> Nibbles(ulong word)
    {
        var low = Vector128.CreateScalar(word & 0x0F0F_0F0F_0F0F_0F0F).AsByte();
        var high = Vector128.CreateScalar((word >> 4) & 0x0F0F_0F0F_0F0F_0F0F).AsByte();
        return Zip(low, high);
    }

    /// <summary>One row as entries.</summary>
    public static void FillRow(ulong key, int row, Span<sbyte> entries)
    {
        Span<ulong> words = stackalloc ulong[64];
        for (var start = 0; start < entries.Length; start += words.Length * EntriesPerWord)
        {
            // The words of this stretch: the sequence goes on where the last one ended.
            var count = Math.Min(words.Length, (entries.Length - start) / EntriesPerWord);
            var state = unchecked(RowKey(key, row) + ((ulong)(start / EntriesPerWord) * SplitMix64.Golden));
            for (var i = 0; i < count; i++) words[i] = SplitMix64.Mix(unchecked(state + ((ulong)i * SplitMix64.Golden)));
            for (var i = 0; i < count; i++)
            {
                (Nibbles(words[i]).AsSByte() - Vector128.Create((sbyte)EntryOffset)).StoreUnsafe(ref entries[start + (i * EntriesPerWord)]);
            }
        }
    }

    /// <summary>The hash of one row of the product, <c>Σ_j mix(C_ij ⊕ j·2^32) mod 2^64</c>: a sum, so that it may be taken in any order and in parts.</summary>
    /// <param name="products">Some elements of the row.</param>
    /// <param name="firstColumn">The column of the first of them.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong RowHash(ReadOnlySpan<int> products, int firstColumn = 0)
    {
        ref var source = ref Unsafe.As<int, uint>(ref MemoryMarshal.GetReference(products));
        var i = 0;
        var hash = 0UL;
        if (Vector512.IsHardwareAccelerated)
        {
            var columns = (Vector512.Create((ulong)(uint)firstColumn) + Vector512<ulong>.Indices) << 32;
            var sum = Vector512<ulong>.Zero;
            for (; i <= products.Length - 16; i += 16)
            {
                var (lower, upper) = Vector512.Widen(Vector512.LoadUnsafe(ref source, (nuint)i));
                sum += SplitMix64.Mix(lower ^ columns) + SplitMix64.Mix(upper ^ (columns + Vector512.Create(8UL << 32)));
                columns += Vector512.Create(16UL << 32);
            }
            hash = Vector512.Sum(sum);
        }
        else if (Vector256.IsHardwareAccelerated)
        {
            var columns = (Vector256.Create((ulong)(uint)firstColumn) + Vector256<ulong>.Indices) << 32;
            var sum = Vector256<ulong>.Zero;
            for (; i <= products.Length - 8; i += 8)
            {
                var (lower, upper) = Vector256.Widen(Vector256.LoadUnsafe(ref source, (nuint)i));
                sum += SplitMix64.Mix(lower ^ columns) + SplitMix64.Mix(upper ^ (columns + Vector256.Create(4UL << 32)));
                columns += Vector256.Create(8UL << 32);
            }
            hash = Vector256.Sum(sum);
        }
        for (; i < products.Length; i++)
        {
            hash = unchecked(hash + SplitMix64.Mix(Unsafe.Add(ref source, i) ^ ((ulong)(uint)(firstColumn + i) << 32)));
        }
        return hash;
    }

    /// <summary>a0 b0 a1 b1 … of the lower halves.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<byte> Zip(Vector128<byte> a, Vector128<byte> b)
        => (Vector128.WidenLower(a) | (Vector128.WidenLower(b) << 8)).AsByte();
}
