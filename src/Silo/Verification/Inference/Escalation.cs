using System.Collections.Immutable;

namespace Federation.Silo.Verification.Inference;

/// <summary>What an escalated mismatch has come to.</summary>
internal enum EscalationStatus
{
    /// <summary>Arbiters are still to be heard.</summary>
    Open,

    /// <summary>Both arbiters disagree with the worker: the mismatch is real.</summary>
    Confirmed,

    /// <summary>An arbiter agrees with the worker: nothing is held against it but a soft mismatch.</summary>
    Cleared,

    /// <summary>Too many arbiters gave no verdict; as cleared, but nobody vouched for the answer.</summary>
    Lapsed,
}

/// <summary>One arbiter's word.</summary>
/// <param name="Arbiter">Its node id.</param>
/// <param name="Outcome"><see cref="InferenceOutcome.Inconclusive"/>: it gave no answer, or one that says nothing.</param>
/// <param name="Review">What it found in the answers behind an alarm; null where it judged the one answer.</param>
internal sealed record ArbiterWord(string Arbiter, InferenceOutcome Outcome, AlarmReview? Review = null);

/// <summary>
/// A soft mismatch before two arbiters of the same determinism class (verification.md §2.5). Each scores the answer anew and alone, or all the answers that
/// an alarm rests on (<see cref="AlarmReview"/>); only when both find the mismatch too is it confirmed. Convicting an honest worker thus needs two wrong arbiters; f² for a colluding share f.
/// </summary>
/// <param name="Worker">Whose answer it is.</param>
/// <param name="Verifier">Who found the mismatch; it is no arbiter.</param>
/// <param name="Words">In the order they came.</param>
internal sealed record Escalation(string Worker, string Verifier, ImmutableArray<ArbiterWord> Words)
{
    /// <summary>Arbiters whose verdict it takes.</summary>
    public const int ArbitersNeeded = 2;

    /// <summary>Arbiters asked in all, those with no verdict included.</summary>
    public const int ArbitersMax = 6;

    public static Escalation Begin(string worker, string verifier) => new(worker, verifier, []);

    public EscalationStatus Status =>
        Words.Any(word => word.Outcome == InferenceOutcome.Ok) ? EscalationStatus.Cleared
        : Words.Count(word => word.Outcome == InferenceOutcome.SoftMismatch) >= ArbitersNeeded ? EscalationStatus.Confirmed
        : Words.Length >= ArbitersMax ? EscalationStatus.Lapsed
        : EscalationStatus.Open;

    /// <summary>Whether a node may judge here: it is neither of the parties and has not spoken yet.</summary>
    public bool MayArbitrate(string node) => node != Worker && node != Verifier && Words.All(word => word.Arbiter != node);

    /// <summary>Takes an arbiter's word. A word after the end, a second one, or a party's changes nothing.</summary>
    public Escalation Hear(string arbiter, InferenceOutcome outcome, AlarmReview? review = null) =>
        Status == EscalationStatus.Open && MayArbitrate(arbiter) ? this with { Words = Words.Add(new ArbiterWord(arbiter, outcome, review)) } : this;
}
