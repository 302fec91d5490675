using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Batches;

/// <summary>The bounds of batches.</summary>
internal sealed class BatchOptions
{
    public const string SectionName = "Batches";

    /// <summary>Lines of one batch. Default 50 000.</summary>
    [Range(1, 1_000_000)]
    public int MaxLines { get; set; } = 50_000;

    /// <summary>Models that one batch may name. Default 100.</summary>
    [Range(1, 10_000)]
    public int MaxModels { get; set; } = 100;

    /// <summary>Batches that one silo works on at once. Default 4.</summary>
    [Range(1, 1_000)]
    public int MaxRunning { get; set; } = 4;

    /// <summary>Batches of one account that are worked on at once, over all silos. Default 2.</summary>
    [Range(1, 1_000)]
    public int MaxRunningPerAccount { get; set; } = 2;

    /// <summary>Batches of one account that have not ended; one more is refused with 429. Default 50.</summary>
    [Range(1, 100_000)]
    public int MaxUnfinishedPerAccount { get; set; } = 50;

    /// <summary>Lines of one batch that are asked at once. Default 8.</summary>
    [Range(1, 1_000)]
    public int Parallelism { get; set; } = 8;

    /// <summary>How long a batch is for its silo alone unless that says that it still has it; so long after a silo's death another goes on with it. Default 30 s.</summary>
    [Range(typeof(TimeSpan), "00:00:03", "00:10:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan LeaseDuration { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>How often a silo looks for batches to work on, and for those that were cancelled. Default 1 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.05", "00:01:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan LookPeriod { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>Attempts of a line that may fail for a reason of the nodes' or the hub's before the line does. Waiting for a busy model is no failure. Default 3.</summary>
    [Range(1, 100)]
    public int MaxFailures { get; set; } = 3;

    /// <summary>How long a line waits after its first attempt that came to nothing; twice as long after each further one. Default 1 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "00:10:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan RetryDelay { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>How long it waits at most. Default 1 min.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "01:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan MaxRetryDelay { get; set; } = TimeSpan.FromMinutes(1);

    /// <summary>How long a batch may have lines that wait, for busy models or for limits, and no answer before it gives its place to another; after <see cref="MaxRetryDelay"/> it has its turn again. Default 1 min.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "1.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan StallAfter { get; set; } = TimeSpan.FromMinutes(1);

    /// <summary>How long a batch may take; what has no answer then has an error. Clients call it "24h". Default 24 h.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "30.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan Window { get; set; } = TimeSpan.FromDays(1);

    /// <summary>How long a batch that has ended is kept; its files have times of their own. Default 30 days.</summary>
    [Range(typeof(TimeSpan), "01:00:00", "3650.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan Retention { get; set; } = TimeSpan.FromDays(30);
}

[OptionsValidator]
internal sealed partial class BatchOptionsValidator : IValidateOptions<BatchOptions>;
