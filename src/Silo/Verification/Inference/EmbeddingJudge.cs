using System.Collections.Immutable;
using System.Globalization;

namespace Federation.Silo.Verification.Inference;

/// <summary>What a worker's vectors come to beside another node's.</summary>
/// <param name="Outcome">Never inconclusive: who compares has vectors of his own.</param>
/// <param name="Reasons">One sentence for each test that the answer failed.</param>
/// <param name="Vectors">Vectors the verifier made.</param>
/// <param name="Dimensions">Of each of them.</param>
/// <param name="CosineMin">Of all pairs the least; <see langword="null"/> where they could not be paired.</param>
/// <param name="PromptTokensCounted">The verifier's count; <see langword="null"/> where it did not tell.</param>
internal sealed record EmbeddingVerdict(InferenceOutcome Outcome, ImmutableArray<string> Reasons, int Vectors, int Dimensions, double? CosineMin, int? PromptTokensCounted);

/// <summary>
/// Decides whether vectors are the model's, by those that another node with the same weights made of the same texts: they point the same way, there are as many, and no more tokens are claimed. Lengths are not compared, since engines
/// differ in whether they make them 1. Pure.
/// </summary>
internal static class EmbeddingJudge
{
    /// <summary>Compares.</summary>
    /// <param name="worker">The answer; <see langword="null"/> when it holds no vectors that can be read.</param>
    /// <param name="promptTokens">Tokens the worker claims for the texts.</param>
    /// <param name="completionTokens">Tokens the worker claims for its answer, which has none.</param>
    /// <param name="verifier">The other node's.</param>
    /// <param name="options">The thresholds.</param>
    public static EmbeddingVerdict Judge(EmbeddingAnswer? worker, long promptTokens, long completionTokens, EmbeddingAnswer verifier, InferenceCheckOptions options)
    {
        var reasons = ImmutableArray.CreateBuilder<string>();
        double? least = null;
        if (worker is null) reasons.Add("The answer holds no vectors that can be read.");
        else if (worker.Vectors.Length != verifier.Vectors.Length) reasons.Add(Text($"The answer has {worker.Vectors.Length} vectors; the request has {verifier.Vectors.Length} texts."));
        else if (worker.Vectors.Zip(verifier.Vectors).Any(static pair => pair.First.Length != pair.Second.Length)) reasons.Add(Text($"The answer's vectors have other dimensions than the model's, which have {verifier.Vectors[0].Length}."));
        else
        {
            var cosines = worker.Vectors.Zip(verifier.Vectors, Cosine).ToArray();
            least = cosines.Min();
            var apart = cosines.Count(cosine => cosine < options.EmbeddingCosineMin);
            if (apart > 0) reasons.Add(Text($"{apart} of {cosines.Length} vectors point elsewhere than the model's: the cosine is down to {least:0.0000}, at least {options.EmbeddingCosineMin:0.0000} is honest."));
        }
        if (verifier.PromptTokens is { } counted && promptTokens > (counted * (1 + options.TokenCountSlack)) + options.TemplateTokens)
            reasons.Add(Text($"The node claims {promptTokens} tokens of prompt; it has {counted}."));
        if (completionTokens > 0) reasons.Add(Text($"The node claims {completionTokens} tokens of an answer; vectors have none."));
        return new EmbeddingVerdict(reasons.Count > 0 ? InferenceOutcome.SoftMismatch : InferenceOutcome.Ok, reasons.ToImmutable(), verifier.Vectors.Length, verifier.Vectors[0].Length, least, verifier.PromptTokens);
    }

    /// <summary>Of the angle between two vectors; 1 between two without a length, 0 where one has none.</summary>
    private static double Cosine(ImmutableArray<float> a, ImmutableArray<float> b)
    {
        double product = 0, ofA = 0, ofB = 0;
        for (var i = 0; i < a.Length; i++)
        {
            product += (double)a[i] * b[i];
            ofA += (double)a[i] * a[i];
            ofB += (double)b[i] * b[i];
        }
        if (ofA == 0 || ofB == 0) return ofA == ofB ? 1 : 0;
        return product / (Math.Sqrt(ofA) * Math.Sqrt(ofB));
    }

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
