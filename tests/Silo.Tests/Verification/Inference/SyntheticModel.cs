using System.Collections.Immutable;
using Federation.Silo.Verification.Inference;

namespace Federation.Silo.Tests.Verification.Inference;

/// <summary>
/// Logits made up, with the shape of a language model's: most places nearly decided, some wide open. A worker runs the same logits bent by
/// noise, or by another temperature; a verifier scores what it wrote.
/// </summary>
internal sealed class SyntheticModel(Random random)
{
    private const int Vocabulary = 48;

    /// <summary>Spread of the logits at a place, from open to decided: honest noise then leaves 98.5 % of greedy tokens the same, as measured on real models (verification.md §2.5).</summary>
    private static readonly double[] Spreads = [2, 3, 4, 6, 8, 12];

    /// <summary>Standard deviation of the honest noise on each logit of either side, nats.</summary>
    public double HonestNoise { get; init; }

    /// <summary>Standard deviation of what a dishonest worker's weights add to each logit, nats.</summary>
    public double Bend { get; init; }

    /// <summary>The worker's temperature over the one it was asked for: below 1 it is surer than it should be.</summary>
    public double Sharpness { get; init; } = 1;

    /// <summary>The worker's log-probabilities are known.</summary>
    public bool WorkerIsKnown { get; init; } = true;

    /// <summary>Mean divergence of the worker's distribution from the verifier's so far, nats per token.</summary>
    public double MeanDivergence => _divergence / Math.Max(1, _tokens);

    private double _divergence;
    private int _tokens;

    public AuditedAnswer Answer(int tokens, Drawing drawing) => Answer(tokens, drawing, scorers: 1)[0];

    /// <summary>One answer as several nodes score it, each with noise of its own.</summary>
    public ImmutableArray<AuditedAnswer> Answer(int tokens, Drawing drawing, int scorers)
    {
        var positions = Enumerable.Range(0, tokens).Select(i => Position(i, drawing, scorers)).ToArray();
        return
        [
            .. Enumerable.Range(0, scorers).Select(scorer => new AuditedAnswer
            {
                Drawing = drawing, Positions = [.. positions.Select(position => position[scorer])], FinishReason = "stop", CompletionTokens = tokens,
            }),
        ];
    }

    private ScoredPosition[] Position(int offset, Drawing drawing, int scorers)
    {
        var spread = Spreads[random.Next(Spreads.Length)];
        var truth = Enumerable.Range(0, Vocabulary).Select(_ => spread * Normal()).ToArray();
        var verifier = Noisy(truth);
        var worker = Normalised([.. truth.Select(logit => (logit + (HonestNoise / Math.Sqrt(2) * Normal()) + (Bend * Normal())) / Sharpness)]);
        _divergence += verifier.Zip(worker, (v, w) => Math.Exp(v) * (v - w)).Sum();
        _tokens++;
        var token = drawing == Drawing.Greedy ? Array.IndexOf(worker, worker.Max()) : Draw(worker);
        return [Scored(offset, token, worker, verifier), .. Enumerable.Range(1, scorers - 1).Select(_ => Scored(offset, token, worker, Noisy(truth)))];
    }

    private double[] Noisy(double[] truth) => Normalised([.. truth.Select(logit => logit + (HonestNoise / Math.Sqrt(2) * Normal()))]);

    private ScoredPosition Scored(int offset, int token, double[] worker, double[] verifier)
    {
        var likelier = verifier.Where(logprob => logprob > verifier[token]).ToArray();
        return new ScoredPosition(
            offset,
            likelier.Length >= 20 ? null : verifier.Max() - verifier[token],
            likelier.Length >= 20 ? null : verifier[token],
            WorkerIsKnown ? worker[token] : null,
            LogprobAtMost: verifier.OrderDescending().ElementAt(19),
            Below: Math.Min(1, likelier.Sum(Math.Exp)),
            Mass: Math.Exp(verifier[token]));
    }

    private int Draw(double[] logprobs)
    {
        var left = random.NextDouble();
        for (var i = 0; i < logprobs.Length - 1; i++)
        {
            left -= Math.Exp(logprobs[i]);
            if (left < 0) return i;
        }

        return logprobs.Length - 1;
    }

    private double Normal() => Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());

    private static double[] Normalised(double[] logits)
    {
        var max = logits.Max();
        var sum = max + Math.Log(logits.Sum(logit => Math.Exp(logit - max)));
        return [.. logits.Select(logit => logit - sum)];
    }
}
