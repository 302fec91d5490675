using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification.Accrual;

/// <summary>When work is credited, how much of it, and when credits mature. Defaults are those of the verification protocol, §2.6.</summary>
internal sealed class AccrualOptions
{
    public const string SectionName = "Accrual";

    /// <summary>The least time between crediting and maturing. Default 24 h.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "365.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan MaturityAge { get; set; } = TimeSpan.FromHours(24);

    /// <summary>The same with weights that few nodes have, see <see cref="Standings.StandingOptions.SmallClassPeers"/>. Default 72 h.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "365.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan SmallClassMaturityAge { get; set; } = TimeSpan.FromHours(72);

    /// <summary>How long a node is new. Default 7 days.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "365.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan NewNodeAge { get; set; } = TimeSpan.FromDays(7);

    /// <summary>The least time between crediting and maturing of what a new node earns. Default 7 days.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "365.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan NewNodeMaturityAge { get; set; } = TimeSpan.FromDays(7);

    /// <summary>
    /// How much faster than its class's reference a device may be: it is paid for at most this many reference hours an hour, and a
    /// receipt that claims more of its own time is audited always. Default 1.35.
    /// </summary>
    [Range(1, 100)]
    public double SpeedMax { get; set; } = 1.35;

    /// <summary>
    /// Tokens are paid up to this many times what as many bytes have at the median of other accounts' trusted nodes with the model. Texts differ: digits have half the bytes of prose. Default 2
    /// [uncalibrated].
    /// </summary>
    [Range(1, 100)]
    public double TokenFactor { get; set; } = 2;

    /// <summary>Other accounts whose trusted nodes must have answered with a model before its tokens are bounded by theirs. Default 3 [uncalibrated]: one or two could make the others' tokens dear.</summary>
    [Range(1, 1_000)]
    public int TokenAccounts { get; set; } = 3;

    /// <summary>Tokens of an account, of prompts or of answers, before it counts. Default 2 000 [uncalibrated].</summary>
    [Range(1, 1_000_000)]
    public int TokenSampleMin { get; set; } = 2_000;

    /// <summary>Two intervals of work overlap only if they share more than this: the clocks of two silos differ. Default 250 ms [uncalibrated].</summary>
    [Range(typeof(TimeSpan), "00:00:00", "00:01:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan OverlapTolerance { get; set; } = TimeSpan.FromMilliseconds(250);

    /// <summary>How long an interval of work is remembered to see whether later ones overlap it. Default 2 h; no lease is longer.</summary>
    [Range(typeof(TimeSpan), "00:01:00", "2.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan IntervalMemory { get; set; } = TimeSpan.FromHours(2);

    /// <summary>The hub's share of what a client pays; a node is paid at most the rest. Default 0.05.</summary>
    [Range(0, 1)]
    public double FeeShare { get; set; } = 0.05;

    /// <summary>σ: what an hour of standby earns of an hour of work. Default 0.1.</summary>
    [Range(0, 1)]
    public double StandbyShare { get; set; } = 0.1;

    /// <summary>λ: standby probes an hour, on average, at moments nobody can foresee. Default 6.</summary>
    [Range(0.01, 3_600)]
    public double ProbesPerHour { get; set; } = 6;

    /// <summary>1/λ: the mean time between two standby probes.</summary>
    public TimeSpan MeanProbeWait => TimeSpan.FromHours(1) / ProbesPerHour;

    /// <summary>How often the hub looks for nodes whose earnings are due. Default 1 min.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "1.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan LookPeriod { get; set; } = TimeSpan.FromMinutes(1);

    /// <summary>Nodes that one look settles at most; the others wait for the next. Default 1 000.</summary>
    [Range(1, 100_000)]
    public int NodesPerLook { get; set; } = 1_000;

    /// <summary>After a probe without answer the one retry comes so much later. Default 10 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "01:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan ProbeRetry { get; set; } = TimeSpan.FromSeconds(10);
}

[OptionsValidator]
internal sealed partial class AccrualOptionsValidator : IValidateOptions<AccrualOptions>;
