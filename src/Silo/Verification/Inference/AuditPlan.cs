using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Security.Cryptography;
using System.Text;

namespace Federation.Silo.Verification.Inference;

/// <summary>Where an audit looks: drawn from a seed that nobody knew when the answer was given, and that anybody can check afterwards.</summary>
internal static class AuditPlan
{
    /// <summary>
    /// Places for probes: at most <paramref name="count"/> of those where the text may be cut (see <see cref="ScoredPosition.IsSafeCut"/>), ascending, so
    /// that each prompt begins with the one before and the engine reads the text once.
    /// </summary>
    /// <param name="answer">The answer's text.</param>
    /// <param name="ended">The model ended it, so that its end is a place too.</param>
    /// <param name="seed">Of the audit, unpredictable to the worker.</param>
    /// <param name="count">S: 16, or 32 for the inference benchmark.</param>
    /// <returns>Bytes of UTF-8 into the answer; fewer than asked for where the text has fewer places.</returns>
    public static ImmutableArray<int> Offsets(string answer, bool ended, ReadOnlySpan<byte> seed, int count)
    {
        var text = Encoding.UTF8.GetBytes(answer);
        var places = new List<int>();
        for (var offset = 0; offset < text.Length || (offset == text.Length && ended); offset++)
        {
            if (ScoredPosition.IsSafeCut(text, offset)) places.Add(offset);
        }

        return Draw(places, new SeededDraws("cf1/audit-plan\0"u8, seed), count);
    }

    /// <summary>Tokens that the worker is asked to show: at most <paramref name="count"/> of the numbers below <paramref name="tokens"/>, ascending.</summary>
    public static ImmutableArray<int> Tokens(int tokens, ReadOnlySpan<byte> seed, int count) => Draw([.. Enumerable.Range(0, tokens)], new SeededDraws("cf1/audit-reveal\0"u8, seed), count);

    /// <summary>The first steps of a Fisher-Yates shuffle.</summary>
    private static ImmutableArray<int> Draw(List<int> places, SeededDraws draws, int count)
    {
        count = Math.Min(count, places.Count);
        for (var i = 0; i < count; i++)
        {
            var other = i + draws.Next(places.Count - i);
            (places[i], places[other]) = (places[other], places[i]);
        }

        return [.. places.Take(count).Order()];
    }

    /// <summary>Numbers from SHA-256 over the seed and a counter: the same for everybody who has the seed.</summary>
    private sealed class SeededDraws(ReadOnlySpan<byte> domain, ReadOnlySpan<byte> seed)
    {
        private readonly byte[] _block = [.. domain, .. seed, 0, 0, 0, 0, 0, 0, 0, 0];
        private ulong _counter;

        /// <summary>0 to below <paramref name="limit"/>. Of 64 bits, a remainder is uneven by less than 2^-40 for any text.</summary>
        public int Next(int limit)
        {
            BinaryPrimitives.WriteUInt64BigEndian(_block.AsSpan(_block.Length - 8), _counter++);
            return (int)(BinaryPrimitives.ReadUInt64BigEndian(SHA256.HashData(_block)) % (ulong)limit);
        }
    }
}
