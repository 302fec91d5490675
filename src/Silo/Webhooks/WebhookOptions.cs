using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Webhooks;

/// <summary>The bounds of webhooks, and where they may go.</summary>
internal sealed class WebhookOptions
{
    public const string SectionName = "Webhooks";

    /// <summary>Allows endpoints in private networks and on this machine: for operators who run receivers there. Whoever has a key can then reach what the hub can. Default false.</summary>
    public bool AllowPrivateTargets { get; set; }

    /// <summary>Allows endpoints without TLS. Default false.</summary>
    public bool AllowHttp { get; set; }

    /// <summary>Endpoints of one account. Default 20.</summary>
    [Range(1, 10_000)]
    public int MaxEndpointsPerAccount { get; set; } = 20;

    /// <summary>Deliveries that one silo sends at once. Default 16.</summary>
    [Range(1, 1_000)]
    public int MaxSending { get; set; } = 16;

    /// <summary>Of those, deliveries of one account: so many of its receivers may say nothing at once without delaying others. Default 4.</summary>
    [Range(1, 1_000)]
    public int MaxSendingPerAccount { get; set; } = 4;

    /// <summary>From one test that an account asks for to the next, over all silos; sooner is answered 429. Default 2 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "01:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan TestPeriod { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>How long a receiver may take for its answer's headers, connecting included. Default 10 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "00:02:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>How often a silo looks for deliveries that are due. Default 1 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.05", "00:01:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan LookPeriod { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>How long a delivery waits after its first attempt that failed; twice as long after each further one, a fifth more or less at random. Default 5 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.01", "01:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan RetryDelay { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>How long it waits at most. Default 1 h.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "1.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan MaxRetryDelay { get; set; } = TimeSpan.FromHours(1);

    /// <summary>How long a delivery is tried before it is dead. Default 24 h.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "30.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan GiveUpAfter { get; set; } = TimeSpan.FromDays(1);

    /// <summary>How long the secret before the latest signs as well. Default 24 h.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "30.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan RotationGrace { get; set; } = TimeSpan.FromDays(1);

    /// <summary>How long deliveries that have ended are kept, delivered or dead. Default 7 days.</summary>
    [Range(typeof(TimeSpan), "00:01:00", "365.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan Retention { get; set; } = TimeSpan.FromDays(7);
}

[OptionsValidator]
internal sealed partial class WebhookOptionsValidator : IValidateOptions<WebhookOptions>;
