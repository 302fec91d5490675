using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Telemetry;

/// <summary>What the hub tells of its work, and to whom.</summary>
internal sealed class TelemetryOptions : IValidatableObject
{
    public const string SectionName = "Telemetry";

    /// <summary>Where metrics and traces are sent by OTLP over HTTP, such as http://127.0.0.1:4318; empty: nowhere. Default empty.</summary>
    public string OtlpEndpoint { get; set; } = string.Empty;

    /// <summary>Whether <c>/metrics</c> answers without a key whoever asks from this machine. Behind a proxy on the same machine that is everybody. Default false: a key of scope admin.</summary>
    public bool MetricsOnLoopback { get; set; }

    /// <summary>Series that <c>/metrics</c> keeps of one instrument; what comes beyond them is gathered in one. Default 500.</summary>
    [Range(1, 100_000)]
    public int MaxSeries { get; set; } = 500;

    /// <summary>Whether each answer is a line in the log: who asked which model, who answered, tokens and times; no word of prompt or answer. Default true.</summary>
    public bool LogRequests { get; set; } = true;

    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        if (OtlpEndpoint.Length > 0 && !(Uri.TryCreate(OtlpEndpoint, UriKind.Absolute, out var url) && url.Scheme is "http" or "https"))
            yield return new ValidationResult($"{SectionName}:{nameof(OtlpEndpoint)}: '{OtlpEndpoint}' is not a URL such as http://127.0.0.1:4318.");
    }
}

[OptionsValidator]
internal sealed partial class TelemetryOptionsValidator : IValidateOptions<TelemetryOptions>;
