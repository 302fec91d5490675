using System.Collections.Immutable;
using System.Security.Cryptography;
using Federation.Contracts.Jobs;
using Federation.Contracts.Nodes;
using Federation.Protocol.OpenAi;
using Federation.Protocol.Verification;
using Federation.Silo.Accounts;
using Federation.Silo.Gateway;
using Federation.Silo.Nodes;
using Microsoft.Extensions.Options;
using static Federation.Silo.Storage.UnixTime;

namespace Federation.Silo.Verification.Audits;

/// <summary>Jobs of the hub's own for one certain node: it sees a job like any other, signs its receipt, and is paid.</summary>
internal sealed class OwnJobs(DirectLeases leases, Settlements settlements, Abandonments abandonments, IOptions<AuditOptions> audits, IOptions<GatewayOptions> gateway, TimeProvider time)
{
    /// <summary>Has the node answer; <see langword="null"/> when it has no free slot now, or did not answer.</summary>
    public Task<KeptAnswer?> AskAsync(DirectLease job, CancellationToken cancellationToken) => leases.AskAsync(job, (stream, limit) => ReadAsync(job, stream, limit), cancellationToken);

    private async Task<KeptAnswer?> ReadAsync(DirectLease job, LeaseStream lease, CancellationToken cancellationToken)
    {
        var dispatchedAt = time.GetUtcNow();
        using var meter = new AnswerMeter(job.Body.Length);
        var pieces = ImmutableArray.CreateBuilder<ReadOnlyMemory<byte>>();
        var text = new FirstText(audits.Value.MaxAnswerBytes);
        var bytes = 0L;
        DateTimeOffset? firstAt = null;
        var lastAt = dispatchedAt;
        while (true)
        {
            switch (await lease.ReadAsync(gateway.Value.FirstByteTimeout, time, cancellationToken))
            {
                case LeaseEvent.Head { Status: 200 }:
                    break;
                case LeaseEvent.Chunk chunk when (bytes += chunk.Data.Length + Lease.ChunkOverheadBytes) <= audits.Value.MaxAnswerBytes:
                    meter.AddBytes(chunk.Data.Span);
                    pieces.Add(chunk.Data);
                    lastAt = time.GetUtcNow();
                    // Some engines name the assistant before they have read the prompt.
                    if (firstAt is null && (!job.Stream || text.IsIn(chunk.Data))) firstAt = lastAt;
                    lease.Taken(chunk, gateway.Value.GrantAt);
                    break;
                case LeaseEvent.Done done when pieces.Count > 0:
                    AddFacts(meter, pieces, audits.Value.MaxAnswerBytes);
                    meter.AddReport(done.PromptTokens, done.CompletionTokens, done.FinishReason);
                    var outcome = OutcomeOf(job, meter, dispatchedAt, firstAt ?? lastAt, lastAt) with { LogprobCommitment = done.LogprobCommitment };
                    // While the database is away, the node's slot is not held for it.
                    _ = await settlements.KeepAsync(outcome);
                    return new KeptAnswer(outcome, job.Engine.Name, job.Body, pieces.ToImmutable());
                case LeaseEvent.Failed failed:
                    // As with a client's; what gives way to work has its own account of who did not sit.
                    if (!job.Yields && Abandonments.IsOne(failed, time.GetUtcNow() - dispatchedAt, job.TimeLimit)) abandonments.Tell(job.NodeId, job.Model, job.JobId, Abandonments.Words(failed));
                    return null;
                default:
                    return null;
            }
        }
    }

    /// <summary>Counts what came as the gateway counts a client's answer.</summary>
    private static void AddFacts(AnswerMeter meter, ImmutableArray<ReadOnlyMemory<byte>>.Builder pieces, long maxBytes)
    {
        var scanner = new SseScanner((int)Math.Min(maxBytes, int.MaxValue));
        var events = 0;
        foreach (var piece in pieces)
        {
            var bytes = piece.Span;
            while (scanner.TryRead(ref bytes, out var item))
            {
                meter.AddFacts(item.Facts);
                events++;
            }
        }
        if (events > 0) return;
        var whole = new AnswerScanner((int)Math.Min(maxBytes, int.MaxValue));
        foreach (var piece in pieces) whole.Feed(piece.Span);
        whole.End();
        meter.AddFacts(whole.Facts);
    }

    private static JobOutcome OutcomeOf(DirectLease job, AnswerMeter meter, DateTimeOffset dispatchedAt, DateTimeOffset firstAt, DateTimeOffset lastAt) => new(
        job.JobId,
        1,
        OperatorAccount.AccountId,
        string.Empty,
        job.Kind,
        job.Model.Name,
        job.Model.Digest,
        job.Model.SizeBytes,
        job.NodeId,
        JobStatus.Succeeded,
        meter.FinishReason,
        meter.PromptTokens,
        meter.CompletionTokens,
        [.. SHA256.HashData(job.Body.Span)],
        meter.Hash(),
        Ms(dispatchedAt),
        Ms(dispatchedAt),
        Ms(firstAt),
        Ms(lastAt),
        DeterminismClass.ForKind(job.Model.DeterminismClass, job.Kind))
    {
        RequestBytes = job.Body.Length,
        TextBytes = meter.TextBytes,
    };
}
