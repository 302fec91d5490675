using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using Federation.Contracts.Nodes;
using Federation.Protocol.OpenAi;
using Federation.Protocol.Verification;
using Federation.Silo.Verification.Inference;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification.Audits;

/// <summary>
/// Audits one answer: another node says how likely the model finds it, the judge decides, and what looks wrong goes before two
/// arbiters, each alone with the answer.
/// </summary>
internal sealed class Auditor(Verifiers verifiers, InferenceHistories histories, InferenceJudge judge, IOptions<InferenceCheckOptions> options)
{
    /// <summary>What is found; <see langword="null"/> when nobody can judge now. Never throws for what a node says.</summary>
    /// <param name="kept">Request and answer.</param>
    /// <param name="worker">The node that answered, as it is seen now.</param>
    /// <param name="determinismClass">What it answered with.</param>
    /// <param name="seed">Of this audit: unpredictable to the worker, the same for whoever repeats the verdict.</param>
    /// <param name="cancellationToken">Stops it.</param>
    public async Task<AuditVerdict?> AuditAsync(KeptAnswer kept, NodeView worker, string determinismClass, AuditSeed seed, CancellationToken cancellationToken)
    {
        if (!AnswerText.TryRead(kept.Answer, out var answer)) return new AuditVerdict(AuditOutcome.Inconclusive, "The answer is of a kind that is not audited: tool calls, several choices, or no text.", string.Empty);
        var candidates = await verifiers.FindAsync(worker, kept.Outcome.Model, kept.Outcome.ModelDigest, seed.ToRandom(), cancellationToken);

        using var request = JsonDocument.Parse(kept.Request);
        var question = new Question(kept, answer, request.RootElement, RequestedSampling.Of(kept.Outcome.Kind, request.RootElement), seed);
        foreach (var verifier in candidates)
        {
            if (await ScoreAsync(verifier, question, cancellationToken) is not { } scored) continue;
            var (verdict, history) = judge.Judge(scored, await histories.GetAsync(worker.NodeId, determinismClass, cancellationToken), seed.ToRandom());
            await histories.PutAsync(worker.NodeId, determinismClass, history, cancellationToken);
            return verdict.Outcome switch
            {
                InferenceOutcome.Ok => new AuditVerdict(AuditOutcome.Passed, Format($"The answer is what {kept.Outcome.Model} says: {verdict.Figures.Scored} tokens checked by another node."), Evidence(verifier, verdict, null)),
                InferenceOutcome.Inconclusive => new AuditVerdict(AuditOutcome.Inconclusive, string.Join(' ', verdict.Reasons), Evidence(verifier, verdict, null)),
                InferenceOutcome.SoftMismatch => await EscalateAsync(question, verifier, verdict, candidates, worker, cancellationToken),
                _ => throw new InvalidOperationException($"Outcome {verdict.Outcome} is not handled."),
            };
        }
        return null;
    }

    private async Task<AuditVerdict> EscalateAsync(Question question, Verifier verifier, InferenceVerdict verdict, ImmutableArray<Verifier> candidates, NodeView worker, CancellationToken cancellationToken)
    {
        var escalation = Escalation.Begin(worker.NodeId, verifier.Node.NodeId);
        foreach (var arbiter in candidates)
        {
            if (escalation.Status is not EscalationStatus.Open) break;
            if (!escalation.MayArbitrate(arbiter.Node.NodeId)) continue;
            // An arbiter judges this answer alone: what is remembered of the node speaks neither for it nor against it.
            var word = await ScoreAsync(arbiter, question, cancellationToken) is { } again
                ? judge.Judge(again, InferenceHistory.Empty, question.Seed.ToRandom()).Verdict.Outcome
                : InferenceOutcome.Inconclusive;
            escalation = escalation.Hear(arbiter.Node.NodeId, word);
        }
        var reasons = string.Join(' ', verdict.Reasons);
        var evidence = Evidence(verifier, verdict, escalation);
        return escalation.Status switch
        {
            EscalationStatus.Confirmed => new AuditVerdict(AuditOutcome.Mismatch, $"{reasons} Two arbiters found the same.", evidence),
            EscalationStatus.Cleared => new AuditVerdict(AuditOutcome.Unconfirmed, $"{reasons} An arbiter found the answer right.", evidence),
            _ => new AuditVerdict(AuditOutcome.Unconfirmed, Format($"{reasons} Only {escalation.Words.Length} arbiters could be asked; it takes {Escalation.ArbitersNeeded} to confirm."), evidence),
        };
    }

    private async Task<AuditedAnswer?> ScoreAsync(Verifier verifier, Question question, CancellationToken cancellationToken)
    {
        var (kept, answer, request, sampling, seed) = question;
        var ended = answer.FinishReason == "stop";
        var ask = new ScoreRequest
        {
            Kind = kept.Outcome.Kind.Word(),
            Model = verifier.Model.Name,
            Request = request,
            AnswerText = answer.Text,
            FinishReason = answer.FinishReason,
            Offsets = verifier.ScoresWholeTexts ? null : AuditPlan.Offsets(answer.Text, ended, seed.Bytes.Span, options.Value.Positions),
        };
        if (await verifiers.ScoreAsync(verifier, ask, cancellationToken) is not { } score) return null;
        return new AuditedAnswer
        {
            Drawing = sampling.Drawing,
            Positions = ScoredPosition.Of(score, answer.Text, endIsTheModels: ended && !sampling.HasStop, worker: []),
            FinishReason = answer.FinishReason,
            CompletionTokens = kept.Outcome.CompletionTokens,
            CompletionTokensMax = sampling.CompletionTokensMax,
            PromptTokensCounted = score.PromptTokens,
            CompletionTokensCounted = score.AnswerTokens,
            ContextTokens = score.ContextTokens,
        };
    }

    private static string Evidence(Verifier verifier, InferenceVerdict verdict, Escalation? escalation)
        => JsonSerializer.Serialize(new AuditEvidence(verifier.Node.NodeId, verdict, escalation?.Words ?? [], escalation?.Status), AuditJson.Default.AuditEvidence);

    private static string Format(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    /// <summary>All that is asked of a verifier.</summary>
    private sealed record Question(KeptAnswer Kept, AnswerText Answer, JsonElement Request, RequestedSampling Sampling, AuditSeed Seed);
}

/// <summary>What an audit came to.</summary>
/// <param name="Outcome">Arbiters heard.</param>
/// <param name="Finding">What was found, for the owner, in a sentence or two.</param>
/// <param name="Evidence">Verifier, figures and arbiters as JSON, never a word of prompt or answer; empty when nothing was scored.</param>
internal sealed record AuditVerdict(AuditOutcome Outcome, string Finding, string Evidence);

/// <summary>What stays on record of an audit.</summary>
internal sealed record AuditEvidence(string Verifier, InferenceVerdict Verdict, ImmutableArray<ArbiterWord> Arbiters, EscalationStatus? Escalation);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, UseStringEnumConverter = true, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(AuditEvidence))]
[JsonSerializable(typeof(InferenceHistory))]
internal sealed partial class AuditJson : JsonSerializerContext;
