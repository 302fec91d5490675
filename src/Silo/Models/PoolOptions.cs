using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Models;

/// <summary>How a model's pool queues and forgets.</summary>
internal sealed class PoolOptions
{
    public const string SectionName = "Pool";

    /// <summary>Jobs that may wait for one model. One more is answered 503 at once. Default 1 000.</summary>
    [Range(1, 100_000)]
    public int MaxWaiting { get; set; } = 1_000;

    /// <summary>How long a job waits for a node before it is answered 503. Default 60 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "00:09:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan Patience { get; set; } = TimeSpan.FromSeconds(60);

    /// <summary>What the weight of asynchronous jobs and batches is multiplied by: their share of a busy model beside requests that a client waits for. Default 0.05 [uncalibrated].</summary>
    [Range(0.0001, 1.0)]
    public double BackgroundWeight { get; set; } = 0.05;

    /// <summary>
    /// An account that waits, and of which nothing was served for so long, is served next whatever its weight: once, then it stands in line again. So nobody starves, and a thousand requests of one account age as one. Default 20 s;
    /// 0: never.
    /// </summary>
    [Range(typeof(TimeSpan), "00:00:00", "00:09:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan AgeAfter { get; set; } = TimeSpan.FromSeconds(20);

    /// <summary>Beginnings of conversations of which a pool remembers who has read them, eight of each conversation at most, 100 bytes each. Default 8 192; 0: none.</summary>
    [Range(0, 1_000_000)]
    public int MaxSticky { get; set; } = 8_192;

    /// <summary>How long a node whose engine failed is asked only where no other has a free slot. Default 15 s [uncalibrated]; 0: it is asked as before.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "01:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan FailureRest { get; set; } = TimeSpan.FromSeconds(15);

    /// <summary>Nodes that are told of for one request, of those that were considered. Default 8.</summary>
    [Range(1, 1_000)]
    public int MaxCandidates { get; set; } = 8;

    /// <summary>How often a session repeats what it can serve. A pool that lost its memory is whole after one period. Default 3 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "00:01:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan AnnouncePeriod { get; set; } = TimeSpan.FromSeconds(3);

    /// <summary>A member that stayed silent for this many periods is dropped. Default 4.</summary>
    [Range(2, 100)]
    public int SilentPeriods { get; set; } = 4;

    /// <summary>A lease not given back after this long is counted as lost with the silo that held it. Default 15 min.</summary>
    [Range(typeof(TimeSpan), "00:00:10", "24:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan LeaseLifetime { get; set; } = TimeSpan.FromMinutes(15);
}

[OptionsValidator]
internal sealed partial class PoolOptionsValidator : IValidateOptions<PoolOptions>;
