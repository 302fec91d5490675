namespace Federation.Protocol.Challenges;

/// <summary>What a challenge measures.</summary>
public enum ChallengeKind
{
    /// <summary>Arithmetic: a chain of products of n × n matrices of small integers.</summary>
    Matrix = 1,

    /// <summary>Memory: a buffer that is held as a whole and read again and again.</summary>
    Memory = 2,
}

/// <summary>How much is asked for. Bounded, so that neither end can be made to use more than it must foresee.</summary>
public sealed record ChallengeParameters
{
    /// <summary>Largest matrix, rows.</summary>
    public const int MaxMatrixSize = 16_384;

    /// <summary>Largest buffer, bytes: 512 GiB.</summary>
    public const long MaxMemoryBytes = 1L << 39;

    /// <summary>Most rounds.</summary>
    public const int MaxRounds = 8_192;

    /// <summary>Most mixes from one word of memory to the next: more, and a node could not stop within a fraction of a second.</summary>
    public const int MaxFillDepth = 4_096;

    /// <summary>Most row or segment hashes of all rounds together, since the node keeps them until it is asked: 1 GiB.</summary>
    public const long MaxLeaves = 1L << 27;

    private ChallengeParameters(ChallengeKind kind, long size, int rounds, int fillDepth)
        => (Kind, Size, Rounds, FillDepth) = (kind, size, rounds, fillDepth);

    /// <summary>What is measured.</summary>
    public ChallengeKind Kind { get; }

    /// <summary>Rows of the matrices, or bytes of the buffer.</summary>
    public long Size { get; }

    /// <summary>Products, or passes over the buffer.</summary>
    public int Rounds { get; }

    /// <summary>Mixes from one word of memory to the next; 0 for matrices.</summary>
    public int FillDepth { get; }

    /// <summary>Hashes that one round gives: one per row, or one per segment.</summary>
    public int LeavesPerRound => Kind == ChallengeKind.Matrix ? (int)Size : (int)(Size / ChallengeMemory.SegmentBytes);

    /// <summary>Bytes of the hashes of all rounds, which the node keeps in main memory until it is asked.</summary>
    public long LeafBytes => (long)Rounds * LeavesPerRound * sizeof(ulong);

    /// <summary>Work of all rounds: integer operations (2n³ each), or bytes read.</summary>
    public double Work => Kind == ChallengeKind.Matrix ? 2.0 * Size * Size * Size * Rounds : (double)Size * Rounds;

    /// <summary>Mixes that filling the buffer takes; 0 for matrices.</summary>
    public double FillMixes => (double)Size / sizeof(ulong) * FillDepth;

    /// <summary>A chain of <paramref name="rounds"/> products of <paramref name="size"/> × <paramref name="size"/> matrices.</summary>
    /// <exception cref="FormatException">A number is out of bounds; the message says which.</exception>
    public static ChallengeParameters Matrix(long size, long rounds) => Create((long)ChallengeKind.Matrix, size, rounds, 0);

    /// <summary><paramref name="rounds"/> passes over a buffer of <paramref name="bytes"/>, a multiple of <see cref="ChallengeMemory.SegmentBytes"/>.</summary>
    /// <exception cref="FormatException">A number is out of bounds; the message says which.</exception>
    public static ChallengeParameters Memory(long bytes, long rounds, long fillDepth) => Create((long)ChallengeKind.Memory, bytes, rounds, fillDepth);

    internal static ChallengeParameters Create(long kind, long size, long rounds, long fillDepth)
    {
        switch (kind)
        {
            case (long)ChallengeKind.Matrix:
                Check(size is >= ChallengeMatrix.SizeMultiple and <= MaxMatrixSize && size % ChallengeMatrix.SizeMultiple == 0,
                    $"A matrix has {ChallengeMatrix.SizeMultiple} to {MaxMatrixSize} rows, a multiple of {ChallengeMatrix.SizeMultiple}, not {size}.");
                Check(fillDepth == 0, $"Matrices have no fill depth; this one has {fillDepth}.");
                break;
            case (long)ChallengeKind.Memory:
                Check(size is >= ChallengeMemory.SegmentBytes and <= MaxMemoryBytes && size % ChallengeMemory.SegmentBytes == 0,
                    $"A buffer has {ChallengeMemory.SegmentBytes} to {MaxMemoryBytes} bytes, a multiple of {ChallengeMemory.SegmentBytes}, not {size}.");
                Check(fillDepth is >= 1 and <= MaxFillDepth, $"The fill depth is 1 to {MaxFillDepth}, not {fillDepth}.");
                break;
            default:
                throw new FormatException($"There is no challenge of kind {kind}.");
        }
        Check(rounds is >= 1 and <= MaxRounds, $"A challenge has 1 to {MaxRounds} rounds, not {rounds}.");
        var parameters = new ChallengeParameters((ChallengeKind)kind, size, (int)rounds, (int)fillDepth);
        Check(rounds * parameters.LeavesPerRound <= MaxLeaves, $"{rounds} rounds of {parameters.LeavesPerRound} hashes are more than {MaxLeaves}.");
        return parameters;

        static void Check(bool holds, string otherwise)
        {
            if (!holds) throw new FormatException(otherwise);
        }
    }
}
