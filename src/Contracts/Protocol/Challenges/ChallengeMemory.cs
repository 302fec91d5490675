using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Federation.Protocol.Challenges;

/// <summary>
/// The buffer of a MEM challenge and its keyed sums. Each word is made from the one before by <c>depth</c> mixes, so that making a word again costs many times what reading
/// it costs: who does not hold the whole buffer falls behind whoever does.
/// </summary>
public static class ChallengeMemory
{
    /// <summary>Bytes of one segment: what is made, hashed and opened as one.</summary>
    public const int SegmentBytes = 64 * 1024;

    /// <summary>Words of one segment.</summary>
    public const int SegmentWords = SegmentBytes / sizeof(ulong);

    /// <summary>Segments that <see cref="Fill"/> makes at the speed of one: vectors of four, four in flight to hide the latency of a mix.</summary>
    public const int SegmentsAtOnce = 16;

    /// <summary>What stands before the first word of a segment.</summary>
    /// <param name="key">The buffer: <see cref="SeedChain.StreamKey"/> of its seed.</param>
    /// <param name="segment">The segment, counted from 0.</param>
    public static ulong SegmentKey(ulong key, int segment) => SplitMix64.Mix(key ^ (uint)segment);

    /// <summary>Makes segments: <c>word_i = mix^depth(word_{i−1})</c>.</summary>
    /// <param name="key">The buffer.</param>
    /// <param name="segments">Which segments; <see cref="SegmentsAtOnce"/> cost hardly more than one.</param>
    /// <param name="depth">Mixes from word to word.</param>
    /// <param name="words">Takes them one after the other, <see cref="SegmentWords"/> each.</param>
    public static void Fill(ulong key, ReadOnlySpan<int> segments, int depth, Span<ulong> words)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(words.Length, segments.Length * SegmentWords);
        // Beyond the last segment lanes run idle.
        Span<ulong> state = stackalloc ulong[SegmentsAtOnce];
        for (var start = 0; start < segments.Length; start += SegmentsAtOnce)
        {
            var count = Math.Min(SegmentsAtOnce, segments.Length - start);
            for (var i = 0; i < count; i++) state[i] = SegmentKey(key, segments[start + i]);
            FillTogether(state, count, depth, words[(start * SegmentWords)..]);
        }
    }

    /// <summary>The keyed sum of one segment: <c>Σ_i mix(word_i ⊕ key ⊕ i) mod 2^64</c>.</summary>
    /// <param name="words">The segment.</param>
    /// <param name="key">The pass: <see cref="SeedChain.StreamKey"/> of its seed.</param>
    public static ulong Hash(ReadOnlySpan<ulong> words, ulong key)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(words.Length, SegmentWords);
        ref var source = ref MemoryMarshal.GetReference(words);
        if (Vector512.IsHardwareAccelerated)
        {
            var keys = Vector512.Create(key);
            var index = Vector512<ulong>.Indices;
            var (even, odd) = (Vector512<ulong>.Zero, Vector512<ulong>.Zero);
            for (nuint i = 0; i < SegmentWords; i += 16)
            {
                even += SplitMix64.Mix(Vector512.LoadUnsafe(ref source, i) ^ keys ^ index);
                odd += SplitMix64.Mix(Vector512.LoadUnsafe(ref source, i + 8) ^ keys ^ (index + Vector512.Create(8UL)));
                index += Vector512.Create(16UL);
            }
            return Vector512.Sum(even + odd);
        }
        else
        {
            var keys = Vector256.Create(key);
            var index = Vector256<ulong>.Indices;
            var (even, odd) = (Vector256<ulong>.Zero, Vector256<ulong>.Zero);
            for (nuint i = 0; i < SegmentWords; i += 8)
            {
                even += SplitMix64.Mix(Vector256.LoadUnsafe(ref source, i) ^ keys ^ index);
                odd += SplitMix64.Mix(Vector256.LoadUnsafe(ref source, i + 4) ^ keys ^ (index + Vector256.Create(4UL)));
                index += Vector256.Create(8UL);
            }
            return Vector256.Sum(even + odd);
        }
    }

    private static void FillTogether(Span<ulong> state, int count, int depth, Span<ulong> words)
    {
        ref var lanes = ref MemoryMarshal.GetReference(state);
        if (count == 1)
        {
            for (var i = 0; i < SegmentWords; i++)
            {
                for (var step = 0; step < depth; step++) lanes = SplitMix64.Mix(lanes);
                words[i] = lanes;
            }
            return;
        }
        var (a, b) = (Vector256.LoadUnsafe(ref lanes), Vector256.LoadUnsafe(ref lanes, 4));
        var (c, d) = (Vector256.LoadUnsafe(ref lanes, 8), Vector256.LoadUnsafe(ref lanes, 12));
        for (var i = 0; i < SegmentWords; i++)
        {
            for (var step = 0; step < depth; step++)
            {
                a = SplitMix64.Mix(a);
                b = SplitMix64.Mix(b);
                c = SplitMix64.Mix(c);
                d = SplitMix64.Mix(d);
            }
            a.StoreUnsafe(ref lanes);
            b.StoreUnsafe(ref lanes, 4);
            c.StoreUnsafe(ref lanes, 8);
            d.StoreUnsafe(ref lanes, 12);
            for (var segment = 0; segment < count; segment++) words[(segment * SegmentWords) + i] = Unsafe.Add(ref lanes, segment);
        }
    }
}
