using System.Collections.Immutable;

namespace Federation.Silo.Verification.Inference;

/// <summary>What an audit of an answer comes to.</summary>
internal enum InferenceOutcome
{
    /// <summary>Nothing speaks against the answer.</summary>
    Ok,

    /// <summary>Too little was scored to say anything; the audit counts neither way.</summary>
    Inconclusive,

    /// <summary>The answer does not look like the model's. Not yet a proof: two arbiters decide (<see cref="Escalation"/>).</summary>
    SoftMismatch,
}

/// <summary>The figures behind a verdict, kept as evidence. Nats; null where there was nothing to work them out from.</summary>
internal sealed record InferenceFigures
{
    /// <summary>Positions that counted.</summary>
    public int Scored { get; init; }

    /// <summary>Positions skipped, and why.</summary>
    public ImmutableSortedDictionary<SkipReason, int> Skipped { get; init; } = ImmutableSortedDictionary<SkipReason, int>.Empty;

    /// <summary>Share of positions at which the verifier would have chosen the same token.</summary>
    public double? ExactRate { get; init; }

    /// <summary>Positions at which it would not, and how many are allowed.</summary>
    public int Mismatches { get; init; }

    /// <inheritdoc cref="Mismatches"/>
    public int MismatchesAllowed { get; init; }

    /// <summary>Mean of the clipped margins.</summary>
    public double? MeanMargin { get; init; }

    /// <summary>Margin at the first position that differs; null: none does.</summary>
    public double? FirstDivergenceMargin { get; init; }

    /// <summary>Positions at which the worker's log-probability is known.</summary>
    public int Compared { get; init; }

    /// <summary>Of |worker's − verifier's log-probability|.</summary>
    public double? MedianDelta { get; init; }

    /// <inheritdoc cref="MedianDelta"/>
    public double? MeanDelta { get; init; }

    /// <summary>Surprise at going on where the model would have ended.</summary>
    public double PassedOverEndNats { get; init; }

    /// <summary>Tokens in the test of the draws' distribution; 0 while too few have come together.</summary>
    public int PitTokens { get; init; }

    /// <summary>Greatest distance of the draws' distribution from the uniform one, and the chance of one as great for an honest node.</summary>
    public double? PitDistance { get; init; }

    /// <inheritdoc cref="PitDistance"/>
    public double? PitChance { get; init; }

    /// <summary>The audit's mean margin in standard deviations from honest ones, as the sum takes it; null for drawn answers.</summary>
    public double? MarginScore { get; init; }

    /// <summary>The same of the mean delta.</summary>
    public double? DeltaScore { get; init; }

    /// <summary>The sums after this audit.</summary>
    public double MarginSum { get; init; }

    /// <inheritdoc cref="MarginSum"/>
    public double DeltaSum { get; init; }
}

/// <summary>The verdict on one answer: what, why in plain words, and the figures.</summary>
/// <param name="Outcome">What it comes to.</param>
/// <param name="Reasons">One sentence for each test that this answer failed, or why there is no verdict; empty when nothing is wrong with it.</param>
/// <param name="Figures">All that was worked out.</param>
/// <param name="Alarms">Sums that have reached their alarm with this answer; it may well look honest itself.</param>
internal sealed record InferenceVerdict(InferenceOutcome Outcome, ImmutableArray<string> Reasons, InferenceFigures Figures, ImmutableArray<SumAlarm> Alarms)
{
    /// <summary>All that speaks against the node, or why there is no verdict.</summary>
    public string Words => string.Join(' ', [.. Reasons, .. Alarms.Select(alarm => alarm.Words)]);
}

/// <summary>What is remembered of a node with certain weights from audit to audit, whatever it calls its engine.</summary>
/// <param name="Draws">Drawn tokens that wait for the distribution test.</param>
/// <param name="Margin">Sum of the audits' margins.</param>
/// <param name="Delta">Sum of the audits' deltas.</param>
internal sealed record InferenceHistory(PitPool Draws, Cusum Margin, Cusum Delta)
{
    /// <summary>Of a node nobody has audited.</summary>
    public static InferenceHistory Empty { get; } = new(PitPool.Empty, Cusum.Zero, Cusum.Zero);
}
