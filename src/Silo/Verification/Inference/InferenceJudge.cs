using System.Collections.Immutable;
using System.Globalization;

namespace Federation.Silo.Verification.Inference;

/// <summary>
/// Decides whether an answer is the model's (verification.md §2.5): the margin test for greedy answers, the distribution test for drawn
/// ones, the comparison with the worker's own log-probabilities, the end, the token count, and the sums over many audits.
/// </summary>
/// <remarks>Pure. A mismatch is soft whatever its size: only arbiters confirm one.</remarks>
internal sealed class InferenceJudge(InferenceCheckOptions options)
{
    /// <summary>A character that was cut, and what comes with it. Whoever writes one in the midst of an answer is not cleared by what stands before it.</summary>
    internal const int UnreadBytesMax = 64;

    /// <summary>Judges one answer and gives what is to be remembered of the node.</summary>
    /// <param name="answer">The answer as scored.</param>
    /// <param name="history">Of the node with these weights.</param>
    /// <param name="random">Places draws within their token's probability; seeded by the audit, so that anybody repeats the verdict.</param>
    public (InferenceVerdict Verdict, InferenceHistory History) Judge(AuditedAnswer answer, InferenceHistory history, Random random)
    {
        var counted = answer.Positions.Where(position => position.Skip == SkipReason.None).ToImmutableArray();
        var figures = new InferenceFigures
        {
            Scored = counted.Length,
            Skipped = answer.Positions.Where(position => position.Skip != SkipReason.None)
                .GroupBy(position => position.Skip).ToImmutableSortedDictionary(group => group.Key, group => group.Count()),
            MarginSum = history.Margin.Sum,
            DeltaSum = history.Delta.Sum,
        };
        var reasons = new List<string>();
        var alarms = ImmutableArray.CreateBuilder<SumAlarm>();
        CheckCounts(answer, reasons);
        CheckLength(answer, reasons);
        if (counted.Length < options.PositionsMin)
        {
            // Too few for rates and sums. One token far from the model's choice needs no company, or a node that says the same short thing to everything would never be found out.
            if (answer.Drawing == Drawing.Greedy)
            {
                figures = figures with { FirstDivergenceMargin = FirstDivergence(Margins(counted)) };
                CheckDivergence(figures.FirstDivergenceMargin, reasons);
                figures = CheckEnd(answer.Drawing, counted, figures, reasons);
            }

            return reasons.Count > 0
                ? (new InferenceVerdict(InferenceOutcome.SoftMismatch, [.. reasons], figures, []), history)
                : (new InferenceVerdict(InferenceOutcome.Inconclusive, [Text($"Only {counted.Length} positions could be scored; a verdict needs {options.PositionsMin}.")], figures, []), history);
        }

        if (answer.Drawing == Drawing.Greedy) (figures, history) = CheckMargins(counted, figures, history, reasons, alarms);
        if (answer.Drawing == Drawing.Sampled) (figures, history) = CheckDraws(counted, figures, history, random, reasons);
        (figures, history) = CheckDeltas(counted, answer.Drawing == Drawing.Sampled ? options.Drawn : options.Greedy, figures, history, reasons, alarms);
        figures = CheckEnd(answer.Drawing, counted, figures, reasons);
        var isFine = reasons.Count == 0 && alarms.Count == 0;
        if (isFine && answer.UnreadBytes > UnreadBytesMax)
            return (new InferenceVerdict(InferenceOutcome.Inconclusive, [Text($"The last {answer.UnreadBytes} bytes could not be read: a replaced character stands before them.")], figures, []), history);
        return (new InferenceVerdict(isFine ? InferenceOutcome.Ok : InferenceOutcome.SoftMismatch, [.. reasons], figures, alarms.ToImmutable()), history);
    }

