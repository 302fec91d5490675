using System.Collections.Immutable;
using Federation.Contracts.Jobs;
using Federation.Contracts.Models;
using Federation.Protocol.OpenAi;

namespace Federation.Silo.Gateway.Routing;

/// <summary>One request's way. Written by its run, read by anybody.</summary>
internal sealed class RequestTrace(InferenceRequest request, DateTimeOffset at)
{
    /// <summary>The state of a request that no node answered and a cloud was asked; what became of it is on record.</summary>
    public const string ToClouds = "clouds";

    private ImmutableArray<TracedAttempt> _attempts = [];

    public string Id { get; } = request.JobId;

    public string AccountId { get; } = request.Caller.AccountId;

    public JobKind Kind { get; } = request.Kind;

    public string Model { get; } = request.Head.Model;

    public Privacy Privacy { get; } = request.Privacy;

    public DateTimeOffset At { get; } = at;

    /// <summary>"running" until it is known how it ended: "completed", "cancelled", "failed" or "refused".</summary>
    public string Status { get; private set; } = "running";

    public long PromptTokens { get; private set; }

    public long CompletionTokens { get; private set; }

    public long PriceMicrocredits { get; private set; }

    public ImmutableArray<TracedAttempt> Attempts => _attempts;

    /// <summary>The pool has answered.</summary>
    public void Tried(int attempt, LeaseGrant grant, TimeSpan queued) => _attempts = _attempts.Add(new TracedAttempt(attempt, grant.Member?.NodeId, grant.Why, grant.Candidates, queued));

    /// <summary>An attempt came to its end.</summary>
    public void Ended(string outcome)
    {
        if (!_attempts.IsEmpty) _attempts[^1].Outcome = outcome;
    }

    /// <summary>Part of the answer is settled, or all of it.</summary>
    public void Settled(JobOutcome outcome)
    {
        PromptTokens += Math.Max(0, outcome.PromptTokens - outcome.CarriedTokens);
        CompletionTokens += outcome.CompletionTokens;
        PriceMicrocredits += outcome.Price;
    }

    /// <summary>The client has its answer, or will have none.</summary>
    public void Over(string status) => Status = status;
}

/// <summary>One node that was asked, or the word that there was none. Of what the pool said no more than is told: many are kept.</summary>
/// <param name="Number">1 for the first.</param>
/// <param name="NodeId">Who was asked; <see langword="null"/> where there was none.</param>
/// <param name="Why">Why this one was taken.</param>
/// <param name="Candidates">Some of those that were considered.</param>
/// <param name="Queued">How long the request had waited by then, in all.</param>
internal sealed record TracedAttempt(int Number, string? NodeId, string Why, ImmutableArray<RouteCandidate> Candidates, TimeSpan Queued)
{
    /// <summary>How it ended, in words.</summary>
    public string Outcome { get; set; } = "running";
}
