using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json;
using Federation.Contracts.Nodes;

namespace Federation.Silo.Verification.Audits;

/// <summary>
/// Audits answers with thoughts or tool calls, of which nobody can say how likely the model finds them. Others with the same weights answer the same request: if one of them thinks, or calls tools, as the worker did, then that is
/// what the model does, and the audit says nothing; if none does, the answer was made so as not to be audited.
/// </summary>
internal sealed class UnscoredAuditor(Verifiers verifiers)
{
    /// <summary>Answers are drawn, so one that is of another kind says little.</summary>
    private const int OthersAsked = 2;

    /// <summary>How thoughts and calls look where an engine leaves them in the text: of the same weights one may take them out and another not.</summary>
    private static readonly ImmutableArray<(string Mark, Unscored What)> Marks =
        [("<think", Unscored.Thoughts), ("<|channel|>analysis", Unscored.Thoughts), ("<tool_call", Unscored.ToolCalls), ("[TOOL_CALLS]", Unscored.ToolCalls)];

    /// <summary>What is found; <see langword="null"/> when nobody can answer now.</summary>
    /// <param name="kept">Request and answer.</param>
    /// <param name="asked">What the request asked for.</param>
    /// <param name="what">What the answer has that cannot be scored.</param>
    /// <param name="candidates">Who may judge, in the order in which they are asked.</param>
    /// <param name="cancellationToken">Stops it.</param>
    public async Task<AuditVerdict?> AuditAsync(KeptAnswer kept, AskedFor asked, Unscored what, ImmutableArray<Verifier> candidates, CancellationToken cancellationToken)
    {
        var others = ImmutableArray.CreateBuilder<UnscoredReply>();
        foreach (var verifier in candidates)
        {
            // The first of its answers, where several were asked for, is as good as another.
            if (await verifiers.AnswerAsync(verifier, kept, cancellationToken) is not { } answer || AnswerText.Read([answer], asked) is not { } own) continue;
            var has = Marks.Where(mark => own.Text.Contains(mark.Mark, StringComparison.Ordinal)).Aggregate(own.Unscored, static (all, mark) => all | mark.What);
            others.Add(new UnscoredReply(verifier.Node.NodeId, verifier.Model.DeterminismClass, has));
            if ((has & what) == what)
                return new AuditVerdict(AuditOutcome.Inconclusive, $"The answer has {Words(what)}, which nobody can score; another node's answer to the same request has them too.", Evidence(what, others));
            if (others.Count == OthersAsked) break;
        }
        if (others.Count == 0) return null;
        var finding = string.Create(CultureInfo.InvariantCulture, $"The answer has {Words(what)}, which nobody can score; of {others.Count} other nodes with the same weights none answers the same request so.");
        return new AuditVerdict(AuditOutcome.Evaded, finding, Evidence(what, others));
    }

    private static string Words(Unscored what) => what switch
    {
        Unscored.Thoughts => "thoughts",
        Unscored.ToolCalls => "tool calls",
        _ => "thoughts and tool calls",
    };

    private static string Evidence(Unscored what, ImmutableArray<UnscoredReply>.Builder others) => JsonSerializer.Serialize(new UnscoredEvidence(what, others.ToImmutable()), AuditJson.Default.UnscoredEvidence);
}

/// <summary>How another node answered the same request.</summary>
internal sealed record UnscoredReply(string Node, string DeterminismClass, Unscored Unscored);

/// <summary>What stays on record of an answer that could not be scored.</summary>
internal sealed record UnscoredEvidence(Unscored Unscored, ImmutableArray<UnscoredReply> Others);
