using System.Collections.Immutable;

namespace Federation.Silo.Verification.Inference;

/// <summary>How the worker was to choose its tokens.</summary>
internal enum Drawing
{
    /// <summary>Always the likeliest: temperature 0.</summary>
    Greedy,

    /// <summary>At random, temperature above 0.</summary>
    Sampled,

    /// <summary>Within a grammar, a format or tools that a verifier cannot replay in mid-text: only the worker's log-probabilities are compared.</summary>
    Constrained,
}

/// <summary>One answer as an audit sees it.</summary>
internal sealed record AuditedAnswer
{
    public required Drawing Drawing { get; init; }

    /// <summary>In the answer's order, skipped ones too.</summary>
    public required ImmutableArray<ScoredPosition> Positions { get; init; }

    /// <summary>"stop", "length"…: why the worker said it ended.</summary>
    public required string FinishReason { get; init; }

    /// <summary>It came to its end. What broke off has tokens that were made and never came, and its last ones may have come in part.</summary>
    public bool IsWhole { get; init; } = true;

    /// <summary>Bytes at the answer's end that the verifier did not look at, see <see cref="ReadPart"/>.</summary>
    public int UnreadBytes { get; init; }

    /// <summary>Tokens the worker claims, the end token with them.</summary>
    public required long CompletionTokens { get; init; }

    /// <summary>Tokens of the prompt the worker claims.</summary>
    public long PromptTokens { get; init; }

    /// <summary>Bytes of the weights the worker claims; 0 when it tells none.</summary>
    public long ModelBytes { get; init; }

    /// <summary>What the verifier says of the same weights; null when it tells nothing, or cannot be sure that they are the same.</summary>
    public long? ModelBytesCounted { get; init; }

    /// <summary>What the request allowed; null: until the model ends or its context is full.</summary>
    public long? CompletionTokensMax { get; init; }

    /// <summary>The verifier's own count of the prompt; null when it did not tell.</summary>
    public int? PromptTokensCounted { get; init; }

    /// <summary>The verifier's own count of the answer, or the most that it can have; null when it did not tell.</summary>
    public int? CompletionTokensCounted { get; init; }

    /// <summary>What the model's context holds; null when it is not known.</summary>
    public int? ContextTokens { get; init; }
}
