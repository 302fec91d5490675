using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification.Challenges;

/// <summary>When nodes are challenged.</summary>
internal sealed class ChallengeScheduleOptions
{
    public const string SectionName = "ChallengeSchedule";

    /// <summary>Whether nodes are challenged at all. Without, every node is paid as the fallback class. Default true.</summary>
    public bool Enabled { get; set; } = true;

    /// <summary>How long after a node connects its first challenge comes, if one is due. Default 5 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "01:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan FirstAfter { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>Rounds of challenges that place a new node; its class is the best that two of them reach. Default 3.</summary>
    [Range(2, 10)]
    public int EnrolmentRounds { get; set; } = 3;

    /// <summary>Mean time between two rounds of a node that is placed; the moments are drawn, so that nobody foresees them. Default 2 h.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "7.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan MeanPeriod { get; set; } = TimeSpan.FromHours(2);

    /// <summary>How soon a round is tried again that came to nothing: declined, or disturbed by clients' work. Default 1 min.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "01:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan AgainAfter { get; set; } = TimeSpan.FromMinutes(1);

    /// <summary>How long a node that is already placed waits for a moment without work before a round. Default 30 min; then it comes all the same, and its time does not count.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "1.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan WaitForLeisure { get; set; } = TimeSpan.FromMinutes(30);

    /// <summary>Length of a slot: challenges of a slot begin together on all hubs. Default 10 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.01", "01:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan Slot { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>How long a ping may take. Default 5 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "00:01:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan PingTimeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>Memory that a MEM challenge of a node without a GPU goes over, bytes. Default 64 MiB, beyond most caches.</summary>
    [Range(1 << 20, 1L << 36)]
    public long CpuMemoryBytes { get; set; } = 64L << 20;

    /// <summary>Proofs that may wait for the one thread that checks them. Default 1 000.</summary>
    [Range(1, 100_000)]
    public int MaxWaitingProofs { get; set; } = 1_000;
}

[OptionsValidator]
internal sealed partial class ChallengeScheduleOptionsValidator : IValidateOptions<ChallengeScheduleOptions>;
