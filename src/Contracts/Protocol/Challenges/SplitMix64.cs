using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Federation.Protocol.Challenges;

/// <summary>
/// The mixing function of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): a bijection of 64 bits that every device computes alike. It makes the matrices, fills the memory and
/// hashes the results. It is no cryptography: what must not be foreseen comes from SHA-256, and enters here as a key.
/// </summary>
public static class SplitMix64
{
    /// <summary>The step from one state of the generator to the next: 2^64 divided by the golden ratio.</summary>
    public const ulong Golden = 0x9E37_79B9_7F4A_7C15;

    internal const ulong First = 0xBF58_476D_1CE4_E5B9;
    internal const ulong Second = 0x94D0_49BB_1331_11EB;

    /// <summary>The output that follows state <paramref name="state"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Mix(ulong state)
    {
        state += Golden;
        state = (state ^ (state >> 30)) * First;
        state = (state ^ (state >> 27)) * Second;
        return state ^ (state >> 31);
    }

    /// <summary><see cref="Mix(ulong)"/> of each element.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<ulong> Mix(Vector256<ulong> state)
    {
        state += Vector256.Create(Golden);
        state = (state ^ (state >>> 30)) * Vector256.Create(First);
        state = (state ^ (state >>> 27)) * Vector256.Create(Second);
        return state ^ (state >>> 31);
    }

    /// <summary><see cref="Mix(ulong)"/> of each element.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<ulong> Mix(Vector512<ulong> state)
    {
        state += Vector512.Create(Golden);
        state = (state ^ (state >>> 30)) * Vector512.Create(First);
        state = (state ^ (state >>> 27)) * Vector512.Create(Second);
        return state ^ (state >>> 31);
    }
}
