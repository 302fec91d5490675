using System.Collections.Immutable;
using System.Text.Json.Nodes;
using Federation.Contracts.Nodes;
using Federation.Protocol.Receipts;
using Federation.Silo.Accounts;
using Federation.Silo.Gateway;
using Federation.Silo.Hubs;
using Federation.Silo.Nodes;
using Federation.Silo.Verification.Benchmarks;
using Federation.Silo.Verification.Standings;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Verification;

/// <summary>Why a credit is held, why a node stands where it stands, what was checked; and what its owner can do about it.</summary>
internal static class VerificationEndpoints
{
    private const int WordsMax = 4_000;
    private const int EarningsShown = 100;
    private const int AppealsShown = 20;
    private const int StandbyShown = 50;
    private const int SpeedsShown = 20;

    private static readonly TimeSpan StandbyAge = TimeSpan.FromHours(24);

    public static void MapVerification(this IEndpointRouteBuilder app)
    {
        var nodes = app.MapGroup("/v1").WithTags("verification");
        nodes.MapGet("/nodes/{id}/verification", GetAsync).RequireScope(Scopes.Contribute)
            .WithName("get_verification").WithSummary("What was checked about a node, what was decided and why, and why credits are held.").Produces<VerificationJson>();
        nodes.MapPost("/nodes/{id}/appeals", AppealAsync).RequireScope(Scopes.Contribute)
            .WithName("create_appeal").WithSummary("Asks an operator to look again at the last decision against a node.").TakesJson<AppealTextJson>().Produces<AppealAnswerJson>(201);
        nodes.MapPost("/nodes/{id}/appeals/{appealId}", DecideAsync).RequireScope(Scopes.Admin)
            .WithName("decide_appeal").WithSummary("Grants an appeal, which pays back what the decision took, or refuses it.").TakesJson<AppealDecisionJson>().Produces<AppealAnswerJson>();
        nodes.MapGet("/receipts/{id}", GetReceiptAsync).RequireScope(Scopes.Contribute)
            .WithName("get_receipt").WithSummary("One receipt: readable, or as the signed bytes that anyone can check.");
    }

    private static async Task<IResult> GetAsync(
        HttpContext http,
        IGrainFactory grains,
        NodeStore nodes,
        VerificationStore store,
        EarningStore earnings,
        SpeedStore speeds,
        ReferenceSpeeds references,
        IOptions<StandingOptions> options,
        TimeProvider time,
        string id,
        int? events,
        long? before)
    {
        if (events is < 1 or > VerificationStore.ListMax) return Answers.Error(OpenAiError.BadRequest($"'events' must be 1 to {VerificationStore.ListMax}.", "events"));
        if (await NodeEndpoints.FindAsync(http, grains, id) is not { } view) return NoNode(id);
        var (cancellation, now) = (http.RequestAborted, time.GetUtcNow());
        var row = await nodes.FindAsync(id, cancellation) ?? throw new InvalidOperationException($"Node {id} has a grain and no row.");
        var standing = await store.FindStandingAsync(id, row.CreatedAt, cancellation)
            ?? new StandingRow(NodeStanding.New(row.CreatedAt) with { Standing = row.Standing }, "The node is new: everything is checked.", null, null, null);
        var reputations = new List<ReputationJson>();
        foreach (var (weights, reputation) in await store.ListReputationsAsync(id, cancellation))
        {
            var peers = Math.Max(1, await store.CountPeersAsync(weights, cancellation));
            reputations.Add(ReputationJson.Of(weights, reputation, peers, options.Value));
        }
        var measured = new List<SpeedJson>();
        foreach (var (model, digest, hardwareClass, times, at) in await speeds.ListOfAsync(id, SpeedsShown, cancellation))
        {
            var bytes = view.Report?.Engines.SelectMany(engine => engine.Models).FirstOrDefault(candidate => SpeedStore.WeightsOf(candidate.Digest, candidate.Name) == digest)?.SizeBytes ?? 0;
            measured.Add(SpeedJson.Of(model, times, hardwareClass, await references.FindAsync(hardwareClass, digest, bytes, row.AccountId, cancellation), at));
        }
        var sums = await earnings.SumAsync(id, cancellation);
        return Answers.Json(new VerificationJson(
            id,
            NodeStore.Word(standing.Standing.Standing),
            standing.Standing.Since,
            standing.Reason,
            options.Value.ShadowMode,
            new ClassJson(
                view.HardwareClass.Length > 0 ? view.HardwareClass : null,
                standing.HardwareClass,
                standing.MeasuredAt,
                standing.Measurement ?? "Not measured yet: until it is, the node is paid as the least class."),
            measured,
            reputations,
            new EarningSumsJson(sums.Minted, sums.Pending, sums.Matured, sums.Forfeited),
            [.. (await earnings.ListPendingAsync(id, EarningsShown, cancellation)).Select(earning => EarningJson.Of(earning, now))],
            [.. (await earnings.ListStandbyAsync(id, now - StandbyAge, StandbyShown, cancellation)).Select(gap => new StandbyJson(gap.From, gap.To, gap.Credited.Value, gap.Words))],
            [.. (await store.ListEventsAsync(id, before ?? long.MaxValue, events ?? 20, cancellation)).Select(EventJson.Of)],
            [.. (await store.ListAppealsAsync(id, AppealsShown, cancellation)).Select(AppealJson.Of)]));
    }