    private (InferenceFigures, InferenceHistory) CheckMargins(
        ImmutableArray<ScoredPosition> counted, InferenceFigures figures, InferenceHistory history, List<string> reasons, ImmutableArray<SumAlarm>.Builder alarms)
    {
        var margins = Margins(counted);
        var mismatches = margins.Count(margin => margin > 0);
        var allowed = Math.Max(
            (int)(counted.Length * (1 - options.ExactRateMin)),
            Binomial.Quantile(counted.Length, options.HonestMismatchRate, options.FalseAlarmRate));
        var mean = margins.Average();
        var first = FirstDivergence(margins);
        var (score, sum) = Add(history.Margin, mean, counted.Length, options.Greedy.MarginMean, options.Greedy.MarginDeviation);
        if (mismatches > allowed)
        {
            reasons.Add(Text($"{mismatches} of {counted.Length} tokens are not what the model would have chosen; at most {allowed} happen to an honest node."));
        }

        var meanMax = options.MeanMarginMax + (options.NearTieNats / counted.Length);
        if (mean > meanMax)
        {
            reasons.Add(Text($"The tokens lie {mean:0.0000} nat below the model's own choices on average; at most {meanMax:0.0000} is honest."));
        }

        CheckDivergence(first, reasons);

        if (sum.Sum >= options.CusumAlarm)
        {
            alarms.Add(Alarm(AuditSum.Margin, sum, "the tokens lay further below the model's choices than an honest node's do"));
        }

        return (figures with
        {
            ExactRate = 1 - ((double)mismatches / counted.Length),
            Mismatches = mismatches,
            MismatchesAllowed = allowed,
            MeanMargin = mean,
            FirstDivergenceMargin = first,
            MarginScore = score,
            MarginSum = sum.Sum,
        }, history with { Margin = AfterAlarm(sum) });
    }

    private double[] Margins(ImmutableArray<ScoredPosition> counted) => [.. counted.Select(position => Math.Min(position.Margin ?? options.MarginClipNats, options.MarginClipNats))];

    /// <summary>A log-probability carries a rounding of a thousandth or less; a tie is no difference.</summary>
    private static double? FirstDivergence(double[] margins) => margins.FirstOrDefault(margin => margin > 0) is > 0 and var margin ? margin : null;

    private void CheckDivergence(double? first, List<string> reasons)
    {
        if (first > options.NearTieNats)
        {
            reasons.Add(Text($"Where the answer first differs from the model's choice it is no near tie: {first:0.000} nat apart, at most {options.NearTieNats:0.000}."));
        }
    }

    private (InferenceFigures, InferenceHistory) CheckDeltas(
        ImmutableArray<ScoredPosition> counted, HonestAudits honest, InferenceFigures figures, InferenceHistory history, List<string> reasons, ImmutableArray<SumAlarm>.Builder alarms)
    {
        var deltas = counted.Select(position => position.Delta).OfType<double>().Select(delta => Math.Min(delta, options.MarginClipNats)).Order().ToArray();
        if (deltas.Length < options.PositionsMin) return (figures with { Compared = deltas.Length }, history);

        var mean = deltas.Average();
        var median = (deltas[(deltas.Length - 1) / 2] + deltas[deltas.Length / 2]) / 2;
        var (score, sum) = Add(history.Delta, mean, deltas.Length, honest.DeltaMean, honest.DeltaDeviation);
        if (median > honest.MedianDeltaMax)
        {
            reasons.Add(Text($"The node's own log-probabilities differ from the model's by {median:0.000} nat in the median; at most {honest.MedianDeltaMax:0.000} is honest."));
        }

        if (mean > honest.MeanDeltaMax)
        {
            reasons.Add(Text($"The node's own log-probabilities differ from the model's by {mean:0.000} nat on average; at most {honest.MeanDeltaMax:0.000} is honest."));
        }

        if (sum.Sum >= options.CusumAlarm)
        {
            alarms.Add(Alarm(AuditSum.Delta, sum, "the node's log-probabilities lay further from the model's than an honest node's do"));
        }

        return (figures with { Compared = deltas.Length, MeanDelta = mean, MedianDelta = median, DeltaScore = score, DeltaSum = sum.Sum }, history with { Delta = AfterAlarm(sum) });
    }

    private (InferenceFigures, InferenceHistory) CheckDraws(
        ImmutableArray<ScoredPosition> counted, InferenceFigures figures, InferenceHistory history, Random random, List<string> reasons)
    {
        var places = counted.Where(position => position is { Below: not null, Mass: not null })
            .Select(position => PitPool.Place(position.Below!.Value, position.Mass!.Value, random.NextDouble()));
        var (rest, test) = history.Draws.Add(places).TestWhenFull(options.PitTokens);
        if (test is not { } pit) return (figures, history with { Draws = rest });

        if (pit.Chance < options.FalseAlarmRate)
        {
            reasons.Add(Text($"{pit.Count} drawn tokens do not follow the model's probabilities: distance {pit.Distance:0.000}, of which an honest node has a chance of {pit.Chance:0.0E+0}."));
        }

        return (figures with { PitTokens = pit.Count, PitDistance = pit.Distance, PitChance = pit.Chance }, history with { Draws = rest });
    }

