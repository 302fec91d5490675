using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using Federation.Contracts.Jobs;
using Federation.Contracts.Nodes;
using Federation.Protocol.OpenAi;
using Federation.Protocol.Verification;
using Federation.Silo.Verification.Inference;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification.Audits;

/// <summary>
/// Audits one answer: another node says how likely the model finds it, the judge decides, and what looks wrong goes before two
/// arbiters: an answer alone, an alarm of a sum over many audits with all the answers it rests on that are still kept.
/// </summary>
internal sealed class Auditor(
    Verifiers verifiers, EmbeddingAuditor embeddings, UnscoredAuditor unscored, Reveals reveals, AuditMemory memory, InferenceJudge judge, IOptions<InferenceCheckOptions> options, IOptions<AuditOptions> audits, TimeProvider time)
{
    /// <summary>An arbiter that has failed so often within a series is asked for no more of it.</summary>
    private const int MissesMax = 5;

    /// <summary>A review is in no hurry, and an arbiter whose slots clients have taken is free again in a moment.</summary>
    private static readonly TimeSpan AfterMiss = TimeSpan.FromSeconds(2);

    /// <summary>What is found; <see langword="null"/> when nobody can judge now. Never throws for what a node says.</summary>
    /// <param name="kept">Request and answer.</param>
    /// <param name="worker">The node that answered, as it is seen now.</param>
    /// <param name="seed">Of this audit: unpredictable to the worker, the same for whoever repeats the verdict.</param>
    /// <param name="cancellationToken">Stops it.</param>
    /// <param name="positions">Positions that are scored where not all of the answer is; <see langword="null"/>: as many as usual.</param>
    public async Task<AuditVerdict?> AuditAsync(KeptAnswer kept, NodeView worker, AuditSeed seed, CancellationToken cancellationToken, int? positions = null)
    {
        if (kept.Outcome.Kind is JobKind.Embedding) return await embeddings.AuditAsync(kept, await verifiers.FindAsync(worker, kept.Outcome, seed.ToRandom(), cancellationToken), cancellationToken);
        if (Question.Of(new AuditedWork(kept, seed, []) { Positions = positions }) is not { } question) return new AuditVerdict(AuditOutcome.Evaded, "What the node claims tokens for is no answer that anybody can read.", string.Empty);
        var candidates = await verifiers.FindAsync(worker, kept.Outcome, seed.ToRandom(), cancellationToken);
        if (candidates.IsEmpty) return null;
        if (question.Answer.Unscored is not Unscored.None) return await unscored.AuditAsync(kept, question.Asked, question.Answer.Unscored, candidates, cancellationToken);
        // Engines commit to an answer of one choice.
        var reveal = question.Asked.Choices ? RevealCheck.Nothing : await reveals.AskAsync(kept, question.Answer, seed, question.Sampling.HasStop);
        if (reveal.Finding is RevealFinding.Wrong) return new AuditVerdict(AuditOutcome.Fraud, reveal.Words, Evidence(reveal, null, null, []));
        question = question with { Work = question.Work with { Worker = reveal.Tokens } };
        foreach (var verifier in candidates)
        {
            if (await ScoreAsync(verifier, question, cancellationToken) is not { } scored) continue;
            var judged = await memory.JudgeAsync(worker.NodeId, question.Work, scored, cancellationToken);
            var verdict = judged.Verdict;
            var audited = verdict.Outcome switch
            {
                InferenceOutcome.Ok => new AuditVerdict(AuditOutcome.Passed, Format($"The answer is what {kept.Outcome.Model} says: {verdict.Figures.Scored} tokens checked by another node."), Evidence(reveal, verifier, verdict, [])),
                InferenceOutcome.Inconclusive when scored.UnreadBytes > InferenceJudge.UnreadBytesMax => new AuditVerdict(AuditOutcome.Evaded, verdict.Words, Evidence(reveal, verifier, verdict, [])),
                InferenceOutcome.Inconclusive => new AuditVerdict(AuditOutcome.Inconclusive, verdict.Words, Evidence(reveal, verifier, verdict, [])),
                InferenceOutcome.SoftMismatch => await EscalateAsync(question, reveal, verifier, judged, candidates, worker, cancellationToken),
                _ => throw new InvalidOperationException($"Outcome {verdict.Outcome} is not handled."),
            };
            return (reveal.Finding is RevealFinding.Withheld ? Withheld(audited, reveal) : audited) with { Judged = judged };
        }
        return null;
    }

    /// <summary>Puts a verdict on record, and in the same step what it leaves behind for later audits.</summary>
    /// <param name="node">Whose.</param>
    /// <param name="report">The verdict.</param>
    /// <param name="judged">What it leaves behind, <see cref="AuditVerdict.Judged"/>; <see langword="null"/>: nothing.</param>
    /// <param name="cancellationToken">Stops the wait for others.</param>
    public Task<Ruling> RecordAsync(INodeGrain node, AuditReport report, JudgedAnswer? judged, CancellationToken cancellationToken)
        => judged is null ? node.RecordAudit(report) : memory.RecordAsync(judged, history => node.RecordAudit(report with { History = history }), cancellationToken);

    private async Task<AuditVerdict> EscalateAsync(
        Question question, RevealCheck reveal, Verifier verifier, JudgedAnswer judged, ImmutableArray<Verifier> candidates, NodeView worker, CancellationToken cancellationToken)
    {
        var (verdict, alarms) = (judged.Verdict, judged.Alarms);
        // One limit for all of it: an audit's slot is one of few.
        var limit = audits.Value.ReviewTimeout / (alarms.Length + 1);
        Task<Escalation> HearAsync(Func<Verifier, CancellationToken, Task<(InferenceOutcome, AlarmReview?)>> ask)
            => Hearing.HearAsync(Escalation.Begin(worker.NodeId, verifier.Node.NodeId), candidates, arbiter => arbiter.Node.NodeId, ask, limit, time, cancellationToken);
        var findings = new List<string>();
        var escalations = ImmutableArray.CreateBuilder<Escalation>();
        if (!verdict.Reasons.IsEmpty)
        {
            // An arbiter judges this answer alone: what is remembered of the node speaks neither for it nor against it.
            var escalation = await HearAsync(
                async (arbiter, over) => (await ScoreAsync(arbiter, question, over) is { } again ? Alone(again, question).Outcome : InferenceOutcome.Inconclusive, null));
            escalations.Add(escalation);
            findings.Add($"{string.Join(' ', verdict.Reasons)} {Words(escalation, "found the same", "found the answer right")}");
        }
        foreach (var (alarm, works) in alarms)
        {
            if (works.Length < options.Value.AlarmReviewAuditsMin)
            {
                findings.Add(Format($"{alarm.Words} Of these answers {works.Length} are still kept and an alarm is looked into with {options.Value.AlarmReviewAuditsMin} or more, so it stays unconfirmed."));
                continue;
            }
            var escalation = await HearAsync(
                async (arbiter, over) => await ReviewAsync(arbiter, alarm.Sum, works, over) is var review ? (review.Outcome, review) : default);
            escalations.Add(escalation);
            findings.Add($"{alarm.Words} {Words(escalation, Format($"scored {works.Length} of these answers anew and found the same"), Format($"scored {works.Length} of these answers anew and found them right"))}");
        }
        var outcome = escalations.Any(escalation => escalation.Status is EscalationStatus.Confirmed) ? AuditOutcome.Mismatch : AuditOutcome.Unconfirmed;
        return new AuditVerdict(outcome, string.Join(' ', findings), Evidence(reveal, verifier, verdict, escalations.ToImmutable()));
    }

    /// <summary>An arbiter scores what is left of what an alarm rests on, the latest first, for as long as it may take.</summary>
    private async Task<AlarmReview> ReviewAsync(Verifier arbiter, AuditSum sum, ImmutableArray<AuditedWork> works, CancellationToken over)
    {
        var scores = new List<double>(works.Length);
        var misses = 0;
        try
        {
            foreach (var question in works.Reverse().Select(Question.Of).OfType<Question>())
            {
                AuditedAnswer? again;
                while ((again = await ScoreAsync(arbiter, question, over)) is null && ++misses < MissesMax) await Task.Delay(AfterMiss, time, over);
                if (again is null) break;
                var figures = Alone(again, question).Figures;
                if ((sum is AuditSum.Margin ? figures.MarginScore : figures.DeltaScore) is { } score) scores.Add(score);
            }
        }
        catch (OperationCanceledException) when (scores.Count > 0)
        {
            // The threshold holds for any number of answers.
        }
        return AlarmReview.Of(sum, scores, options.Value);
    }

    private InferenceVerdict Alone(AuditedAnswer answer, Question question) => judge.Judge(answer, InferenceHistory.Empty, question.Work.Seed.ToRandom()).Verdict;

    internal static string Words(Escalation escalation, string same, string right) => escalation.Status switch
    {
        EscalationStatus.Confirmed => $"Two arbiters {same}.",
        EscalationStatus.Cleared => $"An arbiter {right}.",
        _ => Format($"Only {escalation.Words.Count(word => word.Outcome is not InferenceOutcome.Inconclusive)} arbiters had an answer; it takes {Escalation.ArbitersNeeded} to confirm."),
    };

    private async Task<AuditedAnswer?> ScoreAsync(Verifier verifier, Question question, CancellationToken cancellationToken)
    {
        var (work, answer, request, asked, sampling) = question;
        var outcome = work.Kept.Outcome;
        var ended = answer.FinishReason == "stop";
        var isWhole = answer.FinishReason.Length > 0 || (outcome.Status is JobStatus.Succeeded && !answer.BrokeOff);
        var ask = new ScoreRequest
        {
            Kind = outcome.Kind.Word(),
            Model = verifier.Model.Name,
            Request = request,
            AnswerText = answer.Text,
            FinishReason = answer.FinishReason,
            Offsets = verifier.ScoresWholeTexts ? null : AuditPlan.Offsets(answer.Text, ended, work.Seed.Bytes.Span, work.Positions ?? options.Value.Positions),
        };
        if (await verifiers.ScoreAsync(verifier, ask, cancellationToken) is not { } score) return null;
        var read = ReadPart.Of(score, answer.Text, RequestedSampling.StopBytes(request));
        return new AuditedAnswer
        {
            UnreadBytes = read.UnreadBytes,
            Drawing = sampling.Drawing,
            Positions = ScoredPosition.Of(score, answer.Text, endIsTheModels: ended && !sampling.HasStop, work.Worker, isWhole),
            FinishReason = answer.FinishReason,
            IsWhole = isWhole,
            PromptTokens = outcome.PromptTokens,
            CompletionTokens = outcome.CompletionTokens,
            CompletionTokensMax = sampling.CompletionTokensMax,
            ModelBytes = outcome.ModelSizeBytes,
            // Of the same digest, which alone says that there is one right size.
            ModelBytesCounted = outcome.ModelDigest.Length > 0 && verifier.Model.Digest == outcome.ModelDigest && verifier.Model.SizeBytes > 0 ? verifier.Model.SizeBytes : null,
            PromptTokensCounted = score.PromptTokens,
            CompletionTokensCounted = asked.Choices ? read.TokensMax + answer.OtherBytes : read.TokensMax,
            ContextTokens = score.ContextTokens,
        };
    }

    /// <summary>Who keeps back what he bound himself to is under suspicion, whatever is found without it.</summary>
    private static AuditVerdict Withheld(AuditVerdict audited, RevealCheck reveal) => audited with
    {
        Outcome = audited.Outcome is AuditOutcome.Passed or AuditOutcome.Inconclusive or AuditOutcome.Evaded ? AuditOutcome.Unconfirmed : audited.Outcome,
        Finding = $"{audited.Finding} {reveal.Words}",
    };

    private static string Evidence(RevealCheck reveal, Verifier? verifier, InferenceVerdict? verdict, ImmutableArray<Escalation> escalations)
        => JsonSerializer.Serialize(
            new AuditEvidence(
                verifier?.Node.NodeId, verifier?.Model.DeterminismClass, verdict, reveal is { Finding: RevealFinding.None, Asked: 0 } ? null : new RevealEvidence(reveal.Finding, reveal.Asked, reveal.Tokens.Length, reveal.Wrong), [.. escalations.Select(escalation => new EscalationEvidence(escalation.Words, escalation.Status))]), AuditJson.Default.AuditEvidence);

    private static string Format(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    /// <summary>All that is asked of a verifier.</summary>
    private sealed record Question(AuditedWork Work, AnswerText Answer, JsonElement Request, AskedFor Asked, RequestedSampling Sampling)
    {
        /// <summary><see langword="null"/> for what is no answer.</summary>
        public static Question? Of(AuditedWork work)
        {
            using var request = JsonDocument.Parse(work.Kept.Request);
            var root = request.RootElement.Clone();
            var asked = AskedFor.Of(root);
            return AnswerText.Read(work.Kept.Answer, asked, work.Seed.ToDraw()) is { } answer ? new Question(work, answer, root, asked, RequestedSampling.Of(work.Kept.Outcome.Kind, root)) : null;
        }
    }
}

/// <summary>What an audit came to.</summary>
/// <param name="Outcome">Arbiters heard.</param>
/// <param name="Finding">What was found, for the owner, in a sentence or two.</param>
/// <param name="Evidence">Verifier, figures and arbiters as JSON, never a word of prompt or answer but for the token that a wrong reveal is about; empty when nothing was scored.</param>
internal sealed record AuditVerdict(AuditOutcome Outcome, string Finding, string Evidence)
{
    /// <summary>What it leaves behind once it is on record, see <see cref="Auditor.RecordAsync"/>; <see langword="null"/>: nothing.</summary>
    public JudgedAnswer? Judged { get; init; }
}

/// <summary>What stays on record of an audit.</summary>
/// <param name="Verifier">Who scored the answer first.</param>
/// <param name="VerifierClass">The determinism class it scored in; the worker's own where there was such a verifier.</param>
/// <param name="Verdict">The judge's, of that score.</param>
/// <param name="Reveal">What the worker showed of what it had committed to; null where it was not asked.</param>
/// <param name="Escalations">Of the answer itself, and of each alarm that arbiters looked into.</param>
internal sealed record AuditEvidence(string? Verifier, string? VerifierClass, InferenceVerdict? Verdict, RevealEvidence? Reveal, ImmutableArray<EscalationEvidence> Escalations)
{
    /// <summary>What two nodes' vectors came to; null where the answer was text.</summary>
    public EmbeddingVerdict? Embedding { get; init; }
}

/// <summary>A reveal in figures, and of one that bans the node what anybody can check.</summary>
internal sealed record RevealEvidence(RevealFinding Finding, int Asked, int Shown, WrongReveal? Wrong);

/// <summary>What arbiters said, one by one, and what that came to.</summary>
internal sealed record EscalationEvidence(ImmutableArray<ArbiterWord> Arbiters, EscalationStatus Status);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, UseStringEnumConverter = true, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(AuditEvidence))]
[JsonSerializable(typeof(UnscoredEvidence))]
[JsonSerializable(typeof(InferenceHistory))]
internal sealed partial class AuditJson : JsonSerializerContext;
