using System.Buffers;
using System.Runtime.InteropServices;
using Federation.Protocol.Challenges;

namespace Federation.NodeAgent.Compute;

/// <summary>
/// The rounds of an MM challenge on all cores. C is never stored: a stripe of it, some rows by <see cref="MatrixKernels.TileColumns"/> columns, is summed over all k, hashed into
/// the rows' sums and forgotten. Of B, 512 k's by 32 columns are in the first-level cache while a stripe's rows go by.
/// </summary>
internal sealed class CpuMatrixProver : IChallengeProver
{
    /// <summary>Rows of a stripe at most: their part of A, 64 × 16 384 bytes in the worst case, and a tile should stay in the second-level cache.</summary>
    private const int MaxStripeRows = 64;

    /// <summary>Quads of B that are made together, so that what is written to one panel is some cache lines long.</summary>
    private const int QuadsAtOnce = 16;

    private readonly ComputeTeam _team;
    private readonly MatrixKernels.Way _way;
    private readonly int _size;
    private readonly int _quads;
    private readonly int _stripeRows;
    private readonly NativeBuffer _a;
    private readonly NativeBuffer _b;
    private readonly int[] _rowSums;

    /// <exception cref="ChallengeException">The memory is not to be had.</exception>
    public CpuMatrixProver(int size, ComputeTeam team, MatrixKernels.Way way)
    {
        (_size, _team, _way) = (size, team, way);
        _quads = size / MatrixKernels.QuadEntries;
        // Small enough that all threads end at about the same time.
        _stripeRows = Math.Clamp(size / (4 * team.Threads) / MatrixKernels.TileRows * MatrixKernels.TileRows, MatrixKernels.TileRows, MaxStripeRows);
        _a = new NativeBuffer((long)size * size);
        _b = new NativeBuffer((long)size * size);
        _rowSums = new int[size];
    }

    public void Prepare(ulong key, CancellationToken cancellationToken) => _team.ForEach(_size / MatrixKernels.TileRows, group =>
    {
        var entries = ArrayPool<sbyte>.Shared.Rent(_size);
        var row = entries.AsSpan(0, _size);
        var target = _a.Slice<uint>(group * MatrixKernels.TileRows * _quads, MatrixKernels.TileRows * _quads);
        for (var i = 0; i < MatrixKernels.TileRows; i++)
        {
            var index = (group * MatrixKernels.TileRows) + i;
            ChallengeMatrix.FillRow(key, index, row);
            var words = MemoryMarshal.Cast<sbyte, uint>(row);
            for (var quad = 0; quad < words.Length; quad++) target[(quad * MatrixKernels.TileRows) + i] = words[quad];
            var sum = 0;
            foreach (var entry in row) sum += entry;
            _rowSums[index] = sum;
        }
        ArrayPool<sbyte>.Shared.Return(entries);
    }, cancellationToken);

    public void Round(ulong key, ulong[] leaves, CancellationToken cancellationToken)
    {
        _team.ForEach(_quads / QuadsAtOnce, chunk => MakeSecondFactor(key, chunk * QuadsAtOnce), cancellationToken);
        _team.ForEach((_size + _stripeRows - 1) / _stripeRows, stripe =>
        {
            var from = stripe * _stripeRows;
            Multiply(from, Math.Min(_stripeRows, _size - from), leaves);
        }, cancellationToken);
    }

    public void Dispose()
    {
        _a.Dispose();
        _b.Dispose();
    }

    private void MakeSecondFactor(ulong key, int firstQuad)
    {
        const int Rows = QuadsAtOnce * MatrixKernels.QuadEntries;
        var width = _size / ChallengeMatrix.EntriesPerWord;
        var words = ArrayPool<ulong>.Shared.Rent(Rows * width);
        for (var i = 0; i < Rows; i++) ChallengeMatrix.FillWords(key, (firstQuad * MatrixKernels.QuadEntries) + i, words.AsSpan(i * width, width));
        for (var column = 0; column < width; column++)
        {
            var target = _b.Slice<uint>(((column / 2 * _quads) + firstQuad) * MatrixKernels.TileColumns, QuadsAtOnce * MatrixKernels.TileColumns)[(column % 2 * ChallengeMatrix.EntriesPerWord)..];
            for (var quad = 0; quad < QuadsAtOnce; quad++)
            {
                var word = (quad * MatrixKernels.QuadEntries * width) + column;
                MatrixKernels.Interleave(words[word], words[word + width], words[word + (2 * width)], words[word + (3 * width)], ref target[quad * MatrixKernels.TileColumns]);
            }
        }
        ArrayPool<ulong>.Shared.Return(words);
    }

    private void Multiply(int firstRow, int rows, ulong[] leaves)
    {
        const int TileLength = MatrixKernels.TileRows * MatrixKernels.TileColumns;
        Span<int> stripe = stackalloc int[MaxStripeRows * MatrixKernels.TileColumns];
        Span<ulong> hashes = stackalloc ulong[MaxStripeRows];
        hashes.Clear();
        for (var panel = 0; panel < _size / MatrixKernels.TileColumns; panel++)
        {
            for (var row = 0; row < rows; row++)
            {
                stripe.Slice(row * MatrixKernels.TileColumns, MatrixKernels.TileColumns).Fill(-ChallengeMatrix.EntryOffset * _rowSums[firstRow + row]);
            }
            for (var quad = 0; quad < _quads; quad += MatrixKernels.MaxSteps)
            {
                var steps = Math.Min(MatrixKernels.MaxSteps, _quads - quad);
                var b = _b.Slice<uint>(((panel * _quads) + quad) * MatrixKernels.TileColumns, steps * MatrixKernels.TileColumns);
                for (var row = 0; row < rows; row += MatrixKernels.TileRows)
                {
                    var a = _a.Slice<uint>(((firstRow + row) * _quads) + (quad * MatrixKernels.TileRows), steps * MatrixKernels.TileRows);
                    MatrixKernels.Accumulate(_way, a, b, steps, stripe.Slice(row * MatrixKernels.TileColumns, TileLength));
                }
            }
            for (var row = 0; row < rows; row++)
            {
                hashes[row] += ChallengeMatrix.RowHash(stripe.Slice(row * MatrixKernels.TileColumns, MatrixKernels.TileColumns), panel * MatrixKernels.TileColumns);
            }
        }
        hashes[..rows].CopyTo(leaves.AsSpan(firstRow));
    }
}