    private InferenceFigures CheckEnd(Drawing drawing, ImmutableArray<ScoredPosition> counted, InferenceFigures figures, List<string> reasons)
    {
        if (drawing == Drawing.Greedy)
        {
            var passed = counted.FirstOrDefault(position => position is { IsEnd: false, LikeliestIsEnd: true } && (position.Margin ?? options.MarginClipNats) > options.NearTieNats);
            if (passed is not null) reasons.Add(Text($"The model would have ended at byte {passed.Offset}; the answer went on."));
            var end = counted.FirstOrDefault(position => position.IsEnd && (position.Margin ?? options.MarginClipNats) > options.NearTieNats);
            if (end is not null) reasons.Add(Text($"The answer ends where the model would have gone on, at byte {end.Offset}."));
            return figures;
        }

        if (drawing != Drawing.Sampled) return figures;
        var surprise = counted.Where(position => position is { IsEnd: false, EndMass: not null }).Sum(position => -Math.Log(Math.Max(1e-12, 1 - position.EndMass!.Value)));
        if (surprise > options.PassedOverEndNatsMax)
        {
            reasons.Add(Text($"The answer goes on where the model would have ended; the chance of that is e^-{surprise:0.0}."));
        }

        if (counted.FirstOrDefault(position => position.IsEnd && position.EndMass < options.EndProbabilityMin) is { } early)
        {
            reasons.Add(Text($"The answer ends where the model ends with a chance of {early.EndMass:0.0E+0}, at byte {early.Offset}."));
        }

        return figures with { PassedOverEndNats = surprise };
    }

    /// <summary>An answer may end by the model, by its limit or by a full context; only the first needs the model's word.</summary>
    private static void CheckLength(AuditedAnswer answer, List<string> reasons)
    {
        if (answer.FinishReason != "length") return;
        var contextIsFull = answer is { PromptTokensCounted: { } prompt, ContextTokens: { } context } && prompt + answer.CompletionTokens >= context;
        var contextIsUnknown = answer.PromptTokensCounted is null || answer.ContextTokens is null;
        if (answer.CompletionTokensMax is { } max ? answer.CompletionTokens < max && !contextIsFull && !contextIsUnknown : !contextIsFull && !contextIsUnknown)
        {
            reasons.Add(Text($"The answer claims to have reached its limit with {answer.CompletionTokens} tokens; neither the request's limit nor the model's context was reached."));
        }
    }

    /// <summary>Tokens and the size of the weights are paid for; of tokens the hub itself knows only that they are no more than the bytes, of the size nothing.</summary>
    private void CheckCounts(AuditedAnswer answer, List<string> reasons)
    {
        if (answer.PromptTokensCounted is { } prompt && answer.PromptTokens > Most(prompt) + options.TemplateTokens)
        {
            reasons.Add(Text($"The node claims {answer.PromptTokens} tokens of prompt; it has {prompt}."));
        }

        if (answer.CompletionTokensCounted is { } counted && answer.CompletionTokens > Most(counted) + (answer.IsWhole ? 0 : options.UnsentTokens))
        {
            reasons.Add(Text($"The node claims {answer.CompletionTokens} tokens; the text has {counted}."));
        }

        if (answer.ModelBytesCounted is { } bytes && answer.ModelBytes > bytes * (1 + options.ModelBytesSlack))
        {
            reasons.Add(Text($"The node claims {answer.ModelBytes} bytes of weights; the same weights have {bytes}."));
        }

        double Most(int tokens) => tokens + (tokens * options.TokenCountSlack) + 2;
    }

    private (double Score, Cusum Sum) Add(Cusum sum, double mean, int tokens, double honestMean, double honestDeviation)
    {
        var z = Math.Clamp((mean - honestMean) / (honestDeviation / Math.Sqrt(tokens)), -options.CusumClip, options.CusumClip);
        return (z, sum.Add(z, options.CusumAllowance));
    }

    private SumAlarm Alarm(AuditSum which, Cusum sum, string what) => new(which, sum.Audits, Text($"Over the last {sum.Audits} audits {what}: sum {sum.Sum:0.0}, alarm at {options.CusumAlarm:0.0}."));

    /// <summary>An alarm is told once; arbiters look into it while the sum begins anew.</summary>
    private Cusum AfterAlarm(Cusum sum) => sum.Sum >= options.CusumAlarm ? Cusum.Zero : sum;

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
