using System.Collections.Immutable;
using Federation.Protocol.Challenges;

namespace Federation.Silo.Verification.Challenges;

/// <summary>What came of one challenge, with the evidence for it.</summary>
/// <param name="Result">The public verdict.</param>
/// <param name="ResultMessage">The same, encoded and signed by the hub.</param>
/// <param name="Plan">What was asked for.</param>
/// <param name="SpeedRatio">How many times faster than the class's reference the node was; 0 where nothing was measured.</param>
/// <param name="FasterThanClass">So fast that the class is too low, or the claim is odd: a flag for a re-test upwards.</param>
/// <param name="Evidence">The messages as they travelled, in their order, the one that decided last: enough for anybody to come to the verdict again.</param>
internal sealed record ChallengeVerdict(
    ChallengeResult Result, ReadOnlyMemory<byte> ResultMessage, ChallengePlan Plan, double SpeedRatio, bool FasterThanClass, ImmutableArray<ReadOnlyMemory<byte>> Evidence)
{
    /// <summary>How it went.</summary>
    public ChallengeOutcome Outcome => Result.Outcome;

    /// <summary>Whether the node signed something that no honest node signs.</summary>
    public bool IsFraud => Outcome == ChallengeOutcome.Fraud;
}

/// <summary>What the hub does next with a challenge.</summary>
internal sealed record ChallengeStep
{
    private ChallengeStep()
    {
    }

    /// <summary>To be sent to the node; empty: nothing.</summary>
    public ReadOnlyMemory<byte> Reply { get; private init; }

    /// <summary>The challenge is over, and this is why; null: it goes on.</summary>
    public ChallengeVerdict? Verdict { get; private init; }

    /// <summary>The message did not belong here, and nothing came of it; why, in words. It proves nothing against the node.</summary>
    public string? Refusal { get; private init; }

    public static ChallengeStep Answer(ReadOnlyMemory<byte> reply) => new() { Reply = reply };

    public static ChallengeStep Decided(ChallengeVerdict verdict) => new() { Verdict = verdict };

    public static ChallengeStep Refused(string why) => new() { Refusal = why };
}
