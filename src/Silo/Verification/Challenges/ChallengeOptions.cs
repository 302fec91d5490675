using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification.Challenges;

/// <summary>How hardware is challenged, and what counts as in time.</summary>
internal sealed class ChallengeOptions
{
    public const string SectionName = "Challenges";

    // ------------------------------------------------------------------------------------------------------------- matrix

    /// <summary>How long the reference of a class computes in an MM challenge. Default 5 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.001", "00:05:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan MatrixTime { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>Rows of the matrices for classes of at least <see cref="LargeMatrixTeraops"/>; a multiple of 64. Default 8 192.</summary>
    [Range(64, 16_384)]
    public int LargeMatrix { get; set; } = 8_192;

    /// <summary>Rows of the matrices for classes between. Default 4 096.</summary>
    [Range(64, 16_384)]
    public int MediumMatrix { get; set; } = 4_096;

    /// <summary>Rows of the matrices for classes below <see cref="SmallMatrixTeraops"/>, CPUs. Default 1 024.</summary>
    [Range(64, 16_384)]
    public int SmallMatrix { get; set; } = 1_024;

    /// <summary>Attained speed from which the large matrices are used, 10^12 operations a second. Default 40.</summary>
    [Range(0.001, 1_000_000)]
    public double LargeMatrixTeraops { get; set; } = 40;

    /// <summary>Attained speed below which the small matrices are used, 10^12 operations a second. Default 2.</summary>
    [Range(0, 1_000_000)]
    public double SmallMatrixTeraops { get; set; } = 2;

    // ------------------------------------------------------------------------------------------------------------- memory

    /// <summary>How long the reference of a class reads in a MEM challenge, filling the buffer not counted. Default 2 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.001", "00:05:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan MemoryTime { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>
    /// Passes at least. With few of them a buffer that is half missing would cost little, since it is made again only that often: 40 passes at <see cref="RegenerationFactor"/> 40
    /// make that ten times slower. Default 40.
    /// </summary>
    [Range(1, 8_192)]
    public int MinPasses { get; set; } = 40;

    /// <summary>How many times longer making a word takes than reading it; the fill depth follows from it and the class. Default 40.</summary>
    [Range(1, 1_000)]
    public double RegenerationFactor { get; set; } = 40;

    /// <summary>Share of the memory bandwidth that a pass reaches. Default 0.8 [uncalibrated].</summary>
    [Range(0.01, 1)]
    public double PassShare { get; set; } = 0.8;

    /// <summary>Memory of a device that is left to its system when the rest is challenged, bytes. Default 1.5·10^9.</summary>
    [Range(0, long.MaxValue)]
    public long MemoryReserveBytes { get; set; } = 1_500_000_000;

    // ----------------------------------------------------------------------------------------------------------- openings

    /// <summary>Cells opened in each of the three challenges of an enrolment. Default 32.</summary>
    [Range(1, 256)]
    public int EnrolmentCells { get; set; } = 32;

    /// <summary>Cells opened in a periodic MM challenge: who skips a fifth of them passes with 2.8 %. Default 16.</summary>
    [Range(1, 256)]
    public int PeriodicCells { get; set; } = 16;

    /// <summary>Segments opened in a MEM challenge. Default 20.</summary>
    [Range(1, 256)]
    public int MemoryCells { get; set; } = 20;

    /// <summary>How long a node has for the proof, from when it was told what to show. Default 10 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "00:10:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan ProofWindow { get; set; } = TimeSpan.FromSeconds(10);

    // ------------------------------------------------------------------------------------------------------------- timing

    /// <summary>A class is kept by whoever is at least this fast, as a share of its reference. Default 0.80.</summary>
    [Range(0.01, 1)]
    public double Tolerance { get; set; } = 0.80;

    /// <summary>Whoever is this many times faster than the reference belongs to a better class, or to nobody's knowledge. Default 1.35.</summary>
    [Range(1, 100)]
    public double SuspiciousSpeed { get; set; } = 1.35;

    /// <summary>How many times the reference's time a commitment may take before it is not waited for. Default 6.</summary>
    [Range(1.25, 1_000)]
    public double DeadlineFactor { get; set; } = 6;

    /// <summary>What is added to every deadline, for starting up. Default 5 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "00:10:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan DeadlineMargin { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// The most that is taken off for the round trip: a node that answers pings late would otherwise be given the time it needs. Default 200 ms, 4 % of an MM challenge.
    /// </summary>
    [Range(typeof(TimeSpan), "00:00:00", "00:00:10", ParseLimitsInInvariantCulture = true)]
    public TimeSpan MaxRoundTrip { get; set; } = TimeSpan.FromMilliseconds(200);

    /// <summary>Challenges whose use is remembered, so that none is answered twice. Default 100 000.</summary>
    [Range(100, 10_000_000)]
    public int RememberedChallenges { get; set; } = 100_000;
}

[OptionsValidator]
internal sealed partial class ChallengeOptionsValidator : IValidateOptions<ChallengeOptions>;
