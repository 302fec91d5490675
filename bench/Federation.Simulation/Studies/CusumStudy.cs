using Federation.Silo.Verification.Inference;

namespace Federation.Simulation;

/// <summary>How long the hub's sum over many audits takes to alarm, on normal scores.</summary>
internal static class CusumStudy
{
    /// <summary>Mean audits until an alarm.</summary>
    /// <param name="shift">Of every audit, standard deviations; 0 for an honest node.</param>
    /// <param name="alarms">Alarms to wait for.</param>
    /// <param name="draws">Chance.</param>
    public static double MeanAudits(double shift, int alarms, Draws draws)
    {
        var options = new InferenceCheckOptions();
        var audits = 0L;
        for (var i = 0; i < alarms; i++)
        {
            for (var sum = Cusum.Zero; sum.Sum < options.CusumAlarm; audits++)
            {
                sum = sum.Add(Math.Clamp(shift + draws.Normal(), -options.CusumClip, options.CusumClip), options.CusumAllowance);
            }
        }

        return (double)audits / alarms;
    }
}
