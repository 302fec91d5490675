using System.Collections.Immutable;
using System.ComponentModel.DataAnnotations;
using Federation.Contracts.Jobs;
using Federation.Contracts.Models;
using Federation.Protocol.OpenAi;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Gateway.Routing;

/// <summary>How long it can be asked why a request went where it went.</summary>
internal sealed class RequestTraceOptions
{
    public const string SectionName = "Requests";

    /// <summary>Requests that a silo remembers, the oldest first to go; about 0.5 kB each. Default 20 000; 0: none.</summary>
    [Range(0, 10_000_000)]
    public int MaxKept { get; set; } = 20_000;

    /// <summary>How long one is remembered at most. Default a day.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "30.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan KeepFor { get; set; } = TimeSpan.FromDays(1);
}

[OptionsValidator]
internal sealed partial class RequestTraceOptionsValidator : IValidateOptions<RequestTraceOptions>;

/// <summary>
/// What became of the requests of this silo lately: which nodes were considered, why one was taken, why others failed. In memory, bounded, without a word of prompt or answer. Safe for use by several threads.
/// </summary>
internal sealed class RequestTraces(IOptions<RequestTraceOptions> options, TimeProvider time)
{
    private readonly Lock _gate = new();
    private readonly LinkedList<RequestTrace> _byAge = [];
    private readonly Dictionary<string, LinkedListNode<RequestTrace>> _byId = new(StringComparer.Ordinal);

    /// <summary>A request begins.</summary>
    public RequestTrace Begin(InferenceRequest request)
    {
        var trace = new RequestTrace(request, time.GetUtcNow());
        if (options.Value.MaxKept == 0) return trace;
        lock (_gate)
        {
            // A request that is made again by the same name, as a job's next attempt, takes its place.
            if (_byId.Remove(trace.Id, out var before)) _byAge.Remove(before);
            _byId.Add(trace.Id, _byAge.AddLast(trace));
            while (_byAge.First is { } oldest && (_byAge.Count > options.Value.MaxKept || trace.At - oldest.Value.At > options.Value.KeepFor))
            {
                _byAge.RemoveFirst();
                _byId.Remove(oldest.Value.Id);
            }
        }
        return trace;
    }

    /// <summary>A request of this silo; <see langword="null"/> when it is not remembered.</summary>
    public RequestTrace? Find(string id)
    {
        lock (_gate) return _byId.TryGetValue(id, out var known) && time.GetUtcNow() - known.Value.At <= options.Value.KeepFor ? known.Value : null;
    }
}

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
