namespace Federation.Silo.Verification.Inference;

/// <summary>What is summed up over many audits.</summary>
internal enum AuditSum
{
    /// <summary>How far the tokens lie below the verifier's choices; greedy answers only.</summary>
    Margin,

    /// <summary>How far the worker's log-probabilities lie from the verifier's.</summary>
    Delta,
}

/// <summary>A sum over many audits has reached its alarm.</summary>
/// <param name="Sum">Which.</param>
/// <param name="Audits">Audits it rests on, the last one included.</param>
/// <param name="Words">The same in a sentence.</param>
internal sealed record SumAlarm(AuditSum Sum, int Audits, string Words);

/// <summary>
/// What one arbiter finds who has scored anew, and alone, the answers that an alarm rests on. A shift too small to show in one answer shows in all of them
/// together: the mean of n scores has a deviation of 1/√n.
/// </summary>
/// <remarks>
/// With the defaults, on normal scores (property tests of this class): of honest answers that no alarm has picked out, one review in a thousand goes against the node. Those behind an alarm
/// are picked out, and the part of their deviations that is the worker's own comes back in every review. Where it is half of the variance [uncalibrated], both arbiters uphold one chance alarm in
/// forty (one in 1.8 million audits), and of a lasting shift of half a standard deviation two alarms in three; where it is nothing, none of the former and four in ten of the latter. What is not
/// upheld alarms again some sixty audits later.
/// </remarks>
/// <param name="Sum">Which sum alarmed.</param>
/// <param name="Audits">Answers that were scored anew, n.</param>
/// <param name="Score">Sum of their scores over √n: standard deviations from honest ones.</param>
/// <param name="Threshold">What the score must reach for the alarm to be upheld.</param>
/// <param name="Outcome">Upheld, not, or <see cref="InferenceOutcome.Inconclusive"/>: too few.</param>
internal sealed record AlarmReview(AuditSum Sum, int Audits, double Score, double Threshold, InferenceOutcome Outcome)
{
    /// <summary>Reviews an arbiter's own scores.</summary>
    /// <param name="sum">Which sum alarmed.</param>
    /// <param name="scores">Of each answer, in standard deviations of honest ones, clipped as the sum clips them.</param>
    /// <param name="options">The rules.</param>
    public static AlarmReview Of(AuditSum sum, IReadOnlyCollection<double> scores, InferenceCheckOptions options)
    {
        var threshold = ThresholdOf(scores.Count, options);
        var score = scores.Count == 0 ? 0 : scores.Sum() / Math.Sqrt(scores.Count);
        var outcome = scores.Count < options.AlarmReviewAuditsMin ? InferenceOutcome.Inconclusive
            : score >= threshold ? InferenceOutcome.SoftMismatch
            : InferenceOutcome.Ok;
        return new AlarmReview(sum, scores.Count, score, threshold, outcome);
    }

    /// <summary>
    /// As much as chance hardly brings about, and no less than what the sum itself allows: over very many audits even a shift below
    /// <see cref="InferenceCheckOptions.CusumAllowance"/> is certain to be there, and says more about the thresholds' calibration than about the node.
    /// </summary>
    public static double ThresholdOf(int audits, InferenceCheckOptions options) => Math.Max(options.AlarmReviewScore, options.CusumAllowance * Math.Sqrt(audits));
}
