namespace Federation.Silo.Verification.Inference;

/// <summary>Sets the thresholds of a pair of determinism classes from audits of nodes known to be honest (verification.md §2.5).</summary>
internal static class InferenceCalibration
{
    /// <summary>Audits below which the quantile is a guess.</summary>
    public const int AuditsMin = 2000;

    /// <summary>Share of honest audits that stay below a threshold.</summary>
    public const double Quantile = 0.999;

    /// <summary>Nothing measured is so even that a deviation could be left out: the worker's numbers are rounded to thousandths.</summary>
    private const double Floor = 5e-4;

    /// <summary>Thresholds at the honest quantile, and the baseline of the sums, from audits of about equal length; everything else as in <paramref name="start"/>.</summary>
    /// <param name="honest">Figures of greedy audits whose worker's log-probabilities were known.</param>
    /// <param name="start">Start values.</param>
    public static InferenceCheckOptions Calibrate(IReadOnlyList<InferenceFigures> honest, InferenceCheckOptions start)
    {
        var margins = honest.Where(figures => figures.MeanMargin is not null).ToArray();
        var deltas = honest.Where(figures => figures.MeanDelta is not null).ToArray();
        var firsts = honest.Select(figures => figures.FirstDivergenceMargin ?? 0).ToArray();
        var calibrated = start.Copy();
        if (margins.Length == 0) return calibrated;
        calibrated.HonestMismatchRate = margins.Sum(figures => (double)figures.Mismatches) / Math.Max(1, margins.Sum(figures => figures.Scored));
        calibrated.NearTieNats = Math.Max(At(firsts), Floor);
        calibrated.MeanMarginMax = Math.Max(At([.. margins.Select(figures => figures.MeanMargin!.Value - (calibrated.NearTieNats / figures.Scored))]), Floor);
        // An exact rate at the quantile: of honest audits the one with most differences but for one in a thousand.
        calibrated.ExactRateMin = 1 - At([.. margins.Select(figures => 1 - figures.ExactRate!.Value)]);
        calibrated.Baseline = new HonestBaseline
        {
            MarginMean = margins.Average(figures => figures.MeanMargin!.Value),
            MarginDeviation = Deviation([.. margins.Select(figures => (figures.MeanMargin!.Value, figures.Scored))]),
        };
        if (deltas.Length == 0) return calibrated;
        calibrated.MedianDeltaMax = Math.Max(At([.. deltas.Select(figures => figures.MedianDelta!.Value)]), Floor);
        calibrated.MeanDeltaMax = Math.Max(At([.. deltas.Select(figures => figures.MeanDelta!.Value)]), Floor);
        calibrated.Baseline.DeltaMean = deltas.Average(figures => figures.MeanDelta!.Value);
        calibrated.Baseline.DeltaDeviation = Deviation([.. deltas.Select(figures => (figures.MeanDelta!.Value, figures.Compared))]);
        return calibrated;
    }

    private static double At(double[] values)
    {
        Array.Sort(values);
        return values[Math.Clamp((int)Math.Ceiling(Quantile * values.Length) - 1, 0, values.Length - 1)];
    }

    /// <summary>Per token, from the spread of the audits' means.</summary>
    private static double Deviation((double Mean, int Tokens)[] audits)
    {
        var mean = audits.Average(audit => audit.Mean);
        return Math.Max(Floor, Math.Sqrt(audits.Average(audit => (audit.Mean - mean) * (audit.Mean - mean) * audit.Tokens)));
    }
}
