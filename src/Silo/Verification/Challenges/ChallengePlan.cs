using Federation.Protocol.Challenges;

namespace Federation.Silo.Verification.Challenges;

/// <summary>One challenge for one class of hardware: how much is asked for, and how long the class's reference takes.</summary>
/// <param name="Parameters">How much is asked for.</param>
/// <param name="Class">The class that is tested for.</param>
/// <param name="Reference">What its reference takes.</param>
/// <param name="Deadline">How long the commitment is waited for.</param>
/// <param name="Cells">How many cells are opened.</param>
internal sealed record ChallengePlan(ChallengeParameters Parameters, HardwareClass Class, TimeSpan Reference, TimeSpan Deadline, int Cells)
{
    private const double Tera = 1e12;
    private const double Giga = 1e9;
    private const int MinFillDepth = 8;
    private const int MaxFillDepth = 512;

    /// <summary>An MM challenge: as many products as the class's reference computes in <see cref="ChallengeOptions.MatrixTime"/>.</summary>
    public static ChallengePlan Matrix(HardwareClass hardware, ChallengeOptions options, int cells)
    {
        long size = hardware.MatrixTeraops >= options.LargeMatrixTeraops ? options.LargeMatrix
            : hardware.MatrixTeraops >= options.SmallMatrixTeraops ? options.MediumMatrix
            : options.SmallMatrix;
        var rounds = Math.Ceiling(options.MatrixTime.TotalSeconds * hardware.MatrixTeraops * Tera / (2.0 * size * size * size));
        return Of(ChallengeParameters.Matrix(size, Bounded(rounds, size)), hardware, options, cells);
    }

    /// <summary>A MEM challenge over <paramref name="bytes"/>, rounded down to whole segments.</summary>
    /// <exception cref="FormatException">That is less than one segment, or more than a challenge may ask for.</exception>
    public static ChallengePlan Memory(HardwareClass hardware, ChallengeOptions options, long bytes)
    {
        var segments = bytes / ChallengeMemory.SegmentBytes;
        if (segments < 1) throw new FormatException($"{bytes} bytes of memory are less than one segment.");
        var size = segments * ChallengeMemory.SegmentBytes;
        var bytesPerSecond = PassBytesPerSecond(hardware, options);
        var rounds = Math.Max(options.MinPasses, Math.Ceiling(options.MemoryTime.TotalSeconds * bytesPerSecond / size));
        var depth = Math.Ceiling(options.RegenerationFactor * sizeof(ulong) * hardware.GigamixesPerSecond * Giga / bytesPerSecond);
        return Of(ChallengeParameters.Memory(size, Bounded(rounds, segments), (long)Math.Clamp(depth, MinFillDepth, MaxFillDepth)), hardware, options, options.MemoryCells);
    }

    /// <summary>What the reference of a class takes for a challenge: the products; or filling the buffer and reading it.</summary>
    public static TimeSpan ReferenceTime(ChallengeParameters parameters, HardwareClass hardware, ChallengeOptions options) => TimeSpan.FromSeconds(
        parameters.Kind == ChallengeKind.Matrix
            ? parameters.Work / (hardware.MatrixTeraops * Tera)
            : (parameters.FillMixes / (hardware.GigamixesPerSecond * Giga)) + (parameters.Work / PassBytesPerSecond(hardware, options)));

    private static ChallengePlan Of(ChallengeParameters parameters, HardwareClass hardware, ChallengeOptions options, int cells)
    {
        var reference = ReferenceTime(parameters, hardware, options);
        return new ChallengePlan(parameters, hardware, reference, (reference * options.DeadlineFactor) + options.DeadlineMargin, cells);
    }

    private static double PassBytesPerSecond(HardwareClass hardware, ChallengeOptions options) => hardware.GigabytesPerSecond * Giga * options.PassShare;

    private static long Bounded(double rounds, long leavesPerRound)
        => (long)Math.Clamp(rounds, 1, Math.Min(ChallengeParameters.MaxRounds, ChallengeParameters.MaxLeaves / leavesPerRound));
}
