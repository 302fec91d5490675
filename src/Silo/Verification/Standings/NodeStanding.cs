using Federation.Contracts.Nodes;

namespace Federation.Silo.Verification.Standings;

/// <summary>What a hub thinks of a node, and what it must remember to think further.</summary>
/// <param name="Standing">The standing.</param>
/// <param name="Since">Since when.</param>
/// <param name="EnrolledAt">When the node became known.</param>
/// <param name="AuditsPassed">Audits passed, with all weights, since the standing last fell; what trust and the end of a quarantine rest on.</param>
/// <param name="ChallengesPassed">Hardware challenges passed since the standing last fell.</param>
/// <param name="ChallengePassedAt">The last hardware challenge that was passed; null when none.</param>
/// <param name="MismatchAt">The last confirmed mismatch that counted; null when none.</param>
/// <param name="ShadowMismatchAt">The last confirmed mismatch in shadow mode; null when none.</param>
internal readonly record struct NodeStanding(
    Standing Standing,
    DateTimeOffset Since,
    DateTimeOffset EnrolledAt,
    int AuditsPassed,
    int ChallengesPassed,
    DateTimeOffset? ChallengePassedAt,
    DateTimeOffset? MismatchAt,
    DateTimeOffset? ShadowMismatchAt)
{
    /// <summary>Of a node that just enrolled.</summary>
    public static NodeStanding New(DateTimeOffset enrolledAt) => new(Standing.Probation, enrolledAt, enrolledAt, 0, 0, null, null, null);
}
