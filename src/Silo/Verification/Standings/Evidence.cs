namespace Federation.Silo.Verification.Standings;

/// <summary>What was found out about a node. The numbers are stored: never renumber, never reuse.</summary>
internal enum Evidence
{
    /// <summary>A hardware challenge was answered rightly and in time.</summary>
    ChallengePassed = 1,

    /// <summary>A hardware challenge was answered too slowly for the class, or not at all, in two of three attempts.</summary>
    ChallengeTooSlow = 2,

    /// <summary>What no honest node does: a wrong opening, a forged signature, two receipts for one place in the chain.</summary>
    Fraud = 3,

    /// <summary>An audit or a canary agreed with the node.</summary>
    AuditPassed = 4,

    /// <summary>An audit disagreed, and the arbiters did not: a suspicion, no more.</summary>
    AuditUnconfirmed = 5,

    /// <summary>An audit disagreed, and so did both arbiters.</summary>
    AuditMismatch = 6,

    /// <summary>A standby probe was answered.</summary>
    ProbePassed = 7,

    /// <summary>A standby probe and its one retry were not answered.</summary>
    ProbeMissed = 8,

    /// <summary>The node took a job and gave it up, or let it time out.</summary>
    Abandoned = 9,

    /// <summary>An operator granted an appeal.</summary>
    AppealGranted = 10,

    /// <summary>An operator refused an appeal.</summary>
    AppealRefused = 11,

    /// <summary>An operator set the standing.</summary>
    OperatorDecision = 12,

    /// <summary>A verifier disagrees with the node; its arbiters are still to be heard.</summary>
    AuditDoubted = 13,

    /// <summary>An audit could not be made, or says nothing.</summary>
    AuditInconclusive = 14,

    /// <summary>A node that took work and had none did not sit a hardware challenge.</summary>
    ChallengeDeclined = 15,

    /// <summary>A node's class lapsed: for too long, or too often in a row, it was not measured.</summary>
    ClassLapsed = 16,

    /// <summary>An answer kept anybody from auditing it, where others' answers to the same request would not have.</summary>
    AuditEvaded = 17,
}

/// <summary>What evidence does beside changing the standing.</summary>
[Flags]
internal enum Consequences
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>Every earning of the node that has not matured goes back to the treasury.</summary>
    Forfeit = 1,

    /// <summary>The key may not connect any more.</summary>
    Ban = 2,

    /// <summary>The next <see cref="StandingOptions.UnitsAfterMismatch"/> units are all audited.</summary>
    AuditEverything = 4,

    /// <summary>What was earned since the last passed challenge is paid as the class that was measured.</summary>
    ReRate = 8,

    /// <summary>The two standby gaps beside the missed probe are not paid.</summary>
    VoidGaps = 16,

    /// <summary>What was forfeited is given back by a new movement.</summary>
    Compensate = 32,
}
