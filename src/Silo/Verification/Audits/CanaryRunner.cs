using System.Collections.Immutable;
using System.Security.Cryptography;
using Federation.Contracts.Jobs;
using Federation.Contracts.Nodes;
using Federation.Protocol.OpenAi;
using Federation.Silo.Accounts;
using Federation.Silo.Gateway;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification.Audits;

/// <summary>Sends canaries: the node sees a job like any other, signs its receipt, and is paid.</summary>
internal sealed class CanaryRunner(
    DirectLeases leases, Verifiers verifiers, Settlements settlements, IOptions<CanaryOptions> canaries, IOptions<AuditOptions> audits, IOptions<GatewayOptions> gateway, TimeProvider time)
{
    /// <summary>
    /// Has the node answer a canary; <see langword="null"/> when nobody could judge the answer, or the node has no free slot now or did not answer: no
    /// evidence either way.
    /// </summary>
    /// <param name="node">The node.</param>
    /// <param name="model">What it is to answer with; <see langword="null"/>: any model of its own that chats.</param>
    /// <param name="determinismClass">Of several engines that have the model, the one of this class; another where there is none now.</param>
    /// <param name="random">Unpredictable to the node.</param>
    /// <param name="cancellationToken">Stops it.</param>
    public async Task<KeptAnswer?> AskAsync(NodeView node, string? model, string determinismClass, Random random, CancellationToken cancellationToken)
    {
        var choices = (node.Report?.Engines ?? []).SelectMany(engine => engine.Models.Where(candidate => Fits(candidate, model)).Select(candidate => (engine, candidate))).ToArray();
        if (choices.Any(choice => choice.candidate.DeterminismClass == determinismClass)) choices = [.. choices.Where(choice => choice.candidate.DeterminismClass == determinismClass)];
        if (choices.Length == 0) return null;
        var (engine, chosen) = choices[random.Next(choices.Length)];
        // The node is paid for its answer, so one that nobody can judge is not asked for.
        if (!await verifiers.HasForAsync(node, chosen.Name, chosen.Digest, cancellationToken)) return null;
        var canary = Canary.Draw(chosen.Name, canaries.Value, random);
        var isStream = RequestHead.TryRead(canary.Body.Span, canary.Kind, out var head, out _) && head.Stream;
        var lease = new DirectLease(node.NodeId, engine, chosen, $"job_{Guid.CreateVersion7():N}", canary.Kind, canary.Body, isStream, gateway.Value.AnswerTimeout);
        return await leases.AskAsync(lease, stream => ReadAsync(lease, stream, cancellationToken));
    }

    private async Task<KeptAnswer?> ReadAsync(DirectLease canary, LeaseStream lease, CancellationToken cancellationToken)
    {
        var dispatchedAt = time.GetUtcNow();
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
                    var outcome = OutcomeOf(canary, meter, dispatchedAt, first, lastAt);
                    await settlements.SettleAsync(outcome);
                    return new KeptAnswer(outcome, canary.Engine.Name, canary.Body, pieces.ToImmutable());
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

    private static JobOutcome OutcomeOf(DirectLease canary, AnswerMeter meter, DateTimeOffset dispatchedAt, DateTimeOffset firstAt, DateTimeOffset lastAt) => new(
        canary.JobId,
        1,
        OperatorAccount.AccountId,
        string.Empty,
        canary.Kind,
        canary.Model.Name,
        canary.Model.Digest,
        canary.Model.SizeBytes,
        canary.NodeId,
        JobStatus.Succeeded,
        meter.FinishReason,
        meter.PromptTokens,
        meter.CompletionTokens,
        [.. SHA256.HashData(canary.Body.Span)],
        meter.Hash(),
        dispatchedAt.ToUnixTimeMilliseconds(),
        dispatchedAt.ToUnixTimeMilliseconds(),
        firstAt.ToUnixTimeMilliseconds(),
        lastAt.ToUnixTimeMilliseconds(),
        canary.Model.DeterminismClass);

    private static bool Fits(ModelReport candidate, string? model)
        => model is null ? candidate.Capabilities.IsEmpty || candidate.Capabilities.Contains(JobKind.Chat.Word()) : candidate.Name == model;
}
