using System.Collections.Immutable;

namespace Federation.NodeAgent.Engines.Builtin.Sampling;

/// <summary>How the next token is chosen.</summary>
internal sealed record SamplingSettings
{
    /// <summary>0 to 2; 0 always takes the likeliest.</summary>
    public double Temperature { get; init; } = 1;

    /// <summary>Only this many of the likeliest; 0: all.</summary>
    public int TopK { get; init; }

    /// <summary>Only the likeliest that together have this probability, above 0 to 1.</summary>
    public double TopP { get; init; } = 1;

    /// <summary>Only those with at least this share of the likeliest one's probability, 0 to 1.</summary>
    public double MinP { get; init; }

    /// <summary>-2 to 2, taken off the logit of each token the answer already has.</summary>
    public double PresencePenalty { get; init; }

    /// <summary>-2 to 2, taken off the logit of each token for each time the answer already has it.</summary>
    public double FrequencyPenalty { get; init; }

    public bool HasPenalties => PresencePenalty != 0 || FrequencyPenalty != 0;
}

/// <summary>What the sampler makes of a token that somebody else chose.</summary>
/// <param name="Choice">The token it finds best, after penalties.</param>
/// <param name="Margin">Nats between that and the token in question.</param>
/// <param name="Below">Probability of drawing a likelier token; null at temperature 0, where nothing is drawn.</param>
/// <param name="Mass">Probability of drawing the token itself; 0 for one that was cut off.</param>
/// <param name="EndMass">Probability of drawing an end token.</param>
internal readonly record struct WeighedToken(int Choice, double Margin, double? Below, double? Mass, double? EndMass);

/// <summary>
/// Chooses the tokens of one answer: penalties, temperature, top-k, top-p, min-p, then a draw. The same seed and logits give the same tokens
/// on every machine and in every version.
/// </summary>
/// <param name="settings">How.</param>
/// <param name="seed">Of the draws.</param>
/// <param name="never">Tokens that are not to be chosen, whatever the model thinks of them.</param>
internal sealed class Sampler(SamplingSettings settings, ulong seed, ImmutableArray<int> never = default)
{
    /// <summary>SplitMix64's, from one draw to the next.</summary>
    private const ulong Step = 0x9E3779B97F4A7C15;

    private readonly Dictionary<int, int> _seen = [];
    private ulong _state = seed;
    private float[] _adjusted = [];
    private double[] _weights = [];
    private int[] _tokens = [];

    /// <exception cref="BrokenModelException">A logit is infinite or not a number.</exception>
    public int Next(ReadOnlySpan<float> logits)
    {
        var adjusted = Adjust(logits);
        var greatest = Logits.Greatest(adjusted);
        var token = settings.Temperature == 0 ? greatest : Draw(adjusted, adjusted[greatest]);
        Note(token);
        return token;
    }

    /// <summary>Takes in what was chosen before, elsewhere: penalties count it, and the draws that it took are not drawn again.</summary>
    public void Resume(IEnumerable<int> chosen)
    {
        foreach (var token in chosen)
        {
            Note(token);
            _state += settings.Temperature > 0 ? Step : 0;
        }
    }

    /// <summary>Weighs a token of an answer that is there already; penalties then count it like one of the sampler's own.</summary>
    /// <exception cref="BrokenModelException">A logit is infinite or not a number.</exception>
    public WeighedToken Weigh(ReadOnlySpan<float> logits, int token, Func<int, bool> isEnd)
    {
        var adjusted = Adjust(logits);
        var greatest = Logits.Greatest(adjusted);
        var weighed = new WeighedToken(greatest, (double)adjusted[greatest] - adjusted[token], null, null, null);
        if (settings.Temperature > 0)
        {
            var kept = Weigh(adjusted, adjusted[greatest]);
            var at = Array.IndexOf(_tokens, token, 0, kept);
            var (sum, below, end) = (0.0, 0.0, 0.0);
            for (var i = 0; i < kept; i++)
            {
                sum += _weights[i];
                end += isEnd(_tokens[i]) ? _weights[i] : 0;
                below += at < 0 || _weights[i] > _weights[at] || (_weights[i] == _weights[at] && _tokens[i] < token) ? _weights[i] : 0;
            }

            weighed = weighed with { Below = below / sum, Mass = at < 0 ? 0 : _weights[at] / sum, EndMass = end / sum };
        }

        Note(token);
        return weighed;
    }

