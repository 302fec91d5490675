using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Numerics;
using System.Runtime.InteropServices;

namespace Federation.Silo.Gateway.Routing;

/// <summary>
/// Hashes of ever longer beginnings of a request's body. The next request of a conversation repeats the bytes of the one before, up to what stood behind its messages, so that it shares the hashes of all but the last
/// beginnings; nobody takes the JSON apart for it. Each account's are its own. Not cryptographic: whoever finds two texts of one hash has two conversations on one node.
/// </summary>
internal static class ConversationPrefix
{
    /// <summary>Shorter requests are read anew faster than they are remembered.</summary>
    private const int BlockBytesMin = 256;

    private const int BlocksMax = 64;
    private const ulong Factor1 = 0x9E3779B97F4A7C15;
    private const ulong Factor2 = 0xBF58476D1CE4E5B9;

    /// <summary>At most 64 hashes, of beginnings whose lengths are multiples of a power of two; none for a short body.</summary>
    public static ImmutableArray<ulong> Of(ReadOnlySpan<byte> body, string accountId)
    {
        var block = BlockBytesMin;
        while (body.Length / block > BlocksMax) block *= 2;
        var count = body.Length / block;
        if (count == 0) return [];
        var hashes = new ulong[count];
        var state = Seed(accountId);
        for (var at = 0; at < count; at++)
        {
            state = Mix(state, body.Slice(at * block, block));
            hashes[at] = state;
        }
        return ImmutableCollectionsMarshal.AsImmutableArray(hashes);
    }

    private static ulong Seed(string accountId)
    {
        var state = Factor1;
        foreach (var character in accountId) state = unchecked(BitOperations.RotateLeft(state ^ character, 27) * Factor2);
        return state;
    }

    /// <summary>Two lanes, since one multiplication waits for the one before it; lengths are multiples of 16. A beginning's hash goes by its bytes alone, not by how long the blocks were.</summary>
    private static ulong Mix(ulong state, ReadOnlySpan<byte> block)
    {
        unchecked
        {
            for (var at = 0; at < block.Length; at += BlockBytesMin)
            {
                var (one, other) = (state, state ^ Factor1);
                for (var word = at; word < at + BlockBytesMin; word += 16)
                {
                    one = BitOperations.RotateLeft((one ^ BinaryPrimitives.ReadUInt64LittleEndian(block[word..])) * Factor1, 29);
                    other = BitOperations.RotateLeft((other ^ BinaryPrimitives.ReadUInt64LittleEndian(block[(word + 8)..])) * Factor2, 31);
                }
                state = (one ^ BitOperations.RotateLeft(other, 17)) * Factor2;
            }
            return state;
        }
    }
}
