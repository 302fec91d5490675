using Federation.Protocol.Verification;

namespace Federation.NodeAgent.Engines.Scoring;

/// <summary>A sampler's distribution as far as it follows from the likeliest tokens of the model's.</summary>
/// <param name="Below">Probability of a likelier token than the one in question.</param>
/// <param name="Mass">Probability of the token in question; of all unlisted tokens together where it is one of them.</param>
/// <param name="Shares">Probability of each listed token, 0 for those cut off.</param>
internal sealed record ListedDistribution(double Below, double Mass, double[] Shares)
{
    /// <summary>What the unlisted tokens may be uncertain by, as a share of all, before the whole says nothing.</summary>
    private const double UncertaintyMax = 1e-3;

    public double MassOf(int index) => Shares[index];

    /// <summary>
    /// Null where the distribution does not follow: at temperature 0, with penalties, with cuts whose order beside the temperature differs from
    /// engine to engine, or with too much probability among the unlisted. None of that depends on the token, so leaving such places out
    /// favours no token.
    /// </summary>
    /// <param name="logprobs">Of the listed tokens, best first.</param>
    /// <param name="at">The token in question; below 0 for an unlisted one.</param>
    /// <param name="sampler">How the worker drew.</param>
    public static ListedDistribution? Weigh(double[] logprobs, int at, ScoreSampler sampler)
    {
        if (logprobs.Length == 0 || sampler is { Temperature: 0 } or { PresencePenalty: not 0 } or { FrequencyPenalty: not 0 }
            || (sampler.Temperature != 1 && (sampler.TopP < 1 || sampler.MinP > 0)))
        {
            return null;
        }

        var exponent = 1 / sampler.Temperature;
        var weights = logprobs.Select(logprob => Math.Exp((logprob - logprobs[0]) * exponent)).ToArray();
        var kept = weights.Length;
        var (tailMin, tailMax) = Tail(logprobs, exponent);
        if (sampler.TopK > 0)
        {
            (kept, tailMin, tailMax) = sampler.TopK <= kept ? (sampler.TopK, 0, 0) : (kept, 0, tailMax);
        }

        var sum = weights.Take(kept).Sum();
        if (sampler.TopP < 1)
        {
            var (least, most) = (Nucleus(weights, kept, sampler.TopP * (sum + tailMin)), Nucleus(weights, kept, sampler.TopP * (sum + tailMax)));
            if (least != most || most > kept) return null;
            (kept, tailMin, tailMax) = (most, 0, 0);
        }

        if (sampler.MinP > 0)
        {
            var strong = weights.Take(kept).Count(weight => weight >= sampler.MinP);
            (kept, tailMin, tailMax) = strong < kept || weights[^1] < sampler.MinP ? (strong, 0, 0) : (kept, 0, tailMax);
        }

        sum = weights.Take(kept).Sum();
        if (tailMax - tailMin > UncertaintyMax * (sum + tailMin)) return null;
        var tail = (tailMin + tailMax) / 2;
        var all = sum + tail;
        var shares = weights.Select((weight, i) => i < kept ? weight / all : 0).ToArray();
        return at >= 0 && at < kept ? new ListedDistribution(shares.Take(at).Sum(), shares[at], shares)
            : at >= 0 ? new ListedDistribution(1, 0, shares)
            : new ListedDistribution(sum / all, tail / all, shares);
    }

    /// <summary>Bounds of the unlisted tokens' weight, in units of the likeliest one's: each is no likelier than the last listed.</summary>
    private static (double Min, double Max) Tail(double[] logprobs, double exponent)
    {
        var rest = Math.Max(0, 1 - logprobs.Sum(Math.Exp));
        if (exponent == 1)
        {
            return (rest / Math.Exp(logprobs[0]), rest / Math.Exp(logprobs[0]));
        }

        // Σ p^e = Σ p·p^(e-1) ≤ rest · p_last^(e-1) where e > 1; where e < 1 many tiny ones weigh without bound.
        return exponent > 1 ? (0, rest * Math.Exp(((exponent - 1) * logprobs[^1]) - (exponent * logprobs[0]))) : (0, rest < 1e-9 ? 0 : double.PositiveInfinity);
    }

    /// <summary>How many of the likeliest have a weight together; one more than there are when they have not.</summary>
    private static int Nucleus(double[] weights, int kept, double wanted)
    {
        var have = 0.0;
        for (var i = 0; i < kept; i++)
        {
            have += weights[i];
            if (have >= wanted) return i + 1;
        }

        return kept + 1;
    }
}
