using Federation.Silo.Verification.Inference;

namespace Federation.Simulation;

/// <summary>How long the hub's sum over many audits takes to alarm, on normal scores, and what arbiters make of it.</summary>
/// <param name="Shift">Of every audit, standard deviations; 0 for an honest node.</param>
/// <param name="Shared">Share of a score's variance that is the worker's own.</param>
/// <param name="Audits">Mean audits until an alarm.</param>
/// <param name="Upheld">Share of alarms that both arbiters uphold.</param>
internal sealed record CusumStudy(double Shift, double Shared, double Audits, double Upheld)
{
    /// <summary>Runs until so many alarms.</summary>
    public static CusumStudy Run(double shift, double shared, int alarms, Draws draws)
    {
        var options = new InferenceCheckOptions();
        double Score(double own) => Math.Clamp(own + (Math.Sqrt(1 - shared) * draws.Normal()), -options.CusumClip, options.CusumClip);
        var (audits, upheld) = (0L, 0);
        var behind = new List<double>();
        for (var i = 0; i < alarms; i++)
        {
            behind.Clear();
            for (var sum = Cusum.Zero; sum.Sum < options.CusumAlarm; audits++)
            {
                var own = shift + (Math.Sqrt(shared) * draws.Normal());
                sum = sum.Add(Score(own), options.CusumAllowance);
                if (sum.Audits == 0) behind.Clear();
                else behind.Add(own);
            }

            bool Upholds() => AlarmReview.Of(AuditSum.Margin, [.. behind.Select(Score)], options).Outcome is InferenceOutcome.SoftMismatch;
            if (Upholds() && Upholds()) upheld++;
        }

        return new CusumStudy(shift, shared, (double)audits / alarms, (double)upheld / alarms);
    }
}
