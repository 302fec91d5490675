using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification;

/// <summary>The hardware classes, what they earn, and how fast their reference is. All of it is configuration with these defaults.</summary>
/// <remarks>
/// Until a class is measured by challenges, a node is placed by the hardware it reports: a claim, not a proof. Unknown hardware
/// is placed as the CPU class.
/// </remarks>
internal sealed class HardwareClassOptions
{
    public const string SectionName = "HardwareClasses";

    /// <summary>The class of whatever matches no other.</summary>
    [Required]
    public string Fallback { get; set; } = "cpu";

    /// <summary>Share of the arithmetic speed that prompt processing reaches. Default 0.4 [uncalibrated].</summary>
    [Range(0.01, 1)]
    public double ComputeEfficiency { get; set; } = 0.4;

    /// <summary>Share of the memory bandwidth that token generation reaches. Default 0.6 [uncalibrated].</summary>
    [Range(0.01, 1)]
    public double BandwidthEfficiency { get; set; } = 0.6;

    /// <summary>What a prompt token costs beside arithmetic, µs. Default 50 [uncalibrated].</summary>
    [Range(0, 1_000_000)]
    public double PromptOverheadMicroseconds { get; set; } = 50;

    /// <summary>What a generated token costs beside reading the weights, µs. Default 1 000 [uncalibrated].</summary>
    [Range(0, 1_000_000)]
    public double TokenOverheadMicroseconds { get; set; } = 1_000;

    /// <summary>Bytes of weights assumed where an engine does not tell them. Default 1 GiB, a small model, so that silence never pays.</summary>
    [Range(1, long.MaxValue)]
    public long UnknownModelBytes { get; set; } = 1L << 30;

    /// <summary>
    /// Bytes of weights that a node is paid for at most while neither the operator nor enough others say how large they are. Default 4 GiB [uncalibrated]: what most people have to offer. Larger models
    /// are paid in full as soon as somebody vouches for their size.
    /// </summary>
    [Range(1, long.MaxValue)]
    public long UnvouchedModelBytes { get; set; } = 4L << 30;

    /// <summary>Other accounts with trusted nodes whose word on a model's size counts where the operator has none. Default 3 [uncalibrated]: a payee and one friend are not enough.</summary>
    [Range(1, 1_000)]
    public int VouchingAccounts { get; set; } = 3;

    /// <summary>The operator's catalog: bytes of the weights of models, by digest, or by name where engines tell no digest. Counts before what any node says. Default empty.</summary>
    public Dictionary<string, long> ModelBytes { get; set; } = new(StringComparer.Ordinal);