    private static async Task<IResult> AppealAsync(HttpContext http, IGrainFactory grains, string id)
    {
        var (body, problem) = await Answers.ReadAsync<AppealTextJson>(http);
        if (body is null) return Answers.Error(problem!);
        if (!AreWords(body.Text)) return Answers.Error(OpenAiError.BadRequest($"'text' must be 1 to {WordsMax} characters: why the decision is wrong.", "text"));
        if (await NodeEndpoints.FindAsync(http, grains, id) is null) return NoNode(id);
        var answer = await grains.GetGrain<INodeGrain>(id).Appeal(body.Text!);
        return answer.Status switch
        {
            AppealStatus.Done => Answers.Json(new AppealAnswerJson(answer.AppealId, "open", null), StatusCodes.Status201Created),
            AppealStatus.AlreadyAppealed => Answers.Error(Conflict($"There is an appeal against the last decision already: '{answer.AppealId}'.")),
            AppealStatus.NothingToAppeal => Answers.Error(Conflict("There is no decision against this node to appeal against.")),
            AppealStatus.Unknown => NoNode(id),
            var other => throw new InvalidOperationException($"Status {other} is not handled."),
        };
    }

    private static async Task<IResult> DecideAsync(HttpContext http, IGrainFactory grains, string id, string appealId)
    {
        var (body, problem) = await Answers.ReadAsync<AppealDecisionJson>(http);
        if (body is null) return Answers.Error(problem!);
        if (body.Decision is not ("grant" or "refuse")) return Answers.Error(OpenAiError.BadRequest("'decision' must be 'grant' or 'refuse'.", "decision"));
        if (!AreWords(body.Answer)) return Answers.Error(OpenAiError.BadRequest($"'answer' must be 1 to {WordsMax} characters: the owner reads it.", "answer"));
        if (await NodeEndpoints.FindAsync(http, grains, id) is null) return NoNode(id);
        var granted = body.Decision == "grant";
        var answer = await grains.GetGrain<INodeGrain>(id).DecideAppeal(appealId, granted, body.Answer!, http.Caller().AccountId);
        return answer.Status switch
        {
            AppealStatus.Done => Answers.Json(new AppealAnswerJson(answer.AppealId, granted ? "granted" : "refused", answer.CompensationMicrocredits)),
            AppealStatus.AlreadyDecided => Answers.Error(Conflict("The appeal is decided already, in the other way.")),
            AppealStatus.Unknown => Answers.Error(OpenAiError.NotFound($"There is no appeal '{appealId}' of node '{id}'.")),
            var other => throw new InvalidOperationException($"Status {other} is not handled."),
        };
    }

    /// <summary>The receipt as a file that anybody can check offline; JSON, or CBOR when asked for.</summary>
    private static async Task<IResult> GetReceiptAsync(HttpContext http, IGrainFactory grains, ReceiptStore receipts, NodeStore nodes, HubIdentity hub, string id, string? format)
    {
        if (format is not (null or "json" or "cbor")) return Answers.Error(OpenAiError.BadRequest("'format' must be 'json' or 'cbor'.", "format"));
        if (await receipts.FindAsync(id, http.RequestAborted) is not { } receipt || await NodeEndpoints.FindAsync(http, grains, receipt.NodeId) is null)
            return Answers.Error(OpenAiError.NotFound($"There is no receipt '{id}'."));
        if (receipt.State is not ReceiptState.Issued) return Answers.Error(Conflict($"Receipt '{id}' is {receipt.State.ToString().ToLowerInvariant()}: {(receipt.Objection.Length > 0 ? receipt.Objection : "it lacks a signature")}."));
        var node = await nodes.FindAsync(receipt.NodeId, http.RequestAborted) ?? throw new InvalidOperationException($"Receipt {id} is of a node nobody knows.");
        var file = new ReceiptFile(receipt.Payload, node.PublicKey, receipt.NodeSignature, [.. hub.PublicKey.Span], receipt.HubSignature);
        return format == "cbor" ? Results.Bytes(file.ToCbor(), "application/cbor", $"{id}.cbor") : Results.Bytes(file.ToJson(), "application/json");
    }

    private static bool AreWords(string? text) => !string.IsNullOrWhiteSpace(text) && text.Length <= WordsMax;

    private static IResult NoNode(string id) => Answers.Error(OpenAiError.NotFound($"There is no node '{id}'."));

    private static OpenAiError Conflict(string message) => new(409, "invalid_request_error", "conflict", message);

