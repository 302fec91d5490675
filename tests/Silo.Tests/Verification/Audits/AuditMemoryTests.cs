using Federation.Contracts.Jobs;
using Federation.Contracts.Nodes;
using Federation.Protocol.OpenAi;
using Federation.Silo.Storage;
using Federation.Silo.Tests.Fakes;
using Federation.Silo.Tests.Storage;
using Federation.Silo.Verification.Audits;
using Federation.Silo.Verification.Inference;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Tests.Verification.Audits;

public sealed class AuditMemoryTests(SqliteTestDatabase database) : IClassFixture<SqliteTestDatabase>
{
    // A score of three deviations, clipped; less the allowance of a quarter, six of them alarm.
    private static readonly AuditedAnswer Suspicious = new()
    {
        Drawing = Drawing.Greedy,
        Positions = [.. Enumerable.Range(0, 16).Select(i => new ScoredPosition(i, i == 7 ? 0.2 : 0, -0.1))],
        FinishReason = "stop",
        CompletionTokens = 16,
    };

    [Fact]
    public async Task An_alarm_whose_verdict_is_lost_comes_again_with_all_it_rests_on()
    {
        await using var hub = await TestHub.StartAsync(database);
        using var memory = Of(hub);
        var node = (await hub.EnrolAsync()).Id;
        for (var audit = 1; audit <= 5; audit++) await RecordAsync(hub, memory, await JudgeAsync(memory, node, $"job_{audit}"));

        for (var again = 0; again < 3; again++)
        {
            var lost = await JudgeAsync(memory, node, "job_6");
            Assert.Equal((InferenceOutcome.SoftMismatch, 16.5), (lost.Verdict.Outcome, lost.Verdict.Figures.MarginSum));
            Assert.Equal(["job_1", "job_2", "job_3", "job_4", "job_5", "job_6"], Assert.Single(lost.Alarms).Works.Select(work => work.Kept.Outcome.JobId));
        }
        await RecordAsync(hub, memory, await JudgeAsync(memory, node, "job_6"));
        var next = await JudgeAsync(memory, node, "job_7");
        Assert.Equal((InferenceOutcome.Ok, 2.75), (next.Verdict.Outcome, next.Verdict.Figures.MarginSum));
    }

    [Fact]
    public async Task Another_build_of_the_engine_goes_on_with_the_same_sum()
    {
        await using var hub = await TestHub.StartAsync(database);
        using var memory = Of(hub);
        var node = (await hub.EnrolAsync()).Id;
        for (var audit = 1; audit <= 5; audit++) await RecordAsync(hub, memory, await JudgeAsync(memory, node, $"job_{audit}", $"{audit}"));
        Assert.Equal(6, Assert.Single((await JudgeAsync(memory, node, "job_6", "6")).Alarms).Works.Length);
    }

    [Fact]
    public async Task Audits_beside_each_other_both_count_and_an_alarm_that_no_arbiter_saw_is_the_next_ones()
    {
        await using var hub = await TestHub.StartAsync(database);
        using var memory = Of(hub);
        var node = (await hub.EnrolAsync()).Id;
        for (var audit = 1; audit <= 3; audit++) await RecordAsync(hub, memory, await JudgeAsync(memory, node, $"job_{audit}"));
        var (first, second, third) = (await JudgeAsync(memory, node, "job_4"), await JudgeAsync(memory, node, "job_5"), await JudgeAsync(memory, node, "job_6"));
        foreach (var judged in new[] { first, second, third })
        {
            Assert.Empty(judged.Alarms);
            await RecordAsync(hub, memory, judged);
        }
        var alarm = await JudgeAsync(memory, node, "job_7");
        Assert.Equal(["job_1", "job_2", "job_3", "job_4", "job_5", "job_7"], Assert.Single(alarm.Alarms).Works.Select(work => work.Kept.Outcome.JobId));
    }

    [Theory]
    [InlineData(Fault.Before, 2.75)]
    [InlineData(Fault.After, 5.5)]
    internal async Task A_verdict_and_its_score_are_both_on_record_or_neither(Fault fault, double sum)
    {
        await using var hub = await TestHub.StartAsync(database);
        var node = (await hub.EnrolAsync()).Id;
        using (var memory = Of(hub))
        {
            var first = await JudgeAsync(memory, node, "job_1");
            hub.Ledger.Faults = _ => fault;
            await Assert.ThrowsAsync<StorageException>(() => RecordAsync(hub, memory, first));
            hub.Ledger.Faults = _ => Fault.None;
        }
        // Whoever comes after a crash repeats what has no verdict, or sees what was left.
        using var later = Of(hub);
        Assert.Equal(sum, (await JudgeAsync(later, node, "job_2")).Verdict.Figures.MarginSum);
        await RecordAsync(hub, later, await JudgeAsync(later, node, "job_1"));
        Assert.Equal(5.5, (await JudgeAsync(later, node, "job_2")).Verdict.Figures.MarginSum);
    }

    private static Task<Ruling> RecordAsync(TestHub hub, AuditMemory memory, JudgedAnswer judged)
    {
        var report = new AuditReport($"canary:{judged.Work.Kept.Outcome.JobId}:{judged.NodeId}", "canary", AuditOutcome.Passed, string.Empty, judged.Work.Kept.Outcome.DeterminismClass, "It is right.", string.Empty);
        return memory.RecordAsync(judged, history => hub.Grains.GetGrain<INodeGrain>(judged.NodeId).RecordAudit(report with { History = history }), default);
    }

    private static AuditMemory Of(TestHub hub)
        => new(new InferenceHistories(hub.Database), new AuditTrail(Options.Create(new AuditOptions()), TimeProvider.System), new InferenceJudge(new InferenceCheckOptions()));

    private static Task<JudgedAnswer> JudgeAsync(AuditMemory memory, string node, string job, string version = "1") => memory.JudgeAsync(
        node,
        new AuditedWork(
            new KeptAnswer(
                new JobOutcome(job, 1, "acct", "key", JobKind.Chat, "m", "", 0, node, JobStatus.Succeeded, "stop", 1, 1, [], [], 0, 0, 0, 0, $"sha256:aa/ollama/{version}/cpu/x64/np1"), "engine", new byte[10], []),
            new AuditSeed(new byte[32]), []),
        Suspicious,
        default);
}
