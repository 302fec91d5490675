using Federation.Silo.Verification.Inference;

namespace Federation.Silo.Tests.Verification.Inference;

public sealed class EscalationTests
{
    private static readonly Escalation Begun = Escalation.Begin("worker", "verifier");

    [Fact]
    public void Only_two_arbiters_that_both_disagree_with_the_worker_confirm()
    {
        Assert.Equal(EscalationStatus.Open, Begun.Status);
        var one = Begun.Hear("a", InferenceOutcome.SoftMismatch);
        Assert.Equal(EscalationStatus.Open, one.Status);
        var two = one.Hear("b", InferenceOutcome.SoftMismatch);
        Assert.Equal(EscalationStatus.Confirmed, two.Status);
        Assert.Equal(EscalationStatus.Cleared, one.Hear("b", InferenceOutcome.Ok).Status);
        Assert.Equal(EscalationStatus.Cleared, Begun.Hear("a", InferenceOutcome.Ok).Status);
    }

    [Fact]
    public void An_arbiter_with_no_verdict_is_replaced_and_too_many_of_them_end_it()
    {
        var escalation = Begun.Hear("a", InferenceOutcome.SoftMismatch).Hear("b", InferenceOutcome.Inconclusive);
        Assert.Equal(EscalationStatus.Open, escalation.Status);
        for (var i = 0; i < Escalation.ArbitersMax - 2; i++) escalation = escalation.Hear($"n{i}", InferenceOutcome.Inconclusive);
        Assert.Equal(EscalationStatus.Lapsed, escalation.Status);
    }

    [Theory]
    [InlineData("worker")]
    [InlineData("verifier")]
    [InlineData("a")]
    public void Nobody_judges_his_own_case_or_twice(string node)
    {
        var escalation = Begun.Hear("a", InferenceOutcome.SoftMismatch);
        Assert.False(escalation.MayArbitrate(node));
        Assert.Same(escalation, escalation.Hear(node, InferenceOutcome.SoftMismatch));
    }

    [Fact]
    public void What_is_decided_stays_decided()
    {
        var confirmed = Begun.Hear("a", InferenceOutcome.SoftMismatch).Hear("b", InferenceOutcome.SoftMismatch);
        Assert.Same(confirmed, confirmed.Hear("c", InferenceOutcome.Ok));
    }
}