    /// <summary>How long a silo goes by the model sizes that it has read from the hub's directory. Default 10 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "01:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan VouchedSizesAge { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>The classes; the first that matches counts.</summary>
    [ValidateEnumeratedItems]
    public List<HardwareClass> Classes { get; set; } =
    [
        new()
        {
            Name = "a100-80gb",
            NameContains = "A100",
            MinMemoryGigabytes = 70,
            CreditsPerHour = 150,
            Teraflops = 312,
            GigabytesPerSecond = 2039,
            MemoryGigabytes = 80,
            MatrixTeraops = 39,
            GigamixesPerSecond = 400,
        },
        new()
        {
            Name = "a100-40gb",
            NameContains = "A100",
            MinMemoryGigabytes = 35,
            CreditsPerHour = 100,
            Teraflops = 312,
            GigabytesPerSecond = 1555,
            MemoryGigabytes = 40,
            MatrixTeraops = 39,
            GigamixesPerSecond = 400,
        },
        new()
        {
            Name = "rtx-4090-24gb",
            NameContains = "RTX 4090",
            MinMemoryGigabytes = 22,
            CreditsPerHour = 40,
            Teraflops = 165,
            GigabytesPerSecond = 1008,
            MemoryGigabytes = 24,
            MatrixTeraops = 82,
            GigamixesPerSecond = 850,
        },
        new()
        {
            Name = "rtx-4080-16gb",
            NameContains = "RTX 4080",
            MinMemoryGigabytes = 15,
            CreditsPerHour = 25,
            Teraflops = 97,
            GigabytesPerSecond = 717,
            MemoryGigabytes = 16,
            MatrixTeraops = 48,
            GigamixesPerSecond = 500,
        },
        new()
        {
            Name = "rtx-3080-10gb",
            NameContains = "RTX 3080",
            MinMemoryGigabytes = 9,
            CreditsPerHour = 15,
            Teraflops = 59,
            GigabytesPerSecond = 760,
            MemoryGigabytes = 10,
            MatrixTeraops = 30,
            GigamixesPerSecond = 310,
        },
        new()
        {
            Name = "rtx-3060-12gb",
            NameContains = "RTX 3060",
            MinMemoryGigabytes = 11,
            CreditsPerHour = 10,
            Teraflops = 25,
            GigabytesPerSecond = 360,
            MemoryGigabytes = 12,
            MatrixTeraops = 13,
            GigamixesPerSecond = 130,
        },
        new()
        {
            Name = "m3-max",
            NameContains = "M3 Max",
            MinMemoryGigabytes = 30,
            CreditsPerHour = 35,
            Teraflops = 14,
            GigabytesPerSecond = 400,
            MemoryGigabytes = 64,
            MatrixTeraops = 5,
            GigamixesPerSecond = 100,
        },
        new()
        {
            Name = "m2-ultra",
            NameContains = "M2 Ultra",
            MinMemoryGigabytes = 60,
            CreditsPerHour = 30,
            Teraflops = 27,
            GigabytesPerSecond = 800,
            MemoryGigabytes = 192,
            MatrixTeraops = 8,
            GigamixesPerSecond = 150,
        },
        new()
        {
            Name = "cpu",
            NameContains = "",
            MinMemoryGigabytes = 0,
            CreditsPerHour = 2,
            Teraflops = 0.5,
            GigabytesPerSecond = 40,
            MemoryGigabytes = 8,
            MatrixTeraops = 0.3,
            GigamixesPerSecond = 1.5,
        },
    ];
}

/// <summary>One class of hardware.</summary>
internal sealed class HardwareClass
{
    /// <summary>Its name in receipts and on pages.</summary>
    [Required]
    public required string Name { get; set; }

    /// <summary>What the device's name must contain; empty: never matches a device.</summary>
    public string NameContains { get; set; } = string.Empty;

    /// <summary>Memory the device must have at least, 10^9 bytes.</summary>
    public double MinMemoryGigabytes { get; set; }

    /// <summary>What an hour of reference work earns, credits; for models of which a better class would earn less a token, less (<see cref="Benchmarks.PayRate.Of"/>).</summary>
    [Range(0, 1_000_000)]
    public long CreditsPerHour { get; set; }

    /// <summary>Arithmetic, fp16 with fp32 sums, 10^12 operations a second.</summary>
    [Range(0.001, 1_000_000)]
    public double Teraflops { get; set; }

    /// <summary>Memory bandwidth, 10^9 bytes a second.</summary>
    [Range(0.001, 1_000_000)]
    public double GigabytesPerSecond { get; set; }

    /// <summary>Memory of the reference device, 10^9 bytes.</summary>
    [Range(0.1, 1_000_000)]
    public double MemoryGigabytes { get; set; } = 1;

    /// <summary>
    /// What the agent's own matrix kernel attains, 10^12 integer operations a second. Of GPUs: half of their dp4a peak [uncalibrated]; of the CPU: below what two cores attain,
    /// see bench/README.md.
    /// </summary>
    [Range(0.001, 1_000_000)]
    public double MatrixTeraops { get; set; } = 0.3;

    /// <summary>How fast the agent's own kernel fills memory, 10^9 SplitMix64 steps a second: of GPUs, integer operations a second ÷ 24 [uncalibrated].</summary>
    [Range(0.001, 1_000_000)]
    public double GigamixesPerSecond { get; set; } = 1.5;
}

[OptionsValidator]
internal sealed partial class HardwareClassOptionsValidator : IValidateOptions<HardwareClassOptions>;
