using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification.Standings;

/// <summary>How evidence becomes reputation, an audit rate, and a standing. Defaults are those of the verification protocol, §2.6 and §2.7.</summary>
internal sealed class StandingOptions
{
    public const string SectionName = "Standing";

    /// <summary>
    /// Inference mismatches are decided and recorded but neither forfeit nor quarantine nor ban. Default true: until the thresholds of
    /// inference checks are calibrated, an honest node may differ. Proofs over exact integers and signatures are never in the shadow.
    /// </summary>
    public bool ShadowMode { get; set; } = true;

    /// <summary>λ: what an older audit counts for, compared with the one after it. Default 0.999: a memory of a thousand audits.</summary>
    [Range(0.5, 0.999999)]
    public double Memory { get; set; } = 0.999;

    /// <summary>What a confirmed mismatch adds to b. Default 5.</summary>
    [Range(0, 1_000)]
    public double MismatchWeight { get; set; } = 5;

    /// <summary>What a suspicion that arbiters did not confirm, or an abandoned lease, adds to b. Default 0.2.</summary>
    [Range(0, 1_000)]
    public double SuspicionWeight { get; set; } = 0.2;

    /// <summary>
    /// Passed audits that an answer takes away which kept everybody from auditing it, where others' answers to the same request would not have. A node matures nothing if its share of such answers
    /// is above 1/(1 + this). Default 4 [uncalibrated]: one in five.
    /// </summary>
    [Range(0, 1_000)]
    public int PassesPerEvasion { get; set; } = 4;

    /// <summary>The audit rate p is this many times the error rate ε = b/(a+b). Default 10.</summary>
    [Range(1, 1_000)]
    public double Caution { get; set; } = 10;

    /// <summary>p_min: the least audit rate. Default 0.01, so that κ = p·d·M ≥ 10 holds for a day of work.</summary>
    [Range(0.0001, 1)]
    public double AuditRateMin { get; set; } = 0.01;

    /// <summary>p_min with weights of few peers. Default 0.02.</summary>
    [Range(0.0001, 1)]
    public double SmallClassAuditRateMin { get; set; } = 0.02;

    /// <summary>Weights that fewer nodes than this have are a small class. Default 5.</summary>
    [Range(0, 1_000)]
    public int SmallClassPeers { get; set; } = 5;

    /// <summary>A_m: audits of the same node and weights that must pass after an earning before it matures. Default 10.</summary>
    [Range(1, 1_000)]
    public int AuditsToMature { get; set; } = 10;

    /// <summary>Within this time a light node is to collect <see cref="AuditsToMature"/> audits: its rate is raised until it does. Default 72 h.</summary>
    [Range(typeof(TimeSpan), "01:00:00", "60.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan LightNodeWindow { get; set; } = TimeSpan.FromHours(72);

    /// <summary>Audited units after a confirmed mismatch during which every unit is audited. Default 20; also what clears a quarantine.</summary>
    [Range(0, 10_000)]
    public int UnitsAfterMismatch { get; set; } = 20;

    /// <summary>A second confirmed mismatch within this time of the first bans, if <see cref="MismatchAudits"/> says so too. Default 30 days.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "365.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan MismatchMemory { get; set; } = TimeSpan.FromDays(30);

    /// <summary>
    /// A second confirmed mismatch bans only if fewer audits than this passed since the first. Chance brings mismatches about by audits, not by days, and after the first a node is audited several times as
    /// often as before; by days alone, chance bans twice as many honest nodes. Whoever cheats in one unit of a hundred meets the second within 200 audits in 87 of 100 cases, and each mismatch takes
    /// everything immature and quarantines. Default 200 [uncalibrated].
    /// </summary>
    [Range(1, 1_000_000)]
    public int MismatchAudits { get; set; } = 200;

    /// <summary>Passed audits that end probation. Default 10 [uncalibrated].</summary>
    [Range(0, 10_000)]
    public int AuditsForTrust { get; set; } = 10;

    /// <summary>Passed hardware challenges that end probation. Default 1 [uncalibrated].</summary>
    [Range(0, 1_000)]
    public int ChallengesForTrust { get; set; } = 1;

    /// <summary>
    /// Sittings in a row that a node without work may decline, hang up on, or refuse the benchmark of, before its class lapses: it is paid as the least class until it sits. Default 3
    /// [uncalibrated]. A paused node is not asked.
    /// </summary>
    [Range(1, 1_000)]
    public int DeclinesMax { get; set; } = 3;

    /// <summary>How long a node may be connected, in all, without a sitting that measures it, before its class lapses: also one that is never without work. Default 24 h [uncalibrated].</summary>
    [Range(typeof(TimeSpan), "00:01:00", "365.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan UnmeasuredMax { get; set; } = TimeSpan.FromHours(24);

    /// <summary>The least time a node is on probation. Default 24 h [uncalibrated].</summary>
    [Range(typeof(TimeSpan), "00:00:00", "365.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan ProbationMin { get; set; } = TimeSpan.FromHours(24);
}

[OptionsValidator]
internal sealed partial class StandingOptionsValidator : IValidateOptions<StandingOptions>;
