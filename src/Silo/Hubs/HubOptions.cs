using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Hubs;

/// <summary>The hub as a whole.</summary>
internal sealed class HubOptions : IValidatableObject
{
    public const string SectionName = "Hub";

    /// <summary>What people see of it. Default "Federation hub".</summary>
    [Required, StringLength(100, MinimumLength = 1)]
    public string Name { get; set; } = "Federation hub";

    /// <summary>The URL contributors and clients reach it at; empty: the first address it listens on.</summary>
    public string PublicUrl { get; set; } = string.Empty;

    /// <summary>
    /// Every URL the hub is reached at, one per silo where no load balancer stands before them. Nodes remember them and dial the next
    /// one when a silo is gone.
    /// </summary>
    public List<string> Urls { get; set; } = [];

    /// <summary>The URL nodes dial; empty: the address they read it at, with the port for nodes.</summary>
    public string NodeLinkUrl { get; set; } = string.Empty;

    /// <summary>How long running answers may take to finish when the hub stops. Default 30 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "01:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan DrainTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>How old a silo's view of who is connected may be. Default 1 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "00:01:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan DirectoryAge { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>How long a model stays known after its last node left, so that a restart is a wait and not an error. Default 10 min.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "24:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan ModelMemory { get; set; } = TimeSpan.FromMinutes(10);

    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
        => Urls.Select((url, index) => (Name: $"Urls:{index}", Url: url))
            .Append((Name: nameof(PublicUrl), Url: PublicUrl)).Append((Name: nameof(NodeLinkUrl), Url: NodeLinkUrl))
            .Where(setting => setting.Url.Length > 0 && !(Uri.TryCreate(setting.Url, UriKind.Absolute, out var url) && url.Scheme is ("http" or "https")))
            .Select(setting => new ValidationResult($"{SectionName}:{setting.Name}: '{setting.Url}' is not a URL such as https://hub.example.org."));
}

[OptionsValidator]
internal sealed partial class HubOptionsValidator : IValidateOptions<HubOptions>;
