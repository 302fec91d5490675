using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Gateway.Routing;

/// <summary>How long it can be asked why a request went where it went.</summary>
internal sealed class RequestTraceOptions
{
    public const string SectionName = "Requests";

    /// <summary>Requests that a silo remembers, the oldest first to go; about 0.5 kB each. Default 20 000; 0: none.</summary>
    [Range(0, 10_000_000)]
    public int MaxKept { get; set; } = 20_000;

    /// <summary>How long one is remembered at most. Default a day.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "30.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan KeepFor { get; set; } = TimeSpan.FromDays(1);
}

[OptionsValidator]
internal sealed partial class RequestTraceOptionsValidator : IValidateOptions<RequestTraceOptions>;
