using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Nodes;

/// <summary>How long join tokens live.</summary>
internal sealed class JoinTokenOptions
{
    public const string SectionName = "JoinTokens";

    /// <summary>How long a token lives when nothing is said. Default 1 h.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "30.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan Lifetime { get; set; } = TimeSpan.FromHours(1);

    /// <summary>The longest life that can be asked for. Default 30 days.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "365.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan LifetimeMax { get; set; } = TimeSpan.FromDays(30);
}

[OptionsValidator]
internal sealed partial class JoinTokenOptionsValidator : IValidateOptions<JoinTokenOptions>;
