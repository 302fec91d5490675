using System.Globalization;
using Federation.Contracts.Nodes;

namespace Federation.Silo.Verification.Standings;

/// <summary>What one piece of evidence led to. A value: whoever decides, the hub or a simulation, applies it.</summary>
/// <param name="Evidence">What was found out.</param>
/// <param name="Before">The standing before.</param>
/// <param name="After">What is thought of the node from now on.</param>
/// <param name="Consequences">What is to be done; in the shadow, what would have been.</param>
/// <param name="Shadow">Decided and recorded, but not applied: see <see cref="StandingOptions.ShadowMode"/>.</param>
/// <param name="Earlier">The mismatch that makes this one the second; null otherwise.</param>
/// <param name="Progress">How many of the audits that are needed next are there.</param>
/// <param name="Needed">How many are needed; 0 where none are waited for.</param>
internal readonly record struct StandingDecision(
    Evidence Evidence, NodeStanding Before, NodeStanding After, Consequences Consequences, bool Shadow, DateTimeOffset? Earlier, int Progress, int Needed)
{
    /// <summary>Whether the standing is another one now.</summary>
    public bool ChangesStanding => Before.Standing != After.Standing;

    /// <summary>The consequences that are to be applied: none in the shadow.</summary>
    public Consequences Applied => Shadow ? Consequences.None : Consequences;

    /// <summary>The decision and its reason, for the node's owner.</summary>
    public string Words => Shadow ? $"{Reason()} Shadow mode: recorded, not applied." : Reason();

    private string Reason() => Evidence switch
    {
        Evidence.ChallengePassed when ChangesStanding => "The node passed a hardware challenge, the last thing probation waited for: it is trusted now.",
        Evidence.ChallengePassed => "The node passed a hardware challenge.",
        Evidence.ChallengeTooSlow =>
            "The node answered hardware challenges too slowly for its class, or not at all, in two of three attempts. It is paid as the class that was measured, since the last challenge it passed. This is no mark of fraud.",
        Evidence.ChallengeDeclined => "The node did not sit a hardware challenge although it took work and had none. Nothing is taken yet; if it does so again and again its class lapses until it sits.",
        Evidence.ClassLapsed => "The node's class was not tested for too long. From now on it is paid as the least class, until it sits hardware challenges again. This is no mark of fraud.",
        Evidence.Fraud => "The node sent what no honest node sends. Its key is banned and every credit that had not matured is forfeited.",
        Evidence.AuditPassed when ChangesStanding && After.Standing is Standing.Trusted => Format($"{Progress} audits passed in a row: the node is trusted now."),
        Evidence.AuditPassed when ChangesStanding => Format($"{Progress} audits passed in a row since the confirmed mismatch: the quarantine ends, the node is on probation again."),
        Evidence.AuditPassed when Needed > 0 => Format($"An audit agreed with the node, {Progress} of the {Needed} that its standing waits for."),
        Evidence.AuditPassed => "An audit agreed with the node.",
        Evidence.AuditUnconfirmed => "An audit disagreed with the node, its arbiters did not. Nothing is taken; the node is audited a little more often.",
        Evidence.AuditMismatch when (Consequences & Consequences.Ban) != 0 && Earlier is { } earlier => Format(
            $"An audit and two arbiters disagreed with the node, for the second time (the first on {earlier:yyyy-MM-dd}). Its key is banned and every credit that had not matured is forfeited."),
        Evidence.AuditMismatch when (Consequences & Consequences.Ban) != 0 => "An audit and two arbiters disagreed with the node, which is banned already. Every credit that had not matured is forfeited.",
        Evidence.AuditMismatch => "An audit and two arbiters disagreed with the node. Every credit that had not matured is forfeited, and the node is quarantined until audits clear it.",
        Evidence.ProbePassed => "The node answered a standby probe.",
        Evidence.ProbeMissed => "The node answered neither a standby probe nor its retry. The standby time before and after it is not paid.",
        Evidence.Abandoned => "The node took a job and gave it up or let it time out. Nothing is taken; the node is audited a little more often.",
        Evidence.AppealGranted => "An operator granted the owner's appeal: what was forfeited is given back, and the mismatch counts no more.",
        Evidence.AppealRefused => "An operator refused the owner's appeal: the decision stands.",
        Evidence.AuditDoubted => "A verifier disagrees with the node. Two arbiters are asked; until both have answered, nothing is taken and the earning does not mature.",
        Evidence.AuditInconclusive => "An audit could not be made or says nothing. It counts neither way.",
        Evidence.AuditEvaded => "The answer kept everybody from checking it. Nothing is taken, but passed audits count fewer: what the node earned matures later, or never if such answers are many.",
        Evidence.OperatorDecision => Format($"An operator decided: {After.Standing.ToString().ToLowerInvariant()}."),
        _ => throw new InvalidOperationException($"Unknown evidence {Evidence}."),
    };

    private static string Format(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
