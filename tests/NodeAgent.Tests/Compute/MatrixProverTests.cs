using System.Collections.Concurrent;
using Federation.NodeAgent.Compute;
using Federation.Protocol.Challenges;

namespace Federation.NodeAgent.Tests.Compute;

/// <summary>P1 of the verification protocol: however C is computed, the row hashes are the same.</summary>
public sealed class MatrixProverTests : IDisposable
{
    // The plain product takes its time.
    private static readonly ConcurrentDictionary<(ulong First, ulong Second, int Size), ulong[]> Known = new();

    private readonly ComputeTeam _team = new(threads: 3);

    public static TheoryData<string, int> WaysAndSizes
    {
        get
        {
            var data = new TheoryData<string, int>();
            foreach (var way in Enum.GetValues<MatrixKernels.Way>().Where(MatrixKernels.IsSupported))
            {
                foreach (var size in new[] { 64, 192, 320, 512 }) data.Add(way.ToString(), size);
            }
            return data;
        }
    }

    public void Dispose() => _team.Dispose();

    [Theory]
    [MemberData(nameof(WaysAndSizes))]
    public void Every_kernel_gives_the_hashes_of_the_plain_product(string way, int size)
    {
        using var prover = new CpuMatrixProver(size, _team, Enum.Parse<MatrixKernels.Way>(way));
        prover.Prepare(11, CancellationToken.None);
        var leaves = new ulong[size];
        prover.Round(21, leaves, CancellationToken.None); // of which nothing may remain
        prover.Round(22, leaves, CancellationToken.None);
        Assert.Equal(PlainHashes(11, 22, size), leaves);
    }

    [Theory]
    [InlineData(64, 0)]
    [InlineData(512, 0)]
    [InlineData(512, -8)]
    [InlineData(512, 7)]
    public void Integers_and_floats_in_any_order_are_one_number(int size, int all)
    {
        var (a, b) = all == 0 ? (Matrix(1, size), Matrix(2, size)) : (Constant(size, all), Constant(size, all));
        var expected = Hashes(Plain(a, b));

        Assert.Equal(expected, Hashes(InInt64(a, b)));
        Assert.Equal(expected, Hashes(InFloats(a, b, [.. Enumerable.Range(0, size)])));
        Assert.Equal(expected, Hashes(InFloats(a, b, [.. Enumerable.Range(0, size).OrderBy(k => (k % 32 * size) + k)]))); // a tile of every 32nd at a time
        var shuffled = Enumerable.Range(0, size).ToArray();
        new Random(5).Shuffle(shuffled);
        Assert.Equal(expected, Hashes(InFloats(a, b, shuffled)));
    }

    [Theory]
    [InlineData(-8)]
    [InlineData(7)]
    public void The_kernels_hold_the_largest_sums_there_are(int all)
    {
        // Every product at its extreme, over as many steps as are ever taken: where a 16-bit sum would overflow first.
        var word = BitConverter.ToUInt32([(byte)all, (byte)all, (byte)all, (byte)all]);
        var a = Enumerable.Repeat(word, MatrixKernels.MaxSteps * MatrixKernels.TileRows).ToArray();
        var b = Enumerable.Repeat(0x0F0F_0F0Fu, MatrixKernels.MaxSteps * MatrixKernels.TileColumns).ToArray();
        foreach (var way in Enum.GetValues<MatrixKernels.Way>().Where(MatrixKernels.IsSupported))
        {
            var tile = new int[MatrixKernels.TileRows * MatrixKernels.TileColumns];
            MatrixKernels.Accumulate(way, a, b, MatrixKernels.MaxSteps, tile);
            Assert.All(tile, sum => Assert.Equal(MatrixKernels.MaxSteps * MatrixKernels.QuadEntries * all * 15, sum));
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(7)]
    public void The_number_of_threads_changes_nothing(int threads)
    {
        using var team = new ComputeTeam(threads);
        using var prover = new CpuMatrixProver(256, team, MatrixKernels.Best);
        prover.Prepare(3, CancellationToken.None);
        var leaves = new ulong[256];
        prover.Round(4, leaves, CancellationToken.None);
        Assert.Equal(PlainHashes(3, 4, 256), leaves);
    }

    [Fact]
    public void A_cancelled_round_ends_and_the_next_is_right()
    {
        using var prover = new CpuMatrixProver(128, _team, MatrixKernels.Best);
        prover.Prepare(3, CancellationToken.None);
        var leaves = new ulong[128];
        Assert.Throws<OperationCanceledException>(() => prover.Round(4, leaves, new CancellationToken(canceled: true)));
        prover.Round(4, leaves, CancellationToken.None);
        Assert.Equal(PlainHashes(3, 4, 128), leaves);
    }

    private static sbyte[][] Matrix(ulong key, int size) => [.. Enumerable.Range(0, size).Select(i =>
    {
        var row = new sbyte[size];
        ChallengeMatrix.FillRow(key, i, row);
        return row;
    })];

    private static sbyte[][] Constant(int size, int value) => [.. Enumerable.Range(0, size).Select(_ => Enumerable.Repeat((sbyte)value, size).ToArray())];

    private static ulong[] PlainHashes(ulong first, ulong second, int size) => Known.GetOrAdd((first, second, size), static key => Hashes(Plain(Matrix(key.First, key.Size), Matrix(key.Second, key.Size))));

    private static ulong[] Hashes(int[][] product) => [.. product.Select(row => ChallengeMatrix.RowHash(row))];

    private static int[][] Plain(sbyte[][] a, sbyte[][] b) => Product(a, b, (row, target) =>
    {
        for (var k = 0; k < row.Length; k++)
        {
            var (factor, other) = ((int)row[k], b[k]);
            for (var j = 0; j < target.Length; j++) target[j] += factor * other[j];
        }
    });

    private static int[][] InInt64(sbyte[][] a, sbyte[][] b) => Product(a, b, (row, target) =>
    {
        var sums = new long[target.Length];
        for (var k = row.Length - 1; k >= 0; k--)
        {
            var (factor, other) = ((long)row[k], b[k]);
            for (var j = 0; j < sums.Length; j++) sums[j] += factor * other[j];
        }
        for (var j = 0; j < sums.Length; j++) target[j] = (int)sums[j];
    });

    private static int[][] InFloats(sbyte[][] a, sbyte[][] b, int[] order) => Product(a, b, (row, target) =>
    {
        var sums = new float[target.Length];
        foreach (var k in order)
        {
            var (factor, other) = ((float)row[k], b[k]);
            for (var j = 0; j < sums.Length; j++) sums[j] += factor * other[j];
        }
        for (var j = 0; j < sums.Length; j++) target[j] = (int)sums[j];
    });

    private static int[][] Product(sbyte[][] a, sbyte[][] b, Action<sbyte[], int[]> multiplyRow)
    {
        var product = new int[a.Length][];
        Parallel.For(0, a.Length, i => multiplyRow(a[i], product[i] = new int[b[0].Length]));
        return product;
    }
}
