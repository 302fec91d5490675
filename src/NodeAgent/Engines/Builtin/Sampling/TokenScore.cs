using System.Collections.Immutable;

namespace Federation.NodeAgent.Engines.Builtin.Sampling;

/// <summary>A token and the natural logarithm of its probability, from the model's own logits: before temperature, penalties and cuts.</summary>
internal readonly record struct TokenChance(int Token, double Logprob);

/// <summary>A token of an answer, and the likeliest tokens at its place, best first.</summary>
internal sealed record TokenScore(int Token, double Logprob, ImmutableArray<TokenChance> Top);

/// <summary>The model's arithmetic gave something that is no number: its weights are damaged.</summary>
internal sealed class BrokenModelException() : Exception("the model's logits are not numbers; its file is damaged");

/// <summary>Scores of a row of logits.</summary>
internal static class Logits
{
    /// <exception cref="BrokenModelException">A logit is infinite or not a number.</exception>
    public static TokenScore Score(ReadOnlySpan<float> logits, int token, int top)
    {
        var normaliser = LogSumOfExponentials(logits);
        return new TokenScore(token, logits[token] - normaliser, Top(logits, top, normaliser));
    }

    /// <summary>The likeliest token; of equal ones the lowest.</summary>
    /// <exception cref="BrokenModelException">A logit is infinite or not a number.</exception>
    public static int Greatest(ReadOnlySpan<float> logits)
    {
        var best = 0;
        var sum = 0f;
        for (var i = 0; i < logits.Length; i++)
        {
            sum += logits[i] * 0f;
            best = logits[i] > logits[best] ? i : best;
        }

        return sum == 0f ? best : throw new BrokenModelException();
    }

    /// <summary>1 for the likeliest token; of equal ones the lower comes first.</summary>
    public static int Rank(ReadOnlySpan<float> logits, int token)
    {
        var rank = 1;
        for (var i = 0; i < logits.Length; i++)
        {
            rank += logits[i] > logits[token] || (logits[i] == logits[token] && i < token) ? 1 : 0;
        }

        return rank;
    }

    private static double LogSumOfExponentials(ReadOnlySpan<float> logits)
    {
        double max = logits[Greatest(logits)];
        var sum = 0.0;
        foreach (var logit in logits)
        {
            sum += Math.Exp(logit - max);
        }

        return max + Math.Log(sum);
    }

    private static ImmutableArray<TokenChance> Top(ReadOnlySpan<float> logits, int count, double normaliser)
    {
        if (count == 0)
        {
            return [];
        }

        // The worst of the best is first out; of equal logits the higher token.
        var best = new PriorityQueue<int, (float Logit, int Order)>(count + 1);
        for (var i = 0; i < logits.Length; i++)
        {
            if (best.Count < count)
            {
                best.Enqueue(i, (logits[i], -i));
            }
            else
            {
                best.EnqueueDequeue(i, (logits[i], -i));
            }
        }

        var top = ImmutableArray.CreateBuilder<TokenChance>(best.Count);
        while (best.TryDequeue(out var token, out var priority))
        {
            top.Add(new TokenChance(token, priority.Logit - normaliser));
        }

        top.Reverse();
        return top.MoveToImmutable();
    }
}
