using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using Federation.Contracts.Nodes;
using Federation.Silo.Hubs;
using Federation.Silo.Nodes;
using Federation.Silo.Storage;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification.Audits;

/// <summary>
/// Carries out the audits that the beacon has drawn: each silo those whose answers it kept, and, in place of some and of what was lost,
/// canaries to the nodes connected to it. Few at once, beside clients' requests, never before them.
/// </summary>
internal sealed partial class AuditService(
    AuditQueue queue, AnswerBuffer answers, Auditor auditor, CanaryRunner canaries, HubDirectoryView directory, NodeSessions sessions, IGrainFactory grains,
    IOptions<AuditOptions> options, TimeProvider time, ILogger<AuditService> logger) : BackgroundService
{
    private readonly ConcurrentDictionary<string, byte> _running = new(StringComparer.Ordinal);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (!options.Value.Enabled) return;
        using var period = new PeriodicTimer(options.Value.Period, time);
        while (await period.WaitForNextTickAsync(stoppingToken))
        {
            try
            {
                await RoundAsync(stoppingToken);
            }
            catch (Exception exception) when (exception is OrleansException or TimeoutException or StorageException)
            {
                // What was not done stays drawn.
                LogRoundFailed(exception);
            }
        }
    }

    /// <summary>One look: everything that is drawn and can be done here now, then the nodes whose quarantine only canaries can end.</summary>
    internal async Task RoundAsync(CancellationToken cancellationToken)
    {
        var drawn = await queue.ListDrawnAsync(options.Value.BatchSize, cancellationToken);
        var limits = new ParallelOptions { MaxDegreeOfParallelism = options.Value.AtOnce, CancellationToken = cancellationToken };
        await Parallel.ForEachAsync(drawn, limits, async (audit, stop) => await DoOnceAsync(audit.ReceiptId, () => CarryOutAsync(audit, stop)));
        var quarantined = (await directory.GetAsync(cancellationToken)).Nodes.Where(node => node is { Standing: Standing.Quarantined, Connected: true } && sessions.HasNode(node.NodeId));
        await Parallel.ForEachAsync(quarantined, limits, async (node, stop) => await DoOnceAsync(node.NodeId, () => ClearAsync(node, stop)));
    }

    private async Task CarryOutAsync(DrawnAudit audit, CancellationToken cancellationToken)
    {
        var kept = answers.Find(audit.JobId);
        var age = time.GetUtcNow() - audit.DrawnAt;
        // Another silo may have the answer; it goes first.
        if (kept is null && (!sessions.HasNode(audit.NodeId) || age < options.Value.Period * 2))
        {
            if (age > options.Value.KeepFor) await RecordAsync(audit, "audit", Lapsed);
            return;
        }
        if (await grains.GetGrain<INodeGrain>(audit.NodeId).GetView() is not { } worker) return;
        var seed = Seed(audit);
        var random = new Random(BitConverter.ToInt32(seed));
        var verdict = kept is null || random.NextDouble() < options.Value.CanaryShare ? null : await auditor.AuditAsync(kept, worker, audit.DeterminismClass, seed, cancellationToken);
        var kind = "audit";
        // What says nothing, because it is short or of a kind that cannot be scored, gives way to a canary too.
        if (verdict is null or { Outcome: AuditOutcome.Inconclusive } && await canaries.AskAsync(worker, audit.Model, random, cancellationToken) is { } canary)
        {
            kind = "canary";
            verdict = await auditor.AuditAsync(canary, worker, audit.DeterminismClass, seed, cancellationToken);
        }
        if (verdict is not null)
        {
            await RecordAsync(audit, kind, verdict);
            answers.Forget(audit.JobId);
        }
        else if (age > options.Value.KeepFor)
        {
            await RecordAsync(audit, "audit", Lapsed);
            answers.Forget(audit.JobId);
        }
    }

    /// <summary>A canary for a node in quarantine.</summary>
    private async Task ClearAsync(NodeView node, CancellationToken cancellationToken)
    {
        var seed = RandomNumberGenerator.GetBytes(SHA256.HashSizeInBytes);
        if (await canaries.AskAsync(node, model: null, new Random(BitConverter.ToInt32(seed)), cancellationToken) is not { } answer) return;
        if (await auditor.AuditAsync(answer, node, string.Empty, seed, cancellationToken) is not { } verdict) return;
        var ruling = await grains.GetGrain<INodeGrain>(node.NodeId).RecordAudit(
            new AuditReport($"canary:{answer.Outcome.JobId}", "canary", verdict.Outcome, string.Empty, string.Empty, verdict.Finding, verdict.Evidence));
        LogVerdict(node.NodeId, "canary", verdict.Outcome, ruling.Decision);
    }

    private async Task RecordAsync(DrawnAudit audit, string kind, AuditVerdict verdict)
    {
        var ruling = await grains.GetGrain<INodeGrain>(audit.NodeId).RecordAudit(
            new AuditReport($"audit:{audit.ReceiptId}", kind, verdict.Outcome, audit.ReceiptId, audit.DeterminismClass, verdict.Finding, verdict.Evidence));
        LogVerdict(audit.NodeId, kind, verdict.Outcome, ruling.Decision);
    }

    private async ValueTask DoOnceAsync(string name, Func<Task> work)
    {
        if (!_running.TryAdd(name, 0)) return;
        try
        {
            await work();
        }
        catch (Exception exception) when (exception is OrleansException or TimeoutException or StorageException)
        {
            LogAuditFailed(name, exception);
        }
        finally
        {
            _running.TryRemove(name, out _);
        }
    }

    /// <summary>From the epoch's beacon: unknown when the answer was given, and the same for whoever repeats the audit.</summary>
    private static byte[] Seed(DrawnAudit audit) => HMACSHA256.HashData(audit.Beacon.AsSpan(), Encoding.UTF8.GetBytes($"cf1/audit-seed\0{audit.ReceiptId}"));

    private static AuditVerdict Lapsed { get; } = new(AuditOutcome.Inconclusive, "Nobody could judge the answer in time. It counts neither way.", string.Empty);

    [LoggerMessage(7000, LogLevel.Information, "Node {NodeId}: {Kind} {Outcome}. {Decision}")]
    private partial void LogVerdict(string nodeId, string kind, AuditOutcome outcome, string decision);

    [LoggerMessage(7001, LogLevel.Warning, "Audits wait: they could not be looked up")]
    private partial void LogRoundFailed(Exception exception);

    [LoggerMessage(7002, LogLevel.Warning, "Audit {Name} could not be carried out now; it stays drawn")]
    private partial void LogAuditFailed(string name, Exception exception);
}
