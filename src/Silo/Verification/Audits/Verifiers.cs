using System.Buffers;
using System.Collections.Immutable;
using Federation.Contracts.Jobs;
using Federation.Contracts.Models;
using Federation.Contracts.Nodes;
using Federation.Protocol.OpenAi;
using Federation.Protocol.Verification;
using Federation.Silo.Accounts;
using Federation.Silo.Gateway;
using Federation.Silo.Hubs;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification.Audits;

/// <summary>A node that can say what a model thinks of an answer.</summary>
internal sealed record Verifier(NodeView Node, EngineReport Engine, ModelReport Model);

/// <summary>
/// Finds nodes that may judge others, and asks them. A verifier is never of the worker's account: whoever owns both would pass
/// himself. Clients' words reach only nodes that the hub trusts, or its operator's own.
/// </summary>
internal sealed partial class Verifiers(
    HubDirectoryView directory, IGrainFactory grains, LeaseDispatcher dispatcher, IOptions<AuditOptions> options, TimeProvider time, ILogger<Verifiers> logger)
{
    /// <summary>Who may judge this answer now, in an order drawn by <paramref name="random"/>.</summary>
    public async Task<ImmutableArray<Verifier>> FindAsync(JobOutcome job, string workerAccount, Random random, CancellationToken cancellationToken)
    {
        var nodes = (await directory.GetAsync(cancellationToken)).Nodes;
        var candidates = nodes
            .Where(node => node.NodeId != job.NodeId && MayJudge(node, workerAccount))
            .SelectMany(node => node.Report!.Engines.SelectMany(engine => engine.Models.Where(model => IsTheModel(model, job)).Select(model => new Verifier(node, engine, model))))
            .DistinctBy(verifier => verifier.Node.NodeId)
            .ToArray();
        random.Shuffle(candidates);
        // Stable: among equals the drawn order stays. Whole texts are scored at once by the engine of our own, with probabilities of every token.
        return [.. candidates.OrderBy(verifier => verifier.Engine.Kind == "builtin" ? 0 : 1).ThenBy(verifier => verifier.Node.Report!.RunningLeases)];
    }

    /// <summary>Has a verifier score an answer; <see langword="null"/> when it has no time, does not answer, or answers what is none.</summary>
    public async Task<ScoreAnswer?> ScoreAsync(Verifier verifier, ScoreRequest request, CancellationToken cancellationToken)
    {
        var jobId = $"audit_{Guid.CreateVersion7():N}";
        if (await grains.GetGrain<INodeGrain>(verifier.Node.NodeId).GetConnection() is not { } connection) return null;
        var member = new PoolMember(connection.SessionId, 0, verifier.Node.NodeId, verifier.Engine.Name, verifier.Engine.Slots, verifier.Engine.Slots, verifier.Model, connection.Session);
        var assignment = new LeaseAssignment($"{jobId}.1", jobId, JobKind.Score, verifier.Model.Name, verifier.Engine.Name, ScoreCodec.Write(request), Stream: false, options.Value.ScoreTimeout, Attempt: 1);
        var (status, lease) = await dispatcher.DispatchAsync(member, assignment);
        if (status is not AssignStatus.Sent) return null;
        await using (lease)
        {
            try
            {
                return await ReadAsync(verifier, lease!, cancellationToken);
            }
            catch (TimeoutException exception)
            {
                LogSlow(verifier.Node.NodeId, exception);
                lease!.Cancel("deadline");
                return null;
            }
        }
    }

    private async Task<ScoreAnswer?> ReadAsync(Verifier verifier, LeaseStream lease, CancellationToken cancellationToken)
    {
        var body = new ArrayBufferWriter<byte>();
        while (true)
        {
            switch (await lease.ReadAsync(options.Value.ScoreTimeout, time, cancellationToken))
            {
                case LeaseEvent.Head { Status: 200 }:
                    break;
                case LeaseEvent.Head head:
                    LogRefused(verifier.Node.NodeId, $"status {head.Status}");
                    return null;
                case LeaseEvent.Chunk chunk when body.WrittenCount + chunk.Data.Length > ScoreCodec.AnswerBytesMax:
                    LogRefused(verifier.Node.NodeId, "an answer beyond the limit");
                    return null;
                case LeaseEvent.Chunk chunk:
                    body.Write(chunk.Data.Span);
                    lease.Taken(chunk, grantAt: 1);
                    break;
                case LeaseEvent.Done:
                    if (ScoreCodec.TryRead(body.WrittenSpan, out ScoreAnswer? answer, out var fault)) return answer;
                    LogRefused(verifier.Node.NodeId, fault);
                    return null;
                case var other:
                    LogRefused(verifier.Node.NodeId, other.GetType().Name);
                    return null;
            }
        }
    }

    private bool MayJudge(NodeView node, string workerAccount)
        => node is { Connected: true, Report.AcceptsWork: true }
            && (node.Standing is Standing.Trusted || (node.Standing is Standing.Probation && options.Value.OperatorNodesVerify && node.AccountId == OperatorAccount.AccountId))
            && (node.AccountId != workerAccount || node.AccountId == OperatorAccount.AccountId);

    private static bool IsTheModel(ModelReport model, JobOutcome job)
        => model.Name == job.Model && (model.Digest.Length == 0 || job.ModelDigest.Length == 0 || model.Digest == job.ModelDigest);

    [LoggerMessage(7100, LogLevel.Information, "Verifier {NodeId} took too long over an answer")]
    private partial void LogSlow(string nodeId, Exception exception);

    [LoggerMessage(7101, LogLevel.Information, "Verifier {NodeId} gave no score: {Why}")]
    private partial void LogRefused(string nodeId, string why);
}
