using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification.Benchmarks;

/// <summary>The inference benchmark (IB): what it asks, what counts as a class's speed, and what follows. It belongs to each sitting of hardware challenges.</summary>
internal sealed class BenchmarkOptions
{
    public const string SectionName = "Benchmarks";

    /// <summary>Whether nodes are benchmarked. Without, classes follow from matrix and memory challenges alone, and reference speeds from configuration. Default true.</summary>
    public bool Enabled { get; set; } = true;

    /// <summary>Models to benchmark, by the names that nodes know them by, the preferred one first. Empty, the default: any model that the node holds in memory.</summary>
    public List<string> Models { get; set; } = [];

    /// <summary>Tokens of the prompt, about; fewer where a model's context is small. Default 2 048.</summary>
    [Range(16, 1 << 20)]
    public int PromptTokens { get; set; } = 2_048;

    /// <summary>Greedy tokens asked for; fewer where a model's context is small. Default 128.</summary>
    [Range(8, 1 << 16)]
    public int CompletionTokens { get; set; } = 128;

    /// <summary>Fewer tokens than that measure nothing. Default 8 [uncalibrated].</summary>
    [Range(2, 1 << 16)]
    public int MinCompletionTokens { get; set; } = 8;

    /// <summary>Positions of the answer that its audit scores, S. Default 32.</summary>
    [Range(1, 1_024)]
    public int AuditPositions { get; set; } = 32;

    /// <summary>How long the whole answer may take. Default 5 min.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "01:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan TimeLimit { get; set; } = TimeSpan.FromMinutes(5);

    /// <summary>A class's speed is kept by whoever reaches this share of it, for prompts and for generation. Default 0.8.</summary>
    [Range(0.01, 1)]
    public double Tolerance { get; set; } = 0.8;

    /// <summary>
    /// Accounts whose trusted nodes of the class must have been measured with a model before their median is its reference speed; until then the configured figures are, which are
    /// [uncalibrated] and take no class from anybody. Default 5.
    /// </summary>
    [Range(3, 10_000)]
    public int MinAccounts { get; set; } = 5;

    /// <summary>A median is believed up to this many times slower or faster than the configured figures. Default 2 [uncalibrated].</summary>
    [Range(1, 100)]
    public double DeviationMax { get; set; } = 2;

    /// <summary>How old a measurement may be. Default 30 days.</summary>
    [Range(typeof(TimeSpan), "00:01:00", "365.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan MeasurementAge { get; set; } = TimeSpan.FromDays(30);

    /// <summary>How long a silo goes by the medians it has read. Default 10 min.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "1.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan MedianAge { get; set; } = TimeSpan.FromMinutes(10);
}

[OptionsValidator]
internal sealed partial class BenchmarkOptionsValidator : IValidateOptions<BenchmarkOptions>;
