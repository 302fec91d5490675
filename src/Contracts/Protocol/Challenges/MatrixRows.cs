using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Federation.Protocol.Challenges;

/// <summary>Single rows of C = A·B, for whoever checks: O(n²) each, in little memory, since B is made row by row and forgotten.</summary>
public static class MatrixRows
{
    /// <summary>Rows of B whose products, at most 8·15 each, 16-bit sums hold.</summary>
    private const int RowsBeforeWidening = 256;

    /// <summary>The hashes of some rows of one product; several cost hardly more than one, as long as B is the same.</summary>
    /// <param name="firstKey">A: <see cref="SeedChain.StreamKey"/> of its seed.</param>
    /// <param name="secondKey">B, likewise.</param>
    /// <param name="size">Rows of the matrices.</param>
    /// <param name="rows">Which rows of C.</param>
    /// <param name="hashes">Takes the hash of each.</param>
    /// <param name="cancellationToken">Stops it within milliseconds.</param>
    public static void Hash(ulong firstKey, ulong secondKey, int size, ReadOnlySpan<int> rows, Span<ulong> hashes, CancellationToken cancellationToken)
    {
        var factors = new sbyte[rows.Length * size];
        var products = new int[rows.Length * size];
        for (var i = 0; i < rows.Length; i++)
        {
            var row = factors.AsSpan(i * size, size);
            ChallengeMatrix.FillRow(firstKey, rows[i], row);
            var sum = 0;
            foreach (var entry in row) sum += entry;
            // B is used 8 too large, so that its four bits need no sign; this takes it off again.
            products.AsSpan(i * size, size).Fill(-ChallengeMatrix.EntryOffset * sum);
        }
        var words = new ulong[size / ChallengeMatrix.EntriesPerWord];
        var sums = new short[products.Length];
        for (var start = 0; start < size; start += RowsBeforeWidening)
        {
            cancellationToken.ThrowIfCancellationRequested();
            for (var k = start; k < Math.Min(start + RowsBeforeWidening, size); k++)
            {
                ChallengeMatrix.FillWords(secondKey, k, words);
                for (var i = 0; i < rows.Length; i++) AddMultiple(words, factors[(i * size) + k], sums.AsSpan(i * size, size));
            }
            Widen(sums, products);
        }
        for (var i = 0; i < rows.Length; i++) hashes[i] = ChallengeMatrix.RowHash(products.AsSpan(i * size, size));
    }

    /// <summary><c>sums += factor × (row + 8)</c>.</summary>
    private static void AddMultiple(ReadOnlySpan<ulong> words, short factor, Span<short> sums)
    {
        ref var target = ref MemoryMarshal.GetReference(sums);
        var factors = Vector256.Create(factor);
        for (var i = 0; i < words.Length; i++)
        {
            var (lower, upper) = Vector128.Widen(ChallengeMatrix.Nibbles(words[i]));
            var at = (nuint)(i * ChallengeMatrix.EntriesPerWord);
            (Vector256.LoadUnsafe(ref target, at) + (Vector256.Create(lower, upper).AsInt16() * factors)).StoreUnsafe(ref target, at);
        }
    }

    /// <summary><c>products += sums</c>, and the sums begin anew.</summary>
    private static void Widen(Span<short> sums, Span<int> products)
    {
        for (var i = 0; i < sums.Length; i++) products[i] += sums[i];
        sums.Clear();
    }
}
