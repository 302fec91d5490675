using System.ComponentModel.DataAnnotations;
using System.Net;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Hosting;

/// <summary>Where this silo meets the hub's other silos. Only a build on Orleans with PostgreSQL has any.</summary>
internal sealed class ClusteringOptions : IValidatableObject
{
    public const string SectionName = "Clustering";

    /// <summary>The IP address other silos reach this one at. Default 127.0.0.1.</summary>
    [Required]
    public string Address { get; set; } = "127.0.0.1";

    /// <summary>The port silos talk to each other on. Default 11111.</summary>
    [Range(1, 65535)]
    public int SiloPort { get; set; } = 11111;

    /// <summary>Calls that may wait for one grain before further ones fail. Default 20 000.</summary>
    [Range(100, 10_000_000)]
    public int MaxWaitingCalls { get; set; } = 20_000;

    /// <summary>How often a silo asks another whether it lives. Three misses make it dead. Default 2 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "00:01:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan ProbePeriod { get; set; } = TimeSpan.FromSeconds(2);

    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        if (!IPAddress.TryParse(Address, out _)) yield return new ValidationResult($"{SectionName}:{nameof(Address)}: '{Address}' is not an IP address.");
    }
}

[OptionsValidator]
internal sealed partial class ClusteringOptionsValidator : IValidateOptions<ClusteringOptions>;
