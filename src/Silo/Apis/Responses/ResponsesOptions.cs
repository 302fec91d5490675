using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Apis.Responses;

/// <summary>What is kept of answers given by <c>/v1/responses</c>, so that a later request can go on from them. Prompts and answers are kept here only for who asks with <c>store</c>, OpenAI's default.</summary>
internal sealed class ResponsesOptions
{
    public const string SectionName = "Responses";

    /// <summary>Whether answers are kept at all. Where not, <c>store: true</c> is refused, and a request that does not say is answered and forgotten. Default true.</summary>
    public bool Store { get; set; } = true;

    /// <summary>How long an answer is kept. Default 30 days, as OpenAI's.</summary>
    [Range(typeof(TimeSpan), "00:01:00", "3650.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan Lifetime { get; set; } = TimeSpan.FromDays(30);

    /// <summary>Most that is kept of one account, bytes; its oldest answers go first. A conversation is kept with each of its answers. Default 64 MiB.</summary>
    [Range(64 * 1024, 1L << 40)]
    public long MaxBytesPerAccount { get; set; } = 64 * 1024 * 1024;

    /// <summary>How often what has expired is deleted; nobody sees it from the moment it expires. Default 10 min.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "1.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan SweepPeriod { get; set; } = TimeSpan.FromMinutes(10);
}

[OptionsValidator]
internal sealed partial class ResponsesOptionsValidator : IValidateOptions<ResponsesOptions>;
