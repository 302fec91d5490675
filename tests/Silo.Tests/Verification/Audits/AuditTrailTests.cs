using Federation.Contracts.Jobs;
using Federation.Protocol.OpenAi;
using Federation.Silo.Tests.Fakes;
using Federation.Silo.Verification.Audits;
using Federation.Silo.Verification.Inference;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Tests.Verification.Audits;

public sealed class AuditTrailTests
{
    private static readonly SumKey Sum = new("nd", "dc", AuditSum.Margin);
    private readonly AuditOptions _options = new() { AlarmAnswers = 10, AlarmBufferBytes = 100_000, AlarmKeepFor = TimeSpan.FromDays(1) };
    private readonly TestClock _clock = new();

    [Fact]
    public void The_answers_behind_a_sum_are_those_since_it_was_zero()
    {
        var trail = Trail();
        foreach (var audits in new[] { 1, 2, 0, 1, 2, 3 }) trail.Keep(Sum, Work($"{audits}"), audits);
        Assert.Equal(["1", "2", "3"], trail.Find(Sum).Select(work => work.Kept.Outcome.JobId));
        trail.Keep(Sum, Work("alarm"), 0);
        Assert.Empty(trail.Find(Sum));
        Assert.Equal(0, trail.Bytes);
    }

    [Fact]
    public void Behind_an_answer_that_is_not_kept_yet_are_those_it_would_be_kept_with()
    {
        var trail = Trail();
        for (var i = 1; i <= 12; i++) trail.Keep(Sum, Work($"{i}"), i);
        Assert.Equal(Enumerable.Range(4, 10).Select(i => $"{i}"), trail.Behind(Sum, Work("13"), 13).Select(work => work.Kept.Outcome.JobId));
        Assert.Equal(["12", "13"], trail.Behind(Sum, Work("13"), 2).Select(work => work.Kept.Outcome.JobId));
        Assert.Equal(["13"], trail.Behind(Sum with { NodeId = "other" }, Work("13"), 7).Select(work => work.Kept.Outcome.JobId));
        Assert.Equal(10, trail.Find(Sum).Length);
    }

    [Fact]
    public void Each_sum_has_its_own()
    {
        var trail = Trail();
        foreach (var key in new[] { Sum, Sum with { Sum = AuditSum.Delta }, Sum with { Weights = "other" }, Sum with { NodeId = "other" } }) trail.Keep(key, Work(key.ToString()), 1);
        Assert.Equal(Sum.ToString(), Assert.Single(trail.Find(Sum)).Kept.Outcome.JobId);
    }

    [Fact]
    public void Of_a_long_series_the_latest_stay()
    {
        var trail = Trail();
        for (var i = 1; i <= 30; i++) trail.Keep(Sum, Work($"{i}"), i);
        Assert.Equal(Enumerable.Range(21, 10).Select(i => $"{i}"), trail.Find(Sum).Select(work => work.Kept.Outcome.JobId));
    }

    [Fact]
    public void The_oldest_of_all_go_when_memory_is_short()
    {
        var trail = Trail();
        for (var i = 1; i <= 300; i++)
        {
            trail.Keep(Sum with { NodeId = $"nd{i % 50}" }, Work($"{i}"), 6);
            Assert.True(trail.Bytes <= _options.AlarmBufferBytes);
        }
        Assert.Empty(trail.Find(Sum with { NodeId = "nd1" }).Where(work => work.Kept.Outcome.JobId == "1"));
        Assert.Equal("300", trail.Find(Sum with { NodeId = "nd0" }).Last().Kept.Outcome.JobId);
    }

    [Fact]
    public void Nothing_is_given_out_beyond_its_time()
    {
        var trail = Trail();
        trail.Keep(Sum, Work("old"), 1);
        _clock.Advance(TimeSpan.FromHours(25));
        Assert.Empty(trail.Find(Sum));
        trail.Keep(Sum, Work("new"), 2);
        Assert.Equal("new", Assert.Single(trail.Find(Sum)).Kept.Outcome.JobId);
        Assert.Equal(Work("new").Bytes, trail.Bytes);
    }

    private AuditTrail Trail() => new(Options.Create(_options), _clock);

    private static AuditedWork Work(string jobId) => new(
        new KeptAnswer(
            new JobOutcome(jobId, 1, "acct", "key", JobKind.Chat, "m", "", 0, "nd", JobStatus.Succeeded, "stop", 1, 1, [], [], 0, 0, 0, 0, "dc"), "engine", new byte[10], [new byte[1_000]]),
        new AuditSeed(new byte[32]), []);
}
