namespace Federation.NodeAgent.Engines.Builtin.Llama;

/// <summary>The weights of one linear layer.</summary>
internal abstract class Matrix(int rows, int columns)
{
    public int Rows { get; } = rows;

    public int Columns { get; } = columns;

    /// <summary>
    /// For each of <paramref name="batch"/> vectors in <paramref name="x"/>, the product with every row, in <paramref name="y"/>. Each
    /// product is summed in the same order whatever the batch, so a prompt read in chunks gives the very same bits as one read token by token.
    /// </summary>
    public void Multiply(ReadOnlySpan<float> x, int batch, Span<float> y)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(x.Length, batch * Columns);
        ArgumentOutOfRangeException.ThrowIfNotEqual(y.Length, batch * Rows);
        MultiplyRows(x, batch, y);
    }

    /// <summary>One row's numbers; used to look up a token's embedding.</summary>
    public abstract void CopyRow(int row, Span<float> destination);

    protected abstract void MultiplyRows(ReadOnlySpan<float> x, int batch, Span<float> y);
}

/// <summary>F32 weights, and F16 ones widened when loaded.</summary>
internal sealed class FloatMatrix(int rows, int columns, float[] values) : Matrix(rows, columns)
{
    public override void CopyRow(int row, Span<float> destination) => values.AsSpan(row * Columns, Columns).CopyTo(destination);

    protected override void MultiplyRows(ReadOnlySpan<float> x, int batch, Span<float> y) =>
        Kernels.Products(values, Columns, x, batch, y, firstRow: 0, Rows);
}

/// <summary>Q8_0 weights, kept as stored and widened a few rows at a time.</summary>
internal sealed class Q8Matrix(int rows, int columns, sbyte[] quants, float[] scales) : Matrix(rows, columns)
{
    public const int BlockLength = Gguf.GgufTensor.BlockLength;

    /// <summary>As many as the kernels take at once; few enough to stay in the first-level cache for the usual widths.</summary>
    private const int RowsAtOnce = 8;

    [ThreadStatic]
    private static float[]? _widened;

    public override void CopyRow(int row, Span<float> destination)
    {
        var blocks = Columns / BlockLength;
        for (var block = 0; block < blocks; block++)
        {
            Kernels.Widen(
                quants.AsSpan((row * Columns) + (block * BlockLength), BlockLength),
                scales[(row * blocks) + block],
                destination.Slice(block * BlockLength, BlockLength));
        }
    }

    protected override void MultiplyRows(ReadOnlySpan<float> x, int batch, Span<float> y)
    {
        if (_widened is null || _widened.Length < RowsAtOnce * Columns)
        {
            _widened = new float[RowsAtOnce * Columns];
        }

        for (var row = 0; row < Rows; row += RowsAtOnce)
        {
            var count = Math.Min(RowsAtOnce, Rows - row);
            for (var i = 0; i < count; i++)
            {
                CopyRow(row + i, _widened.AsSpan(i * Columns, Columns));
            }

            Kernels.Products(_widened, Columns, x, batch, y, row, Rows, count);
        }
    }
}
