using Federation.Contracts.Nodes;

namespace Federation.Silo.Verification.Standings;

/// <summary>
/// From evidence to consequences, as §2.6's table has it. Pure: the hub and the simulation run the same code.
/// </summary>
/// <remarks>
/// <code>
///   probation ──audits, a challenge, a day──▶ trusted
///       ▲  ▲                                     │
///       │  └──20 audits passed── quarantined ◀───┤ confirmed mismatch (from probation, too)
///       │                             │          │
///       └──appeal granted── banned ◀──┴──────────┘ fraud, or a second confirmed mismatch within 30 days and 200 audits
/// </code>
/// A quarantined node gets no paid work; canaries, which it cannot tell from work, are what clears it.
/// </remarks>
internal static class StandingRules
{
    /// <summary>What <paramref name="evidence"/> leads to.</summary>
    /// <exception cref="ArgumentException">The evidence is an operator's decision, which says by itself what it leads to.</exception>
    public static StandingDecision Decide(in NodeStanding before, Evidence evidence, StandingOptions options, DateTimeOffset now)
    {
        var nothing = new StandingDecision(evidence, before, before, Consequences.None, Shadow: false, null, 0, 0);
        return evidence switch
        {
            Evidence.ChallengePassed => AfterChallenge(nothing, options, now),
            Evidence.ChallengeTooSlow => nothing with { Consequences = Consequences.ReRate },
            Evidence.Fraud => nothing with { After = Fallen(before, Standing.Banned, now), Consequences = Consequences.Forfeit | Consequences.Ban },
            Evidence.AuditPassed => AfterPass(nothing, options, now),
            Evidence.AuditEvaded => nothing with { After = before with { AuditsPassed = Math.Max(0, before.AuditsPassed - options.PassesPerEvasion) } },
            Evidence.AuditMismatch => AfterMismatch(nothing, options, now),
            Evidence.ProbeMissed => nothing with { Consequences = Consequences.VoidGaps },
            // What was judged wrongly must not make the next mismatch the second, either.
            Evidence.AppealGranted => nothing with
            {
                After = (before.Standing is Standing.Quarantined or Standing.Banned ? Fallen(before, Standing.Probation, now) : before) with { MismatchAt = null, ShadowMismatchAt = null },
                Consequences = Consequences.Compensate,
            },
            Evidence.AuditUnconfirmed or Evidence.AuditDoubted or Evidence.AuditInconclusive or Evidence.Abandoned or Evidence.ProbePassed or Evidence.AppealRefused
                or Evidence.ChallengeDeclined or Evidence.ClassLapsed => nothing,
            _ => throw new ArgumentException($"{evidence} is not evidence to be judged.", nameof(evidence)),
        };
    }

    /// <summary>An operator's word: it needs no evidence, and later evidence goes on from there.</summary>
    public static StandingDecision Set(in NodeStanding before, Standing standing, DateTimeOffset now) => new(
        Evidence.OperatorDecision,
        before,
        before.Standing == standing ? before : Fallen(before, standing, now),
        standing is Standing.Banned && before.Standing is not Standing.Banned ? Consequences.Ban : Consequences.None,
        Shadow: false,
        null,
        0,
        0);

    private static StandingDecision AfterChallenge(in StandingDecision nothing, StandingOptions options, DateTimeOffset now)
    {
        var after = nothing.Before with { ChallengesPassed = Counted(nothing.Before.ChallengesPassed), ChallengePassedAt = now };
        return nothing with { After = Deserves(after, options, now) ? after with { Standing = Standing.Trusted, Since = now } : after };
    }

    private static StandingDecision AfterPass(in StandingDecision nothing, StandingOptions options, DateTimeOffset now)
    {
        var after = nothing.Before with { AuditsPassed = Counted(nothing.Before.AuditsPassed) };
        var needed = after.Standing switch
        {
            Standing.Probation => options.AuditsForTrust,
            Standing.Quarantined => options.UnitsAfterMismatch,
            _ => 0,
        };
        var decision = nothing with { After = after, Progress = after.AuditsPassed, Needed = after.AuditsPassed <= needed ? needed : 0 };
        if (Deserves(after, options, now)) return decision with { After = after with { Standing = Standing.Trusted, Since = now } };
        // What cleared it counts on: it proved itself under the same audits.
        return after.Standing is Standing.Quarantined && after.AuditsPassed >= needed
            ? decision with { After = after with { Standing = Standing.Probation, Since = now } }
            : decision;
    }

    private static StandingDecision AfterMismatch(in StandingDecision nothing, StandingOptions options, DateTimeOffset now)
    {
        var before = nothing.Before;
        var earlier = options.ShadowMode ? Later(before.MismatchAt, before.ShadowMismatchAt) : before.MismatchAt;
        // In the shadow no standing fell, and what passed since is not counted apart: there days alone decide.
        var isSecond = earlier is { } first && now - first <= options.MismatchMemory && (options.ShadowMode || before.AuditsPassed < options.MismatchAudits);
        var bans = isSecond || before.Standing is Standing.Banned;
        var consequences = Consequences.Forfeit | (bans ? Consequences.Ban : Consequences.AuditEverything);
        return options.ShadowMode
            ? nothing with { After = before with { ShadowMismatchAt = now }, Consequences = consequences, Shadow = true, Earlier = isSecond ? earlier : null }
            : nothing with
            {
                After = Fallen(before, bans ? Standing.Banned : Standing.Quarantined, now) with { MismatchAt = now },
                Consequences = consequences,
                Earlier = isSecond ? earlier : null,
            };
    }

    private static bool Deserves(in NodeStanding standing, StandingOptions options, DateTimeOffset now)
        => standing.Standing is Standing.Probation
            && standing.AuditsPassed >= options.AuditsForTrust
            && standing.ChallengesPassed >= options.ChallengesForTrust
            && now - standing.EnrolledAt >= options.ProbationMin;

    /// <summary>At another standing, where what was passed before counts no more; where nothing changes, the time it began stays.</summary>
    private static NodeStanding Fallen(in NodeStanding before, Standing standing, DateTimeOffset now) => before with
    {
        Standing = standing,
        Since = before.Standing == standing ? before.Since : now,
        AuditsPassed = 0,
        ChallengesPassed = 0,
    };

    private static int Counted(int count) => count == int.MaxValue ? count : count + 1;

    private static DateTimeOffset? Later(DateTimeOffset? a, DateTimeOffset? b) => a is null || b > a ? b ?? a : a;
}
