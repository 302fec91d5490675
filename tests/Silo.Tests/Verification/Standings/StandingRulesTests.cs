using Federation.Contracts.Nodes;
using Federation.Silo.Verification.Standings;

namespace Federation.Silo.Tests.Verification.Standings;

public sealed class StandingRulesTests
{
    private static readonly DateTimeOffset Noon = new(2026, 11, 20, 12, 0, 0, TimeSpan.Zero);
    private static readonly StandingOptions Options = new() { ShadowMode = false };
    private static readonly StandingOptions Shadow = new();

    [Fact]
    public void Ten_audits_a_challenge_and_a_day_make_a_node_trusted_and_nothing_less_does()
    {
        var audited = Live(NodeStanding.New(Noon), Noon.AddDays(2), Enumerable.Repeat(Evidence.AuditPassed, 30));
        Assert.Equal(Standing.Probation, audited.Standing);
        Assert.Equal(Standing.Trusted, Live(audited, Noon.AddDays(2), [Evidence.ChallengePassed]).Standing);

        var challenged = Live(NodeStanding.New(Noon), Noon.AddDays(2), [Evidence.ChallengePassed, .. Enumerable.Repeat(Evidence.AuditPassed, 9)]);
        Assert.Equal(Standing.Probation, challenged.Standing);
        Assert.Equal(Standing.Trusted, Live(challenged, Noon.AddDays(2), [Evidence.AuditPassed]).Standing);

        Assert.Equal(Standing.Probation, Live(NodeStanding.New(Noon), Noon.AddHours(23), [Evidence.ChallengePassed, .. Enumerable.Repeat(Evidence.AuditPassed, 50)]).Standing);
    }

    [Theory]
    [InlineData(Standing.Probation)]
    [InlineData(Standing.Trusted)]
    [InlineData(Standing.Quarantined)]
    public void Fraud_bans_and_forfeits_even_in_shadow_mode(Standing standing)
    {
        var decision = StandingRules.Decide(At(standing), Evidence.Fraud, Shadow, Noon);
        Assert.Equal((Standing.Banned, Consequences.Forfeit | Consequences.Ban), (decision.After.Standing, decision.Applied));
    }

    [Fact]
    public void The_first_mismatch_quarantines_and_the_second_within_thirty_days_bans()
    {
        var first = StandingRules.Decide(At(Standing.Trusted), Evidence.AuditMismatch, Options, Noon);
        Assert.Equal((Standing.Quarantined, Consequences.Forfeit | Consequences.AuditEverything), (first.After.Standing, first.Applied));

        var second = StandingRules.Decide(first.After, Evidence.AuditMismatch, Options, Noon.AddDays(30));
        Assert.Equal((Standing.Banned, Consequences.Forfeit | Consequences.Ban), (second.After.Standing, second.Applied));
        Assert.Contains("second time (the first on 2026-11-20)", second.Words, StringComparison.Ordinal);

        var late = StandingRules.Decide(first.After, Evidence.AuditMismatch, Options, Noon.AddDays(30).AddSeconds(1));
        Assert.Equal(Standing.Quarantined, late.After.Standing);
    }

    [Theory]
    [InlineData(20, Standing.Banned)]
    [InlineData(199, Standing.Banned)]
    [InlineData(200, Standing.Quarantined)]
    public void A_second_mismatch_bans_only_if_few_audits_passed_since_the_first_and_forfeits_all_the_same(int passed, Standing after)
    {
        var first = StandingRules.Decide(At(Standing.Trusted), Evidence.AuditMismatch, Options, Noon).After;
        var since = Live(first, Noon.AddDays(3), Enumerable.Repeat(Evidence.AuditPassed, passed));
        var second = StandingRules.Decide(since, Evidence.AuditMismatch, Options, Noon.AddDays(4));
        Assert.Equal(after, second.After.Standing);
        Assert.True(second.Applied.HasFlag(Consequences.Forfeit));
        // It is the first for the next one: the count begins anew.
        Assert.Equal(Standing.Banned, StandingRules.Decide(second.After, Evidence.AuditMismatch, Options, Noon.AddDays(5)).After.Standing);
    }

    [Fact]
    public void In_shadow_mode_a_mismatch_is_decided_and_not_applied_and_never_counts_as_a_first_one_later()
    {
        var trusted = At(Standing.Trusted);
        var first = StandingRules.Decide(trusted, Evidence.AuditMismatch, Shadow, Noon);
        Assert.Equal((Standing.Trusted, true, Consequences.None), (first.After.Standing, first.Shadow, first.Applied));
        Assert.Equal(Consequences.Forfeit | Consequences.AuditEverything, first.Consequences);
        Assert.EndsWith("Shadow mode: recorded, not applied.", first.Words, StringComparison.Ordinal);

        // What a second one would have done is seen all the same.
        Assert.Equal(Consequences.Forfeit | Consequences.Ban, StandingRules.Decide(first.After, Evidence.AuditMismatch, Shadow, Noon.AddDays(1)).Consequences);
        // The shadow is taken away: what was found in it was not calibrated.
        Assert.Equal(Standing.Quarantined, StandingRules.Decide(first.After, Evidence.AuditMismatch, Options, Noon.AddDays(1)).After.Standing);
    }

