using System.Collections.Immutable;
using System.Globalization;
using Dapper;
using Federation.Protocol.OpenAi;
using Federation.Silo.Accounts;
using Federation.Silo.Storage;

namespace Federation.Silo.Gateway.Routing;

/// <summary><c>GET /v1/requests/{id}</c>: where an answer came from, and why from there.</summary>
internal static class RequestEndpoints
{
    // Its own, and as many as an answer may go over to other nodes.
    private const int PartsMax = 101;

    public static void MapRequests(this IEndpointRouteBuilder app)
        => app.MapGet("/v1/requests/{id}", GetAsync).RequireScope(Scopes.Inference)
            .WithName("get_request").WithSummary("For a day, by its x-request-id: the nodes that were considered, why one was taken, why others failed, and what it cost. The caller's own; for the operator anybody's.")
            .WithTags("inference").Produces<RequestJson>();

    private static async Task<IResult> GetAsync(HttpContext http, RequestTraces traces, HubDatabase database, string id)
    {
        var caller = http.Caller();
        var trace = traces.Find(id);
        if (trace is not null && !caller.IsAdmin && trace.AccountId != caller.AccountId) return Unknown(id);
        if (trace is not null && trace.Status != RequestTrace.ToClouds) return Answers.Json(RequestJson.Of(trace));
        // Another silo may have served it, or a cloud, or it is older: what is on record is told all the same.
        var parts = await FindAsync(database, id, http.RequestAborted);
        if (parts.IsEmpty) return trace is null ? Unknown(id) : Answers.Json(RequestJson.Of(trace));
        if (!caller.IsAdmin && parts[0].AccountId != caller.AccountId) return Unknown(id);
        var told = RequestJson.Of(id, parts);
        return Answers.Json(trace is null ? told : told with { Privacy = trace.Privacy.Word(), Attempts = [.. RequestJson.Of(trace).Attempts, .. told.Attempts] });
    }

    private static IResult Unknown(string id) => Answers.Error(OpenAiError.NotFound($"There is no request '{id}' of yours that the hub remembers."));

    /// <summary>What is on record of a request: its own part, and beside it, as "~2" and so on, what other nodes went on with.</summary>
    internal static Task<ImmutableArray<JobPart>> FindAsync(HubDatabase database, string id, CancellationToken cancellationToken) => database.ReadAsync(
        async connection => (await connection.QueryAsync<JobPart>(
            $"""
            SELECT id AS Id, account_id AS AccountId, kind AS Kind, model AS Model, COALESCE(node_id, '') AS NodeId, COALESCE(provider, '') AS Provider, attempt AS Attempt, prompt_tokens AS PromptTokens, completion_tokens AS CompletionTokens,
                   price AS Price, status AS Status, created_at AS CreatedAt, COALESCE(dispatched_at, created_at) AS DispatchedAt
            FROM jobs WHERE {database.Dialect.In("id", "ids")} ORDER BY attempt
            """,
            // By their names, one by one: what lies between two texts is each database's own opinion.
            new { ids = database.Dialect.Set([id, .. Enumerable.Range(2, PartsMax - 1).Select(part => string.Create(CultureInfo.InvariantCulture, $"{id}~{part}"))]) })).ToImmutableArray(),
        cancellationToken);

    /// <summary>What is on record of a request, or of what another node went on with.</summary>
    internal sealed record JobPart
    {
        public required string Id { get; init; }

        public required string AccountId { get; init; }

        public required string Kind { get; init; }

        public required string Model { get; init; }

        public required string NodeId { get; init; }

        public required string Provider { get; init; }

        public long Attempt { get; init; }

        public long PromptTokens { get; init; }

        public long CompletionTokens { get; init; }

        public long Price { get; init; }

        public required string Status { get; init; }

        public long CreatedAt { get; init; }

        public long DispatchedAt { get; init; }
    }

    internal sealed record RequestJson(string Id, string Kind, string Model, string? Privacy, DateTimeOffset CreatedAt, string Status, UsageJson Usage, long PriceMicrocredits, ImmutableArray<AttemptJson> Attempts)
    {
        public string Object { get; } = "request";

        public static RequestJson Of(RequestTrace trace) => new(
            trace.Id, trace.Kind.Word(), trace.Model, trace.Privacy.Word(), trace.At, trace.Status, new UsageJson(trace.PromptTokens, trace.CompletionTokens), trace.PriceMicrocredits,
            [.. trace.Attempts.Select(attempt => new AttemptJson(
                attempt.Number,
                attempt.NodeId,
                attempt.Why.Length > 0 ? attempt.Why : null,
                (long)attempt.Queued.TotalMilliseconds,
                attempt.Outcome,
                [.. attempt.Candidates.Select(candidate => new CandidateJson(
                    candidate.NodeId, candidate.Verdict, candidate.Loaded, candidate.Running, candidate.Slots, candidate.TokensPerSecond > 0 ? candidate.TokensPerSecond : null,
                    candidate.RoundTrip > TimeSpan.Zero ? Math.Round(candidate.RoundTrip.TotalMilliseconds, 1) : null))]))]);

        public static RequestJson Of(string id, ImmutableArray<JobPart> parts) => new(
            id, parts[0].Kind, parts[0].Model, null, UnixTime.At(parts[0].CreatedAt), parts[^1].Status, new UsageJson(parts.Sum(part => part.PromptTokens), parts.Sum(part => part.CompletionTokens)),
            parts.Sum(part => part.Price),
            [.. parts.Select(part => new AttemptJson((int)part.Attempt, part.NodeId.Length > 0 ? part.NodeId : null, null, part.DispatchedAt - part.CreatedAt, part.Status, []) { Route = part.Provider.Length > 0 ? $"cloud:{part.Provider}" : "nodes" })]);
    }

    internal sealed record UsageJson(long PromptTokens, long CompletionTokens);

    /// <summary>One node that was asked; without a node, the word that there was none.</summary>
    internal sealed record AttemptJson(int Number, string? Node, string? Why, long QueueMs, string Outcome, ImmutableArray<CandidateJson> Candidates)
    {
        public string Route { get; init; } = "nodes";
    }

    internal sealed record CandidateJson(string Node, string Verdict, bool Loaded, int Running, int Slots, double? TokensPerSecond, double? RoundTripMs);
}
