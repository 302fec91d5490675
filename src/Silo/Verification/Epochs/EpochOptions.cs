using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification.Epochs;

/// <summary>When an epoch, one hour UTC, is closed.</summary>
internal sealed class EpochOptions
{
    public const string SectionName = "Epochs";

    /// <summary>How often the hub looks whether an epoch is over. Default 1 min.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "01:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan LookPeriod { get; set; } = TimeSpan.FromMinutes(1);

    /// <summary>How long after its end an epoch stays open for receipts whose commit is on its way; a later one is rooted in the next epoch. Default 2 min.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "01:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan Grace { get; set; } = TimeSpan.FromMinutes(2);

    /// <summary>How long the root is public before the beacon is revealed, so that whoever watches has it first. Default 1 min.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "01:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan RevealDelay { get; set; } = TimeSpan.FromMinutes(1);

    /// <summary>Receipts that one commit puts in an epoch at most. Default 1 000.</summary>
    [Range(1, 100_000)]
    public int BatchMax { get; set; } = 1_000;
}

[OptionsValidator]
internal sealed partial class EpochOptionsValidator : IValidateOptions<EpochOptions>;
