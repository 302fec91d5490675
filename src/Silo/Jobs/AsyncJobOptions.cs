using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Jobs;

/// <summary>The bounds of asynchronous jobs.</summary>
internal sealed class AsyncJobOptions
{
    public const string SectionName = "Jobs";

    /// <summary>Jobs that one silo runs at once. Default 16.</summary>
    [Range(1, 1_000)]
    public int MaxRunning { get; set; } = 16;

    /// <summary>Jobs of one account that run at once, over all silos. Default 4.</summary>
    [Range(1, 1_000)]
    public int MaxRunningPerAccount { get; set; } = 4;

    /// <summary>Jobs of one account that wait or run; one more is refused with 429. Default 1 000.</summary>
    [Range(1, 1_000_000)]
    public int MaxWaitingPerAccount { get; set; } = 1_000;

    /// <summary>Jobs of one account that have ended and are kept; of more the oldest go before their <see cref="Retention"/> is over. Default 10 000.</summary>
    [Range(1, 1_000_000)]
    public int MaxKeptPerAccount { get; set; } = 10_000;

    /// <summary>Bytes of one account's requests that wait, of which one more is refused with 429; and bytes of its answers that are kept, of which the oldest go. Default 1 GiB.</summary>
    [Range(1024 * 1024, 1L << 50)]
    public long MaxBytesPerAccount { get; set; } = 1L << 30;

    /// <summary>How long a job is for its silo alone unless that says that it still has it; so long after a silo's death another runs the job. Default 30 s.</summary>
    [Range(typeof(TimeSpan), "00:00:03", "00:10:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan LeaseDuration { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>How often a silo looks for jobs whose turn has come, and for those another silo has cancelled. Default 1 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.05", "00:01:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan LookPeriod { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>Attempts that may fail for a reason of the nodes' or the hub's before the job does. Waiting for a busy model is no failure. Default 5.</summary>
    [Range(1, 100)]
    public int MaxFailures { get; set; } = 5;

    /// <summary>How long a job waits after its first attempt that came to nothing; twice as long after each further one. Default 2 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "00:10:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan RetryDelay { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>How long it waits at most. Default 1 min.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "01:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan MaxRetryDelay { get; set; } = TimeSpan.FromMinutes(1);

    /// <summary>How long a job may take in all, if its account says nothing. Default 24 h.</summary>
    [Range(typeof(TimeSpan), "00:01:00", "30.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan Lifetime { get; set; } = TimeSpan.FromDays(1);

    /// <summary>The longest time an account may ask for. Default 7 days.</summary>
    [Range(typeof(TimeSpan), "00:01:00", "30.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan MaxLifetime { get; set; } = TimeSpan.FromDays(7);

    /// <summary>How long a job that has ended is kept, its answer with it. Default 7 days.</summary>
    [Range(typeof(TimeSpan), "00:01:00", "365.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan Retention { get; set; } = TimeSpan.FromDays(7);

    /// <summary>Connections of one silo that follow jobs; one more is answered 503. Default 1 000.</summary>
    [Range(1, 100_000)]
    public int MaxFollowers { get; set; } = 1_000;

    /// <summary>Events kept of one job; what happens to it beyond them is told only by its last. Default 200.</summary>
    [Range(10, 100_000)]
    public int MaxEvents { get; set; } = 200;
}

[OptionsValidator]
internal sealed partial class AsyncJobOptionsValidator : IValidateOptions<AsyncJobOptions>;
