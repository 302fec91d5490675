using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification.Probes;

/// <summary>What standby probes ask, and what counts as an answer. How often they come and what they pay is <see cref="Accrual.AccrualOptions"/>.</summary>
internal sealed class ProbeOptions
{
    public const string SectionName = "Probes";

    /// <summary>Whether nodes are probed at all. Without, standby earns nothing. Default true.</summary>
    public bool Enabled { get; set; } = true;

    /// <summary>τ: how soon the first token must come, from when the probe is sent, the way there and back included. Default 2 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.01", "00:01:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan FirstToken { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>How long the whole answer may take. Default 30 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "00:10:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan Answer { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>Tokens asked for. Default 16.</summary>
    [Range(1, 1_024)]
    public int Tokens { get; set; } = 16;

    /// <summary>Longest answer that is read, bytes. Default 64 KiB.</summary>
    [Range(1_024, 1 << 24)]
    public int MaxAnswerBytes { get; set; } = 64 << 10;
}

[OptionsValidator]
internal sealed partial class ProbeOptionsValidator : IValidateOptions<ProbeOptions>;
