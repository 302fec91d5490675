using System.Collections.Immutable;
using Federation.Contracts.Jobs;
using Federation.Contracts.Nodes;
using Federation.Protocol.Verification;
using Federation.Silo.Verification.Inference;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification.Audits;

/// <summary>Asks nodes for the log-probabilities they committed to when an answer ended.</summary>
internal sealed partial class Reveals(IGrainFactory grains, IOptions<AuditOptions> options, ILogger<Reveals> logger)
{
    /// <summary>Has the worker show the tokens that the audit's seed draws. Never throws for what a node says, or for a node that is not there.</summary>
    public async Task<RevealCheck> AskAsync(KeptAnswer kept, AnswerText answer, AuditSeed seed, bool hasStop)
    {
        var outcome = kept.Outcome;
        if (options.Value.RevealedTokens == 0) return RevealCheck.Nothing;
        // A commitment comes with the end; what broke off has none.
        if (outcome.LogprobCommitment.IsEmpty) return outcome.Status is JobStatus.Succeeded && DeterminismClass.TryParse(outcome.DeterminismClass)?.Engine == "builtin" ? RevealCheck.Uncommitted : RevealCheck.Nothing;
        var positions = AuditPlan.Tokens((int)Math.Min(outcome.CompletionTokens, int.MaxValue), seed.Bytes.Span, options.Value.RevealedTokens);
        var reveal = await AskAsync(outcome.NodeId, $"{outcome.JobId}.{outcome.Attempt}", positions);
        var check = RevealCheck.Of(outcome.LogprobCommitment.AsSpan(), positions, reveal, answer.Text, outcome.CompletionTokens, hasStop);
        // An agent that restarts, or whose memory is short, forgets many answers and has done one thing.
        if (check.Finding is RevealFinding.Forgotten && reveal.IsFirstForgotten) check = check with { Finding = RevealFinding.Withheld };
        if (check.Words.Length > 0) LogReveal(outcome.NodeId, outcome.JobId, check.Words);
        return check;
    }

    private async Task<Reveal> AskAsync(string nodeId, string leaseId, ImmutableArray<int> positions)
    {
        try
        {
            return await grains.GetGrain<INodeGrain>(nodeId).GetConnection() is { } connection ? await connection.Session.AskReveal(leaseId, positions) : Reveal.None(RevealStatus.Gone);
        }
        catch (Exception exception) when (exception is OrleansException or TimeoutException)
        {
            // Its silo is gone, and with it the connection.
            LogAskFailed(nodeId, exception);
            return Reveal.None(RevealStatus.Gone);
        }
    }

    [LoggerMessage(7120, LogLevel.Information, "Node {NodeId}, job {JobId}: {Words}")]
    private partial void LogReveal(string nodeId, string jobId, string words);

    [LoggerMessage(7121, LogLevel.Debug, "Node {NodeId} could not be asked for what it committed to")]
    private partial void LogAskFailed(string nodeId, Exception exception);
}
