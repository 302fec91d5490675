using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Idempotency;

/// <summary>What is kept of requests that come with an <c>Idempotency-Key</c>.</summary>
internal sealed class IdempotencyOptions
{
    public const string SectionName = "Idempotency";

    /// <summary>How long an answer is given again. Default 24 h.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "7.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan Lifetime { get; set; } = TimeSpan.FromHours(24);

    /// <summary>Largest answer that is kept, bytes; who asks again for a larger one is told that it was given. Default 1 MiB.</summary>
    [Range(1024, 64 * 1024 * 1024)]
    public int MaxAnswerBytes { get; set; } = 1024 * 1024;

    /// <summary>Answers of one account that are kept at once, bytes; beyond, further ones are remembered without their bytes. Default 64 MiB.</summary>
    [Range(1024, 1L << 40)]
    public long MaxBytesPerAccount { get; set; } = 64L * 1024 * 1024;

    /// <summary>Keys of one account that are remembered at once; with one more the request is refused. Default 10 000.</summary>
    [Range(1, 10_000_000)]
    public int MaxKeysPerAccount { get; set; } = 10_000;

    /// <summary>How often what is over is thrown away. Default 10 min.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "1.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan PurgePeriod { get; set; } = TimeSpan.FromMinutes(10);
}

[OptionsValidator]
internal sealed partial class IdempotencyOptionsValidator : IValidateOptions<IdempotencyOptions>;
