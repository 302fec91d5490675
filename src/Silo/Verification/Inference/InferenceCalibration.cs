namespace Federation.Silo.Verification.Inference;

/// <summary>Sets the thresholds of a pair of determinism classes from audits of nodes known to be honest (verification.md §2.5).</summary>
internal static class InferenceCalibration
{
    /// <summary>Audits below which the quantile is a guess.</summary>
    public const int AuditsMin = 2000;

    /// <summary>Share of honest audits that stay below a threshold.</summary>
    public const double Quantile = 0.999;

    /// <summary>Thresholds lie so many times above the quantile: there are five of them, and each may accuse.</summary>
    public const double Headroom = 2;

    /// <summary>Nothing measured is so even that a deviation could be left out: the worker's numbers are rounded to thousandths.</summary>
    private const double Floor = 5e-4;

    /// <summary>
    /// The first divergence is one token, and most honest audits of a quiet class have none: their quantile says nothing of the few near ties there
    /// are. With twice the quantile (0.004 nat), 7 of 1000 further honest audits with the demo model were accused.
    /// </summary>
    private const double NearTieFloor = 0.05;

    /// <summary>Thresholds above the honest quantile, and what the sums standardise by, from audits of about equal length; everything else as in <paramref name="start"/>.</summary>
    /// <param name="greedy">Figures of greedy audits; at least one.</param>
    /// <param name="drawn">Figures of drawn audits.</param>
    /// <param name="start">Start values.</param>
    public static InferenceCheckOptions Calibrate(IReadOnlyList<InferenceFigures> greedy, IReadOnlyList<InferenceFigures> drawn, InferenceCheckOptions start)
    {
        var calibrated = start.Copy();
        calibrated.HonestMismatchRate = Headroom * greedy.Sum(figures => (double)figures.Mismatches) / greedy.Sum(figures => figures.Scored);
        calibrated.ExactRateMin = 1 - Threshold(greedy, figures => 1 - figures.ExactRate);
        calibrated.NearTieNats = Math.Max(Threshold(greedy, figures => figures.FirstDivergenceMargin), NearTieFloor);

        // One near tie is allowed beside the mean, so it is not allowed in it again.
        calibrated.MeanMarginMax = Math.Max(Threshold(greedy, figures => figures.MeanMargin - (calibrated.NearTieNats / figures.Scored)), Floor);
        calibrated.Greedy = Honest(greedy, start.Greedy);
        calibrated.Drawn = Honest(drawn, start.Drawn);
        return calibrated;
    }

    private static HonestAudits Honest(IReadOnlyList<InferenceFigures> audits, HonestAudits start)
    {
        var margins = audits.Where(figures => figures.MeanMargin is not null).Select(figures => (figures.MeanMargin!.Value, figures.Scored)).ToArray();
        var deltas = audits.Where(figures => figures.MeanDelta is not null).Select(figures => (figures.MeanDelta!.Value, figures.Compared)).ToArray();
        return new HonestAudits
        {
            MedianDeltaMax = deltas.Length == 0 ? start.MedianDeltaMax : Math.Max(Threshold(audits, figures => figures.MedianDelta), Floor),
            MeanDeltaMax = deltas.Length == 0 ? start.MeanDeltaMax : Math.Max(Threshold(audits, figures => figures.MeanDelta), Floor),
            DeltaMean = deltas.Length == 0 ? start.DeltaMean : deltas.Average(audit => audit.Item1),
            DeltaDeviation = deltas.Length == 0 ? start.DeltaDeviation : Deviation(deltas),
            MarginMean = margins.Length == 0 ? start.MarginMean : margins.Average(audit => audit.Item1),
            MarginDeviation = margins.Length == 0 ? start.MarginDeviation : Deviation(margins),
        };
    }

    /// <summary>Twice what the quantile of audits stays at or below; an audit without the value counts as 0.</summary>
    private static double Threshold(IReadOnlyList<InferenceFigures> audits, Func<InferenceFigures, double?> value)
    {
        var values = audits.Select(figures => value(figures) ?? 0).Order().ToArray();
        return Headroom * values[Math.Clamp((int)Math.Ceiling(Quantile * values.Length) - 1, 0, values.Length - 1)];
    }

    /// <summary>Per token, from the spread of the audits' means.</summary>
    private static double Deviation((double Mean, int Tokens)[] audits)
    {
        var mean = audits.Average(audit => audit.Mean);
        return Math.Max(Floor, Math.Sqrt(audits.Average(audit => (audit.Mean - mean) * (audit.Mean - mean) * audit.Tokens)));
    }
}
