using Federation.Protocol.Challenges;

namespace Federation.Silo.Verification.Challenges;

/// <summary>A device as it was measured, never as it calls itself.</summary>
/// <param name="MatrixTeraops">G: what it attained in an MM challenge, 10^12 integer operations a second.</param>
/// <param name="GigabytesPerSecond">W: memory bandwidth by a MEM challenge, in the terms of <see cref="HardwareClass.GigabytesPerSecond"/>.</param>
/// <param name="ResidentGigabytes">R: memory it held in that challenge, 10^9 bytes.</param>
internal sealed record MeasuredHardware(double MatrixTeraops, double GigabytesPerSecond, double ResidentGigabytes)
{
    /// <summary>The vector that two passed challenges measured.</summary>
    public static MeasuredHardware From(ChallengeVerdict matrix, ChallengeVerdict memory)
    {
        if (matrix.Plan.Parameters.Kind != ChallengeKind.Matrix || memory.Plan.Parameters.Kind != ChallengeKind.Memory) throw new ArgumentException("One MM and one MEM challenge are needed.");
        return new MeasuredHardware(
            matrix.Plan.Class.MatrixTeraops * matrix.SpeedRatio,
            memory.Plan.Class.GigabytesPerSecond * memory.SpeedRatio,
            memory.Plan.Parameters.Size / 1e9);
    }
}

/// <summary>Where a measured device belongs.</summary>
/// <param name="Class">The best class that it passes on every axis.</param>
/// <param name="FormulaCreditsPerHour">What <see cref="HardwareRate.CreditsPerHour"/> gives for it; the class's price is what is paid. 0: nothing was measured.</param>
/// <param name="Sentence">What kept it from the next better class, in words.</param>
internal sealed record HardwarePlacement(HardwareClass Class, double FormulaCreditsPerHour, string Sentence)
{
    /// <summary>Whether it rests on challenges that were answered, and not on their absence.</summary>
    public bool IsMeasured => FormulaCreditsPerHour > 0;
}

/// <summary>From measurements to classes and rates.</summary>
internal sealed class HardwareRate(HardwareClassOptions classes, ChallengeOptions options)
{
    /// <summary>
    /// Credits an hour by the verification protocol's formula, <c>40·(G/165)^0.20·(W/1008)^0.52·(R/24)^0.69</c>, which fits three anchors exactly: 10 for an RTX 3060, 40 for a 4090,
    /// 150 for an A100 of 80 GB.
    /// </summary>
    /// <param name="teraflops">G: arithmetic in fp16 with fp32 sums, 10^12 a second.</param>
    /// <param name="gigabytesPerSecond">W.</param>
    /// <param name="memoryGigabytes">R.</param>
    public static double CreditsPerHour(double teraflops, double gigabytesPerSecond, double memoryGigabytes)
        => 40 * Math.Pow(teraflops / 165, 0.20) * Math.Pow(gigabytesPerSecond / 1008, 0.52) * Math.Pow(memoryGigabytes / 24, 0.69);

    /// <summary>The best-paid class whose reference the device comes near enough on every axis; whatever passes none is the fallback.</summary>
    public HardwarePlacement Place(MeasuredHardware measured)
    {
        var best = classes.Classes
            .Where(candidate => candidate.Name == classes.Fallback || Shortfall(measured, candidate) is null)
            .MaxBy(candidate => candidate.CreditsPerHour)!;
        var next = classes.Classes.Where(candidate => candidate.CreditsPerHour > best.CreditsPerHour).MinBy(candidate => candidate.CreditsPerHour);
        // The kernel's operations count as the class's arithmetic in the proportion they have there.
        var teraflops = best.Teraflops * measured.MatrixTeraops / best.MatrixTeraops;
        var memory = measured.ResidentGigabytes + (options.MemoryReserveBytes / 1e9);
        return new HardwarePlacement(
            best,
            CreditsPerHour(teraflops, measured.GigabytesPerSecond, memory),
            next is null ? "There is no better class." : $"For {next.Name}: {Shortfall(measured, next)}");
    }

    /// <summary>The axis on which a device falls short of a class, in words; null: none.</summary>
    private string? Shortfall(MeasuredHardware measured, HardwareClass hardware)
    {
        var memory = measured.ResidentGigabytes + (options.MemoryReserveBytes / 1e9);
        return measured.MatrixTeraops < hardware.MatrixTeraops * options.Tolerance
                ? $"it computes {measured.MatrixTeraops:F2} of {hardware.MatrixTeraops * options.Tolerance:F2} Tops."
            : measured.GigabytesPerSecond < hardware.GigabytesPerSecond * options.Tolerance
                ? $"its memory reaches {measured.GigabytesPerSecond:F0} of {hardware.GigabytesPerSecond * options.Tolerance:F0} GB/s."
            : memory < hardware.MinMemoryGigabytes
                ? $"it has {memory:F1} of {hardware.MinMemoryGigabytes:F1} GB."
            : null;
    }
}
