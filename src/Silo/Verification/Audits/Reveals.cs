using System.Collections.Concurrent;
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
    private const int ForgetfulMax = 65_536;

    // Which node has been marked for what it forgot: on which connection, and for which job. Each silo keeps its own.
    private readonly ConcurrentDictionary<string, (string SessionId, string JobId)> _forgetful = new(StringComparer.Ordinal);

    /// <summary>Has the worker show the tokens that the audit's seed draws. Never throws for what a node says, or for a node that is not there.</summary>
    public async Task<RevealCheck> AskAsync(KeptAnswer kept, AnswerText answer, AuditSeed seed, bool hasStop)
    {
        var outcome = kept.Outcome;
        if (options.Value.RevealedTokens == 0) return RevealCheck.Nothing;
        // A commitment comes with the end; what broke off has none.
        if (outcome.LogprobCommitment.IsEmpty) return outcome.Status is JobStatus.Succeeded && DeterminismClass.TryParse(outcome.DeterminismClass)?.Engine == "builtin" ? RevealCheck.Uncommitted : RevealCheck.Nothing;
        var positions = AuditPlan.Tokens((int)Math.Min(outcome.CompletionTokens, int.MaxValue), seed.Bytes.Span, options.Value.RevealedTokens);
        var (reveal, sessionId) = await AskAsync(outcome.NodeId, $"{outcome.JobId}.{outcome.Attempt}", positions);
        var check = RevealCheck.Of(outcome.LogprobCommitment.AsSpan(), positions, reveal, answer.Text, outcome.CompletionTokens, hasStop);
        if (check.Finding is RevealFinding.Forgotten && IsFirstOf(sessionId, outcome.NodeId, outcome.JobId)) check = check with { Finding = RevealFinding.Withheld };
        if (check.Words.Length > 0) LogReveal(outcome.NodeId, outcome.JobId, check.Words);
        return check;
    }

    /// <summary>An agent that restarts, or whose memory is short, forgets many answers and has done one thing; an audit that is repeated finds the same again.</summary>
    private bool IsFirstOf(string sessionId, string nodeId, string jobId)
    {
        if (_forgetful.Count >= ForgetfulMax) _forgetful.Clear();
        var marked = _forgetful.AddOrUpdate(nodeId, (sessionId, jobId), (_, known) => known.SessionId == sessionId ? known : (sessionId, jobId));
        return marked.JobId == jobId;
    }

    private async Task<(Reveal Reveal, string SessionId)> AskAsync(string nodeId, string leaseId, ImmutableArray<int> positions)
    {
        try
        {
            return await grains.GetGrain<INodeGrain>(nodeId).GetConnection() is { } connection ? (await connection.Session.AskReveal(leaseId, positions), connection.SessionId) : Gone;
        }
        catch (Exception exception) when (exception is OrleansException or TimeoutException)
        {
            // Its silo is gone, and with it the connection.
            LogAskFailed(nodeId, exception);
            return Gone;
        }
    }

    private static (Reveal, string) Gone => (Reveal.None(RevealStatus.Gone), string.Empty);

    [LoggerMessage(7120, LogLevel.Information, "Node {NodeId}, job {JobId}: {Words}")]
    private partial void LogReveal(string nodeId, string jobId, string words);

    [LoggerMessage(7121, LogLevel.Debug, "Node {NodeId} could not be asked for what it committed to")]
    private partial void LogAskFailed(string nodeId, Exception exception);
}
