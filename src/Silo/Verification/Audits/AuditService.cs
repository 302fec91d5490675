using Federation.Contracts.Nodes;
using Federation.Silo.Hosting;
using Federation.Silo.Hubs;
using Federation.Silo.Nodes;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification.Audits;

/// <summary>
/// Carries out the audits that the beacon has drawn: each silo those whose answers it kept, and, in place of some and of what was lost,
/// canaries to the nodes connected to it. Few at once, beside clients' requests, never before them.
/// </summary>
internal sealed partial class AuditService(
    AuditQueue queue, AnswerBuffer answers, Auditor auditor, CanaryRunner canaries, HubDirectoryView directory, NodeSessions sessions, IGrainFactory grains,
    IOptions<AuditOptions> options, Random random, TimeProvider time, ILogger<AuditService> logger) : PeriodicService(options.Value.Period, time, logger)
{
    /// <inheritdoc/>
    protected override Task ExecuteAsync(CancellationToken stoppingToken) => options.Value.Enabled ? base.ExecuteAsync(stoppingToken) : Task.CompletedTask;

    /// <summary>Everything that is drawn and can be done here now, then the nodes whose quarantine only canaries can end.</summary>
    public override async Task LookAsync(CancellationToken cancellationToken)
    {
        var drawn = await queue.ListDrawnAsync(options.Value.BatchSize, cancellationToken);
        await ForEachAsync(drawn, audit => audit.ReceiptId, CarryOutAsync, cancellationToken);
        var quarantined = (await directory.GetAsync(cancellationToken)).Nodes.Where(node => node is { Standing: Standing.Quarantined, Connected: true } && sessions.HasNode(node.NodeId));
        await ForEachAsync(quarantined, node => node.NodeId, ClearAsync, cancellationToken);
    }

    /// <summary>A few at once; one that fails is told, keeps none of the others, and stays for the next look.</summary>
    private Task ForEachAsync<T>(IEnumerable<T> items, Func<T, string> name, Func<T, CancellationToken, Task> carryOut, CancellationToken cancellationToken)
        => Parallel.ForEachAsync(items, new ParallelOptions { MaxDegreeOfParallelism = options.Value.AtOnce, CancellationToken = cancellationToken }, async (item, stop) =>
        {
            try
            {
                await carryOut(item, stop);
            }
            catch (Exception exception) when (exception is not OperationCanceledException)
            {
                LogAuditFailed(name(item), exception);
            }
        });

    private async Task CarryOutAsync(DrawnAudit audit, CancellationToken cancellationToken)
    {
        if (audit.IsHubs)
        {
            await RecordAsync(audit, "canary", JudgedAlready);
            return;
        }
        var kept = answers.Find(audit.JobId);
        var age = Time.GetUtcNow() - audit.DrawnAt;
        // Another silo may have the answer; it goes first.
        var isHere = kept is not null || (sessions.HasNode(audit.NodeId) && age >= options.Value.Period * 2);
        (string Kind, AuditVerdict? Verdict) judged = ("audit", null);
        try
        {
            if (isHere) judged = await JudgeAsync(audit, kept, cancellationToken);
        }
        catch (Exception exception) when (exception is not OperationCanceledException && age > options.Value.KeepFor)
        {
            // One that fails again and again would else stand before the others for ever.
            LogAuditFailed(audit.ReceiptId, exception);
        }
        var (kind, verdict) = judged;
        verdict ??= age > options.Value.KeepFor ? Lapsed : null;
        if (verdict is null) return;
        await RecordAsync(audit, kind, verdict);
        answers.Forget(audit.JobId);
    }

    /// <summary>Judges the answer, or a canary in its place; without a verdict, nobody can judge now, or the node has no free slot for a canary.</summary>
    private async Task<(string Kind, AuditVerdict? Verdict)> JudgeAsync(DrawnAudit audit, KeptAnswer? kept, CancellationToken cancellationToken)
    {
        if (await grains.GetGrain<INodeGrain>(audit.NodeId).GetView() is not { } worker) return ("audit", null);
        var seed = AuditSeed.Of(audit);
        var isCanary = kept is not null && kept.Outcome.JobId != audit.JobId;
        AuditVerdict? verdict = null;
        if (kept is not null && (isCanary || random.NextDouble() >= options.Value.CanaryShare))
        {
            verdict = await auditor.AuditAsync(kept, worker, seed, cancellationToken);
            // What says nothing, because it is short or of a kind that cannot be scored, gives way to a canary too.
            if (isCanary || verdict is { Outcome: not AuditOutcome.Inconclusive }) return (isCanary ? "canary" : "audit", verdict);
        }
        // From nothing that the node can read: the beacon is public before the canary is sent.
        var fresh = AuditSeed.Fresh();
        if (await canaries.AskAsync(worker, audit.Kind, audit.Model, audit.DeterminismClass, fresh.ToRandom(), cancellationToken) is not { } canary)
        {
            // A busy node would else be audited by its shortest answers alone, and its credits wait for evidence that does not come: the canary waits for a free slot, the answer has said all it can.
            if (verdict is not null) answers.Forget(audit.JobId);
            return ("audit", null);
        }
        // One is enough: if nobody has time to judge it now, it waits as an answer does.
        answers.Keep(audit.JobId, canary);
        return ("canary", await auditor.AuditAsync(canary, worker, fresh, cancellationToken) ?? verdict);
    }

    /// <summary>A canary for a node in quarantine.</summary>
    private async Task ClearAsync(NodeView node, CancellationToken cancellationToken)
    {
        var seed = AuditSeed.Fresh();
        if (await canaries.AskAsync(node, CanaryRunner.KindFor(node), model: null, string.Empty, seed.ToRandom(), cancellationToken) is not { } answer) return;
        if (await auditor.AuditAsync(answer, node, seed, cancellationToken) is not { } verdict) return;
        await RecordAsync(node.NodeId, new AuditReport($"canary:{answer.Outcome.JobId}", "canary", verdict.Outcome, string.Empty, answer.Outcome.DeterminismClass, verdict.Finding, verdict.Evidence), verdict);
    }

    private Task RecordAsync(DrawnAudit audit, string kind, AuditVerdict verdict)
        => RecordAsync(audit.NodeId, new AuditReport($"audit:{audit.ReceiptId}", kind, verdict.Outcome, audit.ReceiptId, audit.DeterminismClass, verdict.Finding, verdict.Evidence), verdict);

    private async Task RecordAsync(string nodeId, AuditReport report, AuditVerdict verdict)
    {
        // Even when the hub is stopping: the verdict is out.
        var ruling = await auditor.RecordAsync(grains.GetGrain<INodeGrain>(nodeId), report, verdict.Judged, CancellationToken.None);
        LogVerdict(nodeId, report.Kind, report.Outcome, ruling.Decision);
    }

    private static AuditVerdict Lapsed { get; } = new(AuditOutcome.Inconclusive, "Nobody could judge the answer in time. It counts neither way.", string.Empty);

    private static AuditVerdict JudgedAlready { get; } = new(AuditOutcome.Inconclusive, "It was a canary, and is judged already. It does not count twice.", string.Empty);

    [LoggerMessage(7000, LogLevel.Information, "Node {NodeId}: {Kind} {Outcome}. {Decision}")]
    private partial void LogVerdict(string nodeId, string kind, AuditOutcome outcome, string decision);

    [LoggerMessage(7001, LogLevel.Warning, "The audit of {Name} could not be carried out now; it stays for the next look")]
    private partial void LogAuditFailed(string name, Exception exception);
}