    internal sealed record AppealTextJson(string? Text);

    internal sealed record AppealDecisionJson(string? Decision, string? Answer);

    internal sealed record AppealAnswerJson(string Id, string State, long? CompensationMicrocredits);

    internal sealed record VerificationJson(
        string NodeId,
        string Standing,
        DateTimeOffset Since,
        string Why,
        bool ShadowMode,
        ClassJson HardwareClass,
        IReadOnlyList<SpeedJson> Speeds,
        IReadOnlyList<ReputationJson> Reputations,
        EarningSumsJson Earnings,
        IReadOnlyList<EarningJson> Pending,
        IReadOnlyList<StandbyJson> Standby,
        IReadOnlyList<EventJson> Events,
        IReadOnlyList<AppealJson> Appeals);

    internal sealed record ClassJson(string? Paid, string? Measured, DateTimeOffset? MeasuredAt, string How);

    internal sealed record SpeedJson(
        string Model, double PromptTokensPerSecond, double TokensPerSecond, string HardwareClass, double ClassPromptTokensPerSecond, double ClassTokensPerSecond, string ClassBy, DateTimeOffset MeasuredAt)
    {
        public static SpeedJson Of(string model, TokenTimes times, string hardwareClass, ReferenceSpeed reference, DateTimeOffset at) => new(
            model,
            Math.Round(times.PerSecond.Prompt, 1),
            Math.Round(times.PerSecond.Generation, 1),
            hardwareClass,
            Math.Round(reference.Times.PerSecond.Prompt, 1),
            Math.Round(reference.Times.PerSecond.Generation, 1),
            reference.IsMeasured ? $"the median of {reference.Accounts} accounts' trusted nodes" : "configured figures, not calibrated",
            at);
    }

    internal sealed record ReputationJson(string Weights, double ErrorRate, double AuditRate, long AuditsPassed, int AuditAllUnits, int Peers)
    {
        public static ReputationJson Of(string weights, Reputation reputation, int peers, StandingOptions options) => new(
            weights, Math.Round(reputation.ErrorRate, 6), Math.Round(reputation.AuditRate(options, peers), 6), reputation.AuditsPassed, reputation.AuditAllUnits, peers);
    }

    internal sealed record EarningSumsJson(long MintedMicrocredits, long PendingMicrocredits, long MaturedMicrocredits, long ForfeitedMicrocredits);

    internal sealed record EarningJson(
        string Id, string? ReceiptId, string Reference, long Microcredits, DateTimeOffset CreditedAt, DateTimeOffset MaturesAt, int AuditsPassed, int AuditsNeeded, string AuditRate, string Why, string? Unpaid)
    {
        public static EarningJson Of(EarningRow row, DateTimeOffset now) => new(
            row.Id,
            row.ReceiptId,
            row.Reference,
            row.Earning.Amount.Value,
            row.Earning.CreditedAt,
            row.Earning.MaturesAt,
            row.Earning.AuditsSince(row.AuditsPassed),
            row.Earning.AuditsNeeded,
            row.AuditRate.ToString(),
            row.CondemnedBy is { } by ? $"being forfeited by {by}"
                : row.ReRateTo is { } hardwareClass ? $"about to be paid as {hardwareClass}"
                : row.Earning.Words(row.Held(now), now, row.AuditsPassed),
            row.Unpaid);
    }

    internal sealed record StandbyJson(DateTimeOffset From, DateTimeOffset To, long Microcredits, string Words);

    internal sealed record EventJson(
        long Sequence, string Id, DateTimeOffset At, string Kind, string Evidence, string? DeterminismClass, string? ReceiptId, string Standing, bool Shadow, ImmutableArray<string> Consequences,
        string Finding, string Decision, JsonNode? Details)
    {
        public static EventJson Of(VerificationEvent happened) => new(
            happened.Sequence,
            happened.Id,
            happened.At,
            happened.Kind,
            Answers.Options.PropertyNamingPolicy!.ConvertName(happened.Evidence.ToString()),
            happened.DeterminismClass,
            happened.ReceiptId,
            NodeStore.Word(happened.Standing),
            happened.Shadow,
            [.. Enum.GetValues<Consequences>().Where(one => one is not Standings.Consequences.None && happened.Consequences.HasFlag(one)).Select(one => Answers.Options.PropertyNamingPolicy.ConvertName(one.ToString()))],
            happened.Finding,
            happened.Decision,
            happened.Details is { } details ? JsonNode.Parse(details) : null);
    }

    internal sealed record AppealJson(string Id, string EventId, string Text, string State, DateTimeOffset CreatedAt, DateTimeOffset? DecidedAt, string? Answer, long? CompensationMicrocredits)
    {
        public static AppealJson Of(AppealRow row) => new(row.Id, row.EventId, row.Words, row.State, row.CreatedAt, row.DecidedAt, row.Answer, row.Compensation);
    }
}
