using System.Collections.Immutable;
using System.Security.Cryptography;
using Federation.Contracts.Jobs;
using Federation.Contracts.Models;
using Federation.Contracts.Nodes;
using Federation.Protocol.OpenAi;
using Federation.Silo.Accounts;
using Federation.Silo.Gateway;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification.Audits;

/// <summary>Sends canaries: the node sees a job like any other, signs its receipt, and is paid.</summary>
internal sealed class CanaryRunner(
    IGrainFactory grains, LeaseDispatcher dispatcher, Settlements settlements, IOptions<CanaryOptions> canaries, IOptions<AuditOptions> audits, IOptions<GatewayOptions> gateway, TimeProvider time)
{
    /// <summary>Has the node answer a canary; <see langword="null"/> when it has no free slot now, or did not answer: no evidence either way.</summary>
    /// <param name="node">The node.</param>
    /// <param name="model">What it is to answer with; <see langword="null"/>: any model of its own that chats.</param>
    /// <param name="random">Unpredictable to the node.</param>
    /// <param name="cancellationToken">Stops it.</param>
    public async Task<KeptAnswer?> AskAsync(NodeView node, string? model, Random random, CancellationToken cancellationToken)
    {
        var choices = (node.Report?.Engines ?? []).SelectMany(engine => engine.Models.Where(candidate => Fits(candidate, model)).Select(candidate => (engine, candidate))).ToArray();
        if (choices.Length == 0 || await grains.GetGrain<INodeGrain>(node.NodeId).GetConnection() is not { } connection) return null;
        var (engine, chosen) = choices[random.Next(choices.Length)];
        var canary = Canary.Draw(chosen.Name, canaries.Value, random);
        var jobId = $"job_{Guid.CreateVersion7():N}";
        var member = new PoolMember(connection.SessionId, 0, node.NodeId, engine.Name, engine.Slots, engine.Slots, chosen, connection.Session);
        var isStream = RequestHead.TryRead(canary.Body.Span, canary.Kind, out var head, out _) && head.Stream;
        var dispatchedAt = time.GetUtcNow();
        var (status, lease) = await dispatcher.DispatchAsync(
            member, new LeaseAssignment($"{jobId}.1", jobId, canary.Kind, chosen.Name, engine.Name, canary.Body, isStream, gateway.Value.AnswerTimeout, Attempt: 1));
        if (status is not AssignStatus.Sent) return null;
        await using (lease)
        {
            try
            {
                return await ReadAsync(lease!, jobId, canary, member, dispatchedAt, cancellationToken);
            }
            catch (TimeoutException)
            {
                // A node that is slow or gone is the gateway's business: clients' requests tell the same.
                lease!.Cancel("deadline");
                return null;
            }
        }
    }

    private async Task<KeptAnswer?> ReadAsync(LeaseStream lease, string jobId, Canary canary, PoolMember member, DateTimeOffset dispatchedAt, CancellationToken cancellationToken)
    {
        using var meter = new AnswerMeter(canary.Body.Length);
        var pieces = ImmutableArray.CreateBuilder<ReadOnlyMemory<byte>>();
        var bytes = 0L;
        DateTimeOffset? firstAt = null;
        var lastAt = dispatchedAt;
        while (true)
        {
            switch (await lease.ReadAsync(gateway.Value.FirstByteTimeout, time, cancellationToken))
            {
                case LeaseEvent.Head { Status: 200 }:
                    break;
                case LeaseEvent.Chunk chunk when (bytes += chunk.Data.Length) <= audits.Value.MaxAnswerBytes:
                    meter.AddBytes(chunk.Data.Span);
                    pieces.Add(chunk.Data);
                    lastAt = time.GetUtcNow();
                    firstAt ??= lastAt;
                    lease.Taken(chunk, gateway.Value.GrantAt);
                    break;
                case LeaseEvent.Done done when firstAt is { } first:
                    AddFacts(meter, pieces, audits.Value.MaxAnswerBytes);
                    meter.AddReport(done.PromptTokens, done.CompletionTokens, done.FinishReason);
                    var outcome = OutcomeOf(jobId, canary, member, meter, dispatchedAt, first, lastAt);
                    await settlements.SettleAsync(outcome);
                    return new KeptAnswer(outcome, member.Engine, canary.Body, pieces.ToImmutable());
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

    private static JobOutcome OutcomeOf(string jobId, Canary canary, PoolMember member, AnswerMeter meter, DateTimeOffset dispatchedAt, DateTimeOffset firstAt, DateTimeOffset lastAt) => new(
        jobId,
        1,
        OperatorAccount.AccountId,
        string.Empty,
        canary.Kind,
        member.Model.Name,
        member.Model.Digest,
        member.Model.SizeBytes,
        member.NodeId,
        JobStatus.Succeeded,
        meter.FinishReason,
        meter.PromptTokens,
        meter.CompletionTokens,
        [.. SHA256.HashData(canary.Body.Span)],
        meter.Hash(),
        dispatchedAt.ToUnixTimeMilliseconds(),
        dispatchedAt.ToUnixTimeMilliseconds(),
        firstAt.ToUnixTimeMilliseconds(),
        lastAt.ToUnixTimeMilliseconds());

    private static bool Fits(ModelReport candidate, string? model)
        => model is null ? candidate.Capabilities.IsEmpty || candidate.Capabilities.Contains(JobKind.Chat.Word()) : candidate.Name == model;
}