    private void Note(int token)
    {
        if (settings.HasPenalties)
        {
            _seen[token] = _seen.GetValueOrDefault(token) + 1;
        }
    }

    private ReadOnlySpan<float> Adjust(ReadOnlySpan<float> logits)
    {
        if (!settings.HasPenalties && never.IsDefaultOrEmpty)
        {
            return logits;
        }

        Array.Resize(ref _adjusted, logits.Length);
        logits.CopyTo(_adjusted);
        foreach (var (token, times) in _seen)
        {
            _adjusted[token] -= (float)(settings.PresencePenalty + (settings.FrequencyPenalty * times));
        }

        foreach (var token in never.IsDefault ? [] : never)
        {
            // No weight, and still a number.
            _adjusted[token] = float.MinValue;
        }

        return _adjusted;
    }

    private int Draw(ReadOnlySpan<float> logits, double max)
    {
        var kept = Weigh(logits, max);
        var sum = 0.0;
        for (var i = 0; i < kept; i++)
        {
            sum += _weights[i];
        }

        var left = Uniform() * sum;
        for (var i = 0; i < kept - 1; i++)
        {
            left -= _weights[i];
            if (left < 0)
            {
                return _tokens[i];
            }
        }

        // Rounding has left a grain of the sum: the last that has any weight.
        while (kept > 1 && _weights[kept - 1] == 0)
        {
            kept--;
        }

        return _tokens[kept - 1];
    }

    /// <summary>Works out the weights, those of the tokens to draw from at the front, and says how many these are.</summary>
    private int Weigh(ReadOnlySpan<float> logits, double max)
    {
        Array.Resize(ref _weights, logits.Length);
        Array.Resize(ref _tokens, logits.Length);
        for (var i = 0; i < logits.Length; i++)
        {
            _weights[i] = Math.Exp((logits[i] - max) / settings.Temperature);
            _tokens[i] = i;
        }

        return Keep();
    }

    /// <summary>Moves the tokens to draw from to the front, and says how many they are.</summary>
    private int Keep()
    {
        var kept = _weights.Length;
        if (settings is { TopK: 0, TopP: 1, MinP: 0 })
        {
            return kept;
        }

        // Best first, and of equal weights the lower token: an unstable sort must not decide.
        Array.Sort(_weights, _tokens, HeaviestFirst);
        for (var start = 0; start < kept;)
        {
            var end = start + 1;
            while (end < kept && _weights[end] == _weights[start])
            {
                end++;
            }

            Array.Sort(_tokens, start, end - start);
            start = end;
        }

        if (settings.TopK > 0)
        {
            kept = Math.Min(kept, settings.TopK);
        }

        if (settings.TopP < 1)
        {
            var wanted = settings.TopP * _weights.AsSpan(0, kept).ToArray().Sum();
            var have = 0.0;
            for (var i = 0; i < kept; i++)
            {
                have += _weights[i];
                if (have >= wanted)
                {
                    kept = i + 1;
                }
            }
        }

        while (kept > 1 && _weights[kept - 1] < settings.MinP * _weights[0])
        {
            kept--;
        }

        return kept;
    }

    private static readonly Comparer<double> HeaviestFirst = Comparer<double>.Create((a, b) => b.CompareTo(a));

    /// <summary>0 to below 1, by SplitMix64: written out, since the framework's generators may change between versions.</summary>
    private double Uniform()
    {
        _state += Step;
        var z = _state;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return ((z ^ (z >> 31)) >> 11) * (1.0 / (1UL << 53));
    }
}
