using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification.Inference;

/// <summary>When an answer counts as another model's (verification.md §2.5). Every figure is a start value until a pair of determinism classes was calibrated.</summary>
/// <remarks>
/// To be set per pair at the 99.9 % quantile of honest audits (<see cref="InferenceCalibration"/>). The defaults hold for honest noise of up
/// to 0.05 nat on every logit; property P11 measures what they miss.
/// </remarks>
internal sealed class InferenceCheckOptions
{
    public const string SectionName = "InferenceChecks";

    /// <summary>Positions that an audit by probes scores, S. Default 16; of the inference benchmark see <see cref="Benchmarks.BenchmarkOptions.AuditPositions"/>.</summary>
    [Range(1, 64)]
    public int Positions { get; set; } = 16;

    /// <summary>Fewer scored positions than this clear nobody, and accuse only of a greedy token that the model is far from. Default 4 [uncalibrated].</summary>
    [Range(1, 1000)]
    public int PositionsMin { get; set; } = 4;

    /// <summary>A margin counts no more than this, nats; a token outside the listed ones counts as much. Default 5.</summary>
    [Range(0.1, 100)]
    public double MarginClipNats { get; set; } = 5;

    /// <summary>Share of greedy tokens that must be the verifier's own choice. Default 0.95 [uncalibrated].</summary>
    [Range(0.0, 1.0)]
    public double ExactRateMin { get; set; } = 0.95;

    /// <summary>
    /// Share of tokens at which an honest node of the class differs: a short audit is allowed as many as chance gives it, so that one near tie
    /// in 16 positions is not a rate of 0.94. Default 0.02 [uncalibrated].
    /// </summary>
    [Range(0.0, 0.5)]
    public double HonestMismatchRate { get; set; } = 0.02;

    /// <summary>Mean margin of a greedy answer, θ_m, nats. Default 0.01 [uncalibrated].</summary>
    [Range(0.0, 5.0)]
    public double MeanMarginMax { get; set; } = 0.01;

    /// <summary>Margin that is a near tie: allowed at the first divergence, and once in an audit beside <see cref="MeanMarginMax"/>. Default 0.35 nat [uncalibrated].</summary>
    [Range(0.0, 5.0)]
    public double NearTieNats { get; set; } = 0.35;

    /// <summary>Chance that one test accuses an honest answer: of the exact rate, and of the draws' distribution. Default 0.001.</summary>
    [Range(1e-9, 0.5)]
    public double FalseAlarmRate { get; set; } = 1e-3;

    /// <summary>Drawn tokens, pooled over audits of one node and weights, that the distribution test waits for. Default 500.</summary>
    [Range(50, 4096)]
    public int PitTokens { get; set; } = 500;

    /// <summary>
    /// Surprise, in nats, at a drawn answer that went on where the model would have ended: the sum of −ln(1 − P(end)) over all positions.
    /// Default 14, about one honest answer in a million [uncalibrated].
    /// </summary>
    [Range(1.0, 1000.0)]
    public double PassedOverEndNatsMax { get; set; } = 14;

    /// <summary>Least probability of the end at which a drawn answer may have ended. Default 1e-6 [uncalibrated].</summary>
    [Range(0.0, 1.0)]
    public double EndProbabilityMin { get; set; } = 1e-6;

    /// <summary>Tokens claimed beyond the verifier's own count, of the prompt or of the answer, as a share of it; two more are always allowed. Default 0.05 [uncalibrated].</summary>
    [Range(0.0, 1.0)]
    public double TokenCountSlack { get; set; } = 0.05;

    /// <summary>Tokens of a prompt beside those: engines of the same weights put a chat into templates of their own. Default 16 [uncalibrated].</summary>
    [Range(0, 1000)]
    public int TemplateTokens { get; set; } = 16;

    /// <summary>Tokens of an answer that broke off beside those: engines keep back what may become a character or a stop text. Default 16 [uncalibrated].</summary>
    [Range(0, 1000)]
    public int UnsentTokens { get; set; } = 16;

