using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json;
using Federation.Contracts.Nodes;
using Federation.Silo.Verification.Inference;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification.Audits;

/// <summary>Audits vectors: nobody can score them, but whoever has the same weights makes the same of the same texts, for as much work as the worker had. What looks wrong goes before two arbiters, as text does.</summary>
internal sealed class EmbeddingAuditor(Verifiers verifiers, IOptions<InferenceCheckOptions> options, IOptions<AuditOptions> audits, TimeProvider time)
{
    /// <summary>What is found; <see langword="null"/> when nobody can judge now.</summary>
    /// <param name="kept">Request and answer.</param>
    /// <param name="candidates">Who may judge, in the order in which they are asked.</param>
    /// <param name="cancellationToken">Stops it.</param>
    public async Task<AuditVerdict?> AuditAsync(KeptAnswer kept, ImmutableArray<Verifier> candidates, CancellationToken cancellationToken)
    {
        var worker = EmbeddingAnswer.Read(Joined(kept.Answer));
        foreach (var verifier in candidates)
        {
            if (await CompareAsync(verifier, kept, worker, cancellationToken) is not { } verdict) continue;
            if (verdict.Outcome is InferenceOutcome.Ok)
            {
                var passed = string.Create(CultureInfo.InvariantCulture, $"The {verdict.Vectors} vectors are what {kept.Outcome.Model} makes of the texts: another node made the same.");
                return new AuditVerdict(AuditOutcome.Passed, passed, Evidence(verifier, verdict, []));
            }
            var escalation = await Hearing.HearAsync(
                Escalation.Begin(kept.Outcome.NodeId, verifier.Node.NodeId), candidates, arbiter => arbiter.Node.NodeId,
                async (arbiter, over) => ((await CompareAsync(arbiter, kept, worker, over))?.Outcome ?? InferenceOutcome.Inconclusive, null),
                audits.Value.ReviewTimeout, time, cancellationToken);
            var finding = $"{string.Join(' ', verdict.Reasons)} {Auditor.Words(escalation, "found the same", "found the answer right")}";
            return new AuditVerdict(escalation.Status is EscalationStatus.Confirmed ? AuditOutcome.Mismatch : AuditOutcome.Unconfirmed, finding, Evidence(verifier, verdict, [new EscalationEvidence(escalation.Words, escalation.Status)]));
        }
        return null;
    }

    private async Task<EmbeddingVerdict?> CompareAsync(Verifier verifier, KeptAnswer kept, EmbeddingAnswer? worker, CancellationToken cancellationToken)
        => await verifiers.AnswerAsync(verifier, kept, cancellationToken) is { } answer && EmbeddingAnswer.Read(answer) is { } own
            ? EmbeddingJudge.Judge(worker, kept.Outcome.PromptTokens, kept.Outcome.CompletionTokens, own, options.Value)
            : null;

    private static byte[] Joined(ImmutableArray<ReadOnlyMemory<byte>> pieces) => [.. pieces.SelectMany(piece => piece.ToArray())];

    private static string Evidence(Verifier verifier, EmbeddingVerdict verdict, ImmutableArray<EscalationEvidence> escalations)
        => JsonSerializer.Serialize(new AuditEvidence(verifier.Node.NodeId, verifier.Model.DeterminismClass, null, null, escalations) { Embedding = verdict }, AuditJson.Default.AuditEvidence);
}