    [Fact]
    public void Twenty_audits_clear_a_quarantine_and_lead_to_probation()
    {
        var quarantined = StandingRules.Decide(At(Standing.Trusted), Evidence.AuditMismatch, Options, Noon).After;
        var almost = Live(quarantined, Noon.AddDays(3), Enumerable.Repeat(Evidence.AuditPassed, 19));
        Assert.Equal(Standing.Quarantined, almost.Standing);
        var cleared = StandingRules.Decide(almost, Evidence.AuditPassed, Options, Noon.AddDays(3));
        Assert.Equal(Standing.Probation, cleared.After.Standing);
        Assert.Contains("the quarantine ends", cleared.Words, StringComparison.Ordinal);
    }

    [Fact]
    public void What_evades_an_audit_puts_trust_off()
    {
        Evidence[] lived = [Evidence.ChallengePassed, .. Enumerable.Repeat(Evidence.AuditPassed, 9), Evidence.AuditEvaded, .. Enumerable.Repeat(Evidence.AuditPassed, 4)];
        var almost = Live(NodeStanding.New(Noon), Noon.AddDays(2), lived);
        Assert.Equal((Standing.Probation, 9), (almost.Standing, almost.AuditsPassed));
        Assert.Equal(Standing.Trusted, Live(almost, Noon.AddDays(2), [Evidence.AuditPassed]).Standing);
    }

    [Theory]
    [InlineData(Evidence.ChallengeTooSlow, Consequences.ReRate)]
    [InlineData(Evidence.ProbeMissed, Consequences.VoidGaps)]
    [InlineData(Evidence.AuditUnconfirmed, Consequences.None)]
    [InlineData(Evidence.Abandoned, Consequences.None)]
    [InlineData(Evidence.ProbePassed, Consequences.None)]
    [InlineData(Evidence.AppealRefused, Consequences.None)]
    [InlineData(Evidence.AuditDoubted, Consequences.None)]
    [InlineData(Evidence.AuditInconclusive, Consequences.None)]
    [InlineData(Evidence.AuditEvaded, Consequences.None)]
    [InlineData(Evidence.ChallengeDeclined, Consequences.None)]
    [InlineData(Evidence.ClassLapsed, Consequences.None)]
    internal void What_is_no_mark_of_fraud_leaves_the_standing_alone(Evidence evidence, Consequences consequences)
    {
        foreach (var standing in Enum.GetValues<Standing>())
        {
            var decision = StandingRules.Decide(At(standing), evidence, Options, Noon);
            Assert.Equal((At(standing), consequences), (decision.After, decision.Applied));
        }
    }

    [Fact]
    public void Nothing_but_an_operator_lifts_a_ban()
    {
        var banned = At(Standing.Banned);
        foreach (var evidence in Enum.GetValues<Evidence>().Except([Evidence.AppealGranted, Evidence.OperatorDecision]))
            Assert.Equal(Standing.Banned, Live(banned, Noon.AddYears(1), Enumerable.Repeat(evidence, 100)).Standing);
        Assert.Equal(Standing.Probation, Live(banned, Noon, [Evidence.AppealGranted]).Standing);
        Assert.Equal(Standing.Trusted, StandingRules.Set(banned, Standing.Trusted, Noon).After.Standing);
    }

    [Fact]
    public void After_a_granted_appeal_the_next_mismatch_is_a_first_one()
    {
        var appealed = Live(At(Standing.Trusted), Noon, [Evidence.AuditMismatch, Evidence.AppealGranted]);
        Assert.Equal((Standing.Probation, null, null), (appealed.Standing, appealed.MismatchAt, appealed.ShadowMismatchAt));
        Assert.Equal(Standing.Quarantined, StandingRules.Decide(appealed, Evidence.AuditMismatch, Options, Noon.AddDays(1)).After.Standing);
    }

    [Fact]
    public void A_timing_failure_never_leads_to_a_ban()
    {
        var slow = Live(NodeStanding.New(Noon), Noon.AddDays(60), Enumerable.Repeat(Evidence.ChallengeTooSlow, 10_000));
        Assert.Equal(Standing.Probation, slow.Standing);
    }

    [Fact]
    public void Every_decision_says_why_in_a_sentence()
    {
        foreach (var standing in Enum.GetValues<Standing>())
        {
            foreach (var evidence in Enum.GetValues<Evidence>().Except([Evidence.OperatorDecision]))
                Assert.EndsWith(".", StandingRules.Decide(At(standing), evidence, Options, Noon).Words, StringComparison.Ordinal);
            Assert.EndsWith(".", StandingRules.Set(At(standing), Standing.Banned, Noon).Words, StringComparison.Ordinal);
        }
    }

    private static NodeStanding At(Standing standing) => NodeStanding.New(Noon.AddDays(-90)) with { Standing = standing, Since = Noon.AddDays(-60) };

    private static NodeStanding Live(NodeStanding standing, DateTimeOffset at, IEnumerable<Evidence> life)
        => life.Aggregate(standing, (before, evidence) => StandingRules.Decide(before, evidence, Options, at).After);
}