    /// <summary>Least cosine between a vector and what another node with the same weights makes of the same text. Default 0.99 [uncalibrated]: an unrelated one of 100 dimensions or more is below 0.5.</summary>
    [Range(0.0, 1.0)]
    public double EmbeddingCosineMin { get; set; } = 0.99;

    /// <summary>Bytes of weights claimed beyond what the verifier says of the same digest, as a share of it. Default 0.02 [uncalibrated]: engines of a kind say the same to the byte.</summary>
    [Range(0.0, 1.0)]
    public double ModelBytesSlack { get; set; } = 0.02;

    /// <summary>k of the sums: S ← max(0, S + z − k). Default 0.25, for shifts of half a standard deviation.</summary>
    [Range(0.0, 5.0)]
    public double CusumAllowance { get; set; } = 0.25;

    /// <summary>h of the sums. Default 16: an honest node alarms once in some 37 000 audits.</summary>
    [Range(1.0, 1000.0)]
    public double CusumAlarm { get; set; } = 16;

    /// <summary>One audit's z counts no more than this: margins have a long tail, and the alarm must need several audits. Default 3 [uncalibrated].</summary>
    [Range(0.5, 100.0)]
    public double CusumClip { get; set; } = 3;

    /// <summary>
    /// What an arbiter's own scores of the answers behind an alarm must come to, standard deviations of their sum, for it to uphold the alarm (<see cref="AlarmReview"/>). Default 3.09, one honest
    /// series in a thousand [uncalibrated].
    /// </summary>
    [Range(0.5, 100.0)]
    public double AlarmReviewScore { get; set; } = 3.09;

    /// <summary>Fewer answers than this are no series to review; an alarm itself takes no fewer. Default 6.</summary>
    [Range(2, 1000)]
    public int AlarmReviewAuditsMin { get; set; } = 6;

    /// <summary>What honest greedy audits look like. Default: for noise of 0.05 nat [uncalibrated].</summary>
    [ValidateObjectMembers]
    public HonestAudits Greedy { get; set; } = new() { DeltaMean = 0.016, DeltaDeviation = 0.019 };

    /// <summary>The same of drawn answers, whose tokens are less likely and so less certain; margins do not count there. Default as above.</summary>
    [ValidateObjectMembers]
    public HonestAudits Drawn { get; set; } = new() { DeltaMean = 0.022, DeltaDeviation = 0.024 };

    /// <summary>The same values in an object of their own; what honest audits look like is shared.</summary>
    internal InferenceCheckOptions Copy() => (InferenceCheckOptions)MemberwiseClone();
}

/// <summary>What honest audits look like: how far the worker's log-probabilities may lie from the verifier's, and what the sums standardise an audit by.</summary>
internal sealed class HonestAudits
{
    /// <summary>
    /// Most that the median of |worker's − verifier's log-probability| may be, nats. Default 0.04 [uncalibrated]; 0.03, the protocol's start
    /// value, accuses 0.25 % of honest audits of 16 positions at a noise of 0.05 nat.
    /// </summary>
    [Range(0.0, 5.0)]
    public double MedianDeltaMax { get; set; } = 0.04;

    /// <summary>Most that the mean of the same may be, nats. Default 0.10 [uncalibrated].</summary>
    [Range(0.0, 5.0)]
    public double MeanDeltaMax { get; set; } = 0.10;

    /// <summary>Mean of the same over honest tokens.</summary>
    [Range(0.0, 5.0)]
    public double DeltaMean { get; set; }

    /// <summary>Standard deviation of the same, per token.</summary>
    [Range(1e-6, 5.0)]
    public double DeltaDeviation { get; set; } = 0.02;

    /// <summary>Mean margin of honest tokens, nats.</summary>
    [Range(0.0, 5.0)]
    public double MarginMean { get; set; } = 0.0008;

    /// <summary>Standard deviation of the same, per token.</summary>
    [Range(1e-6, 5.0)]
    public double MarginDeviation { get; set; } = 0.008;
}

[OptionsValidator]
internal sealed partial class InferenceCheckOptionsValidator : IValidateOptions<InferenceCheckOptions>;
