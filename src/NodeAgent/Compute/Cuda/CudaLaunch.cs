using Federation.Protocol.Challenges;

namespace Federation.NodeAgent.Compute.Cuda;

/// <summary>How many threads a kernel of challenges.ptx is started with: what the kernels there take for granted.</summary>
/// <param name="Kernel">Its name.</param>
/// <param name="GridX">Blocks across.</param>
/// <param name="GridY">Blocks down.</param>
/// <param name="Block">Threads of a block.</param>
internal readonly record struct CudaLaunch(string Kernel, uint GridX, uint GridY, uint Block)
{
    /// <summary>The size of a matrix is a multiple of this: the side of the tile that one block computes.</summary>
    public const int Tile = 128;

    /// <summary>Segments that one launch fills: some hundred milliseconds, since a GPU that also shows a desktop must not be held for seconds.</summary>
    public const int SegmentsPerFill = 16_384;

    private const int SmallBlock = 64;
    private const int LargeBlock = 256;

    /// <summary>A: a thread per row and word.</summary>
    public static CudaLaunch First(int size) => new("matrix_first", (uint)(size / SmallBlock), (uint)(size / ChallengeMatrix.EntriesPerWord), SmallBlock);

    /// <summary>B: a thread per four rows and word.</summary>
    public static CudaLaunch Second(int size) => new("matrix_second", (uint)((long)size * size / 4 / ChallengeMatrix.EntriesPerWord / SmallBlock), 1, SmallBlock);

    /// <summary>C and its hashes: a block per tile.</summary>
    public static CudaLaunch Multiply(int size) => new("matrix_multiply", (uint)(size / Tile), (uint)(size / Tile), LargeBlock);

    /// <summary>Some segments: a thread each.</summary>
    public static CudaLaunch Fill(int count) => new("memory_fill", (uint)((count + SmallBlock - 1) / SmallBlock), 1, SmallBlock);

    /// <summary>A pass: a block per segment.</summary>
    public static CudaLaunch Pass(int segments) => new("memory_pass", (uint)segments, 1, LargeBlock);
}
