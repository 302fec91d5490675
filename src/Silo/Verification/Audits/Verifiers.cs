using System.Buffers;
using System.Collections.Immutable;
using Federation.Contracts.Jobs;
using Federation.Contracts.Nodes;
using Federation.Protocol.OpenAi;
using Federation.Protocol.Verification;
using Federation.Silo.Accounts;
using Federation.Silo.Gateway;
using Federation.Silo.Hubs;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification.Audits;

/// <summary>A node that can say what a model thinks of an answer, or would have answered.</summary>
internal sealed record Verifier(NodeView Node, EngineReport Engine, ModelReport Model)
{
    /// <summary>It reads a text as one and scores every token; other engines are asked for a few places.</summary>
    public bool ScoresWholeTexts => Engine.Kind == "builtin";
}

/// <summary>
/// Finds nodes that may judge others, and asks them. A verifier is never of the worker's account: whoever owns both would pass
/// himself. Clients' words reach only nodes that the hub trusts, or its operator's own. Scoring yields: it is given to nodes without work, and gives way to work that comes.
/// </summary>
internal sealed partial class Verifiers(HubDirectoryView directory, DirectLeases leases, IOptions<AuditOptions> options, TimeProvider time, ILogger<Verifiers> logger)
{
    /// <summary>Whether anybody could judge what this node says with this model now.</summary>
    public async Task<bool> HasForAsync(NodeView worker, string model, string modelDigest, CancellationToken cancellationToken)
        => (await CandidatesAsync(worker, model, modelDigest, cancellationToken)).Any();

    /// <summary>
    /// Who may judge what this node said: first those of the answer's determinism class, whose numbers are the most like the worker's; else in an order drawn by <paramref name="random"/>.
    /// </summary>
    public async Task<ImmutableArray<Verifier>> FindAsync(NodeView worker, JobOutcome job, Random random, CancellationToken cancellationToken)
    {
        int Distance(Verifier verifier) => DeterminismClass.ForKind(verifier.Model.DeterminismClass, job.Kind) == job.DeterminismClass ? 0 : 1;
        var candidates = (await CandidatesAsync(worker, job.Model, job.ModelDigest, cancellationToken))
            // Who cannot go on with another's answer would score the rest as if it were all.
            .Where(verifier => job.CarriedTokens == 0 || verifier.Model.Continues.Contains(job.Kind.Word()))
            .OrderBy(Distance).DistinctBy(verifier => verifier.Node.NodeId).ToArray();
        random.Shuffle(candidates);
        // Stable: among equals the drawn order stays. Whole texts are scored at once by the engine of our own, with probabilities of every token.
        return [.. candidates.OrderBy(Distance).ThenBy(verifier => verifier.ScoresWholeTexts ? 0 : 1).ThenBy(verifier => verifier.Node.Report!.RunningLeases)];
    }

    /// <summary>Has a verifier score an answer; <see langword="null"/> when it has work or gets some meanwhile, does not answer, or answers what is none.</summary>
    public async Task<ScoreAnswer?> ScoreAsync(Verifier verifier, ScoreRequest request, CancellationToken cancellationToken)
    {
        if (await AskAsync(verifier, JobKind.Score, ScoreCodec.Write(request), isStream: false, ScoreCodec.AnswerBytesMax, cancellationToken) is not { } body) return null;
        if (ScoreCodec.TryRead(body, out ScoreAnswer? answer, out var fault)) return answer;
        LogRefused(verifier.Node.NodeId, fault);
        return null;
    }

    /// <summary>Has a verifier answer what the worker was asked, in the engine's own bytes; <see langword="null"/> as with a score.</summary>
    public Task<byte[]?> AnswerAsync(Verifier verifier, KeptAnswer kept, CancellationToken cancellationToken)
    {
        var isStream = RequestHead.TryRead(kept.Request.Span, kept.Outcome.Kind, out var head, out _) && head.Stream;
        return AskAsync(verifier, kept.Outcome.Kind, kept.Request, isStream, options.Value.MaxAnswerBytes, cancellationToken);
    }

    private Task<byte[]?> AskAsync(Verifier verifier, JobKind kind, ReadOnlyMemory<byte> request, bool isStream, long bytesMax, CancellationToken cancellationToken)
    {
        var (node, engine, model) = verifier;
        var lease = new DirectLease(node.NodeId, engine, model, $"audit_{Guid.CreateVersion7():N}", kind, request, isStream, options.Value.ScoreTimeout) { Yields = true, Unpaid = true };
        return leases.AskAsync(lease, (stream, limit) => ReadAsync(verifier, stream, bytesMax, limit), cancellationToken);
    }

    private async Task<byte[]?> ReadAsync(Verifier verifier, LeaseStream lease, long bytesMax, CancellationToken cancellationToken)
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
                case LeaseEvent.Chunk chunk when body.WrittenCount + chunk.Data.Length > bytesMax:
                    LogRefused(verifier.Node.NodeId, "an answer beyond the limit");
                    return null;
                case LeaseEvent.Chunk chunk:
                    body.Write(chunk.Data.Span);
                    lease.Taken(chunk, grantAt: 1);
                    break;
                case LeaseEvent.Done:
                    return body.WrittenSpan.ToArray();
                case var other:
                    LogRefused(verifier.Node.NodeId, other.GetType().Name);
                    return null;
            }
        }
    }

    private async Task<IEnumerable<Verifier>> CandidatesAsync(NodeView worker, string model, string modelDigest, CancellationToken cancellationToken)
        => (await directory.GetAsync(cancellationToken)).Nodes
            .Where(node => node.NodeId != worker.NodeId && MayJudge(node, worker.AccountId))
            .SelectMany(node => node.Report!.Engines.SelectMany(engine => engine.Models.Where(offered => IsTheModel(offered, model, modelDigest)).Select(offered => new Verifier(node, engine, offered))));

    private bool MayJudge(NodeView node, string workerAccount)
        => node is { Connected: true, Report.AcceptsWork: true }
            && (node.Standing is Standing.Trusted || (node.Standing is Standing.Probation && options.Value.OperatorNodesVerify && node.AccountId == OperatorAccount.AccountId))
            && (node.AccountId != workerAccount || node.AccountId == OperatorAccount.AccountId);

    private static bool IsTheModel(ModelReport offered, string model, string modelDigest)
        => offered.Name == model && (offered.Digest.Length == 0 || modelDigest.Length == 0 || offered.Digest == modelDigest);

    [LoggerMessage(7100, LogLevel.Information, "Verifier {NodeId} gave no score: {Why}")]
    private partial void LogRefused(string nodeId, string why);
}
