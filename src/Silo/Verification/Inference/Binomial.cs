namespace Federation.Silo.Verification.Inference;

/// <summary>How often something happens in n tries.</summary>
internal static class Binomial
{
    /// <summary>The least k such that more than k of <paramref name="tries"/> happen with a chance of at most <paramref name="risk"/>.</summary>
    /// <param name="tries">n.</param>
    /// <param name="rate">Chance of one try, 0 to below 1.</param>
    /// <param name="risk">0 to 1.</param>
    public static int Quantile(int tries, double rate, double risk)
    {
        // P(0), then each from the one before; the logarithm keeps P(0) of a long answer above zero.
        if (rate <= 0) return 0;
        var logChance = tries * Math.Log(1 - rate);
        var step = Math.Log(rate) - Math.Log(1 - rate);
        var sum = Math.Exp(logChance);
        var k = 0;
        while (1 - sum > risk && k < tries)
        {
            k++;
            logChance += Math.Log((double)(tries - k + 1) / k) + step;
            sum += Math.Exp(logChance);
        }

        return k;
    }
}
