using System.Collections.Immutable;
using Federation.Contracts.Accounts;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Gateway;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Accounts;

/// <summary>API keys: made, listed, given a new secret, revoked. Nobody hands out more than they have.</summary>
internal static class KeyEndpoints
{
    private const long LifetimeMaxSeconds = 315_360_000;
    private const long GraceUsualSeconds = 3_600;
    private const int ModelsMax = 100;
    private const int PatternLengthMax = 256;
    private const decimal BudgetMaxCredits = 1_000_000_000;

    public static void MapKeys(this IEndpointRouteBuilder app)
    {
        var keys = app.MapGroup("/v1/keys").WithTags("accounts");
        keys.MapPost("", CreateAsync).RequireScope(Scopes.Inference)
            .WithName("create_key").WithSummary("Makes an API key, which is shown this once.").TakesJson<CreateKeyJson>().Produces<NewKeyJson>(201);
        keys.MapGet("", ListAsync).RequireScope(Scopes.Inference)
            .WithName("list_keys").WithSummary("An account's keys, without the keys themselves.").Produces<ListJson<KeyJson>>();
        keys.MapPost("/{id}/rotate", RotateAsync).RequireScope(Scopes.Inference)
            .WithName("rotate_key").WithSummary("Gives a key a new secret, which is shown this once; the one before opens for a while longer.").TakesJson<RotateKeyJson>().Produces<NewKeyJson>();
        keys.MapDelete("/{id}", RevokeAsync).RequireScope(Scopes.Inference)
            .WithName("revoke_key").WithSummary("Revokes a key for good.").Produces(204);
    }

    private static async Task<IResult> CreateAsync(HttpContext http, ApiKeys keys, AccountStore store, TimeProvider time)
    {
        var (body, unreadable) = await Answers.ReadAsync<CreateKeyJson>(http);
        if (body is null) return Answers.Error(unreadable!);
        var caller = http.Caller();
        if (caller.IsReplaced) return Answers.Error(Replaced());
        var accountId = body.AccountId ?? caller.AccountId;
        if (accountId != caller.AccountId && !caller.IsAdmin) return Answers.Error(OpenAiError.Forbidden("Only an admin makes keys for another account."));
        if (AccountEndpoints.WhyBadName(body.Name) is { } problem) return problem;
        var scopes = body.Scopes is { Length: > 0 } wanted ? wanted : [.. Scopes.Usual];
        if (scopes.FirstOrDefault(scope => !Scopes.All.Contains(scope)) is { } unknown) return Answers.Error(OpenAiError.BadRequest($"'{unknown}' is not a scope; there are: {string.Join(", ", Scopes.All)}.", "scopes"));
        if (body.ExpiresInSeconds is <= 0 or > LifetimeMaxSeconds) return Answers.Error(OpenAiError.BadRequest("'expires_in_seconds' must be above 0 and at most ten years.", "expires_in_seconds"));
        if (body.WhyBadLimits() is { } wrong) return Answers.Error(wrong);
        TimeSpan? lifetime = body.ExpiresInSeconds is { } seconds ? TimeSpan.FromSeconds(seconds) : null;
        if (WhyTooMuch(caller, scopes, time.GetUtcNow() + lifetime) is { } excess) return Answers.Error(OpenAiError.Forbidden(excess));
        if (await store.FindAsync(accountId, http.RequestAborted) is null) return Answers.Error(OpenAiError.NotFound($"There is no account '{accountId}'."));
        var key = new NewKey(accountId, body.Name!, [.. scopes.Distinct(StringComparer.Ordinal)]) { Lifetime = lifetime, Limits = body.Limits(), Models = [.. (body.Models ?? []).Distinct(StringComparer.Ordinal)] };
        var (row, secret) = await keys.CreateAsync(key, http.RequestAborted);
        return Answers.Json(NewKeyJson.Of(row, secret), StatusCodes.Status201Created);
    }

    private static async Task<IResult> ListAsync(HttpContext http, ApiKeys keys, string? account)
    {
        var caller = http.Caller();
        var rows = await keys.ListAsync(caller.IsAdmin && account is { Length: > 0 } ? account : caller.AccountId, http.RequestAborted);
        return Answers.Json(new ListJson<KeyJson>([.. rows.Select(KeyJson.Of)]));
    }

    private static async Task<IResult> RotateAsync(HttpContext http, ApiKeys keys, IOptions<ApiKeyOptions> options, string id)
    {
        var (body, unreadable) = await Answers.ReadAsync<RotateKeyJson>(http);
        if (body is null) return Answers.Error(unreadable!);
        var graceMax = options.Value.RotationGraceMax;
        if (body.GraceSeconds < 0 || body.GraceSeconds > graceMax.TotalSeconds) return Answers.Error(OpenAiError.BadRequest($"'grace_seconds' must be 0 to {graceMax.TotalSeconds:0}.", "grace_seconds"));
        var grace = TimeSpan.FromSeconds(body.GraceSeconds ?? Math.Min(GraceUsualSeconds, (long)graceMax.TotalSeconds));
        var caller = http.Caller();
        if (caller.IsReplaced) return Answers.Error(Replaced());
        if (await keys.FindByIdAsync(id, http.RequestAborted) is not { RevokedAt: null } row || (row.AccountId != caller.AccountId && !caller.IsAdmin)) return Answers.Error(NoKey(id));
        if (row.Id != caller.KeyId && WhyNotTheirs(caller, row) is { } excess) return Answers.Error(OpenAiError.Forbidden(excess));
        return await keys.RotateAsync(row, grace, http.RequestAborted) is { } rotated
            ? Answers.Json(NewKeyJson.Of(rotated.Row, rotated.Key))
            : Answers.Error(new OpenAiError(409, "invalid_request_error", "conflict", "The key was rotated or revoked in the same moment."));
    }

    private static async Task<IResult> RevokeAsync(HttpContext http, ApiKeys keys, string id)
    {
        var caller = http.Caller();
        if (caller.IsReplaced) return Answers.Error(Replaced());
        if (caller.IsLimited && !caller.IsAdmin && id != caller.KeyId) return Answers.Error(OpenAiError.Forbidden("A key with limits of its own revokes no other."));
        return await keys.RevokeAsync(id, caller.IsAdmin ? null : caller.AccountId, http.RequestAborted) ? Results.NoContent() : Answers.Error(NoKey(id));
    }

    /// <summary>Whoever has found an old secret must not lock its owner out.</summary>
    private static OpenAiError Replaced() => OpenAiError.Forbidden("This secret was replaced by another; use that one to make, rotate or revoke keys.");

    private static OpenAiError NoKey(string id) => OpenAiError.NotFound($"There is no key '{id}'.");

    /// <summary>Nobody hands out more than they have.</summary>
    private static string? WhyTooMuch(ApiCaller caller, IEnumerable<string> scopes, DateTimeOffset? end)
    {
        if (caller.IsAdmin) return null;
        foreach (var scope in scopes)
        {
            if (!caller.Scopes.Contains(scope)) return $"Your own key lacks the scope '{scope}'.";
        }
        if (caller.IsLimited) return "A key with limits of its own makes no others.";
        return caller.ExpiresAt is { } own && (end is null || end > own) ? "Your own key expires, so one that it makes must not outlive it: give 'expires_in_seconds'." : null;
    }

    /// <summary>Whoever gets a key's new secret has what the key has.</summary>
    private static string? WhyNotTheirs(ApiCaller caller, ApiKeyRow row)
    {
        if (caller.IsAdmin) return null;
        if (row.Scopes.FirstOrDefault(scope => !caller.Scopes.Contains(scope)) is { } excess) return $"Your own key lacks the scope '{excess}'.";
        return caller.IsLimited || caller.ExpiresAt is not null ? "A key with limits of its own, or an end, rotates no other." : null;
    }

    internal sealed record CreateKeyJson(
        string? AccountId, string? Name, string[]? Scopes, long? ExpiresInSeconds, string[]? Models, decimal? BudgetCredits, string? BudgetPeriod, long? RequestsPerMinute, long? TokensPerDay)
    {
        /// <summary>What is wrong with the limits; <see langword="null"/> when nothing is.</summary>
        public OpenAiError? WhyBadLimits()
        {
            if (Models?.Length > ModelsMax || Models?.Any(model => string.IsNullOrWhiteSpace(model) || model.Length > PatternLengthMax || model.Any(char.IsControl)) == true)
                return OpenAiError.BadRequest($"'models' must be at most {ModelsMax} names or patterns of 1 to {PatternLengthMax} characters each.", "models");
            if (BudgetCredits is < 0 or > BudgetMaxCredits) return OpenAiError.BadRequest($"'budget_credits' must be 0 to {BudgetMaxCredits}.", "budget_credits");
            if (BudgetPeriod is not null && (BudgetCredits is null || !BudgetPeriods.TryParse(BudgetPeriod, out _))) return OpenAiError.BadRequest("'budget_period' must be 'day' or 'month', of a budget.", "budget_period");
            if (RequestsPerMinute is < 1 or > TierOptions.RequestsPerMinuteMax) return OpenAiError.BadRequest($"'requests_per_minute' must be 1 to {TierOptions.RequestsPerMinuteMax}.", "requests_per_minute");
            return TokensPerDay is < 1 or > TierOptions.LimitMax ? OpenAiError.BadRequest($"'tokens_per_day' must be 1 to {TierOptions.LimitMax}.", "tokens_per_day") : null;
        }

        /// <summary>The limits; <see langword="null"/> where there are none.</summary>
        public KeyLimits? Limits() => RequestsPerMinute is null && TokensPerDay is null && BudgetCredits is null ? null : new KeyLimits
        {
            RequestsPerMinute = RequestsPerMinute,
            TokensPerDay = TokensPerDay,
            // What is finer than a microcredit is cut off.
            BudgetMicrocredits = BudgetCredits is { } credits ? (long)decimal.Floor(credits * Microcredits.PerCredit) : null,
            BudgetPeriod = BudgetPeriods.OrMonth(BudgetPeriod),
        };
    }

    internal sealed record RotateKeyJson(long? GraceSeconds);

    internal sealed record NewKeyJson(string Id, string Key, string AccountId, string Name, ImmutableArray<string> Scopes, DateTimeOffset? ExpiresAt)
    {
        public DateTimeOffset? PreviousValidUntil { get; init; }

        public static NewKeyJson Of(ApiKeyRow row, string key) => new(row.Id, key, row.AccountId, row.Name, row.Scopes, row.ExpiresAt) { PreviousValidUntil = row.PreviousUntil };
    }

    internal sealed record KeyJson(
        string Id, string AccountId, string Name, string Prefix, ImmutableArray<string> Scopes, DateTimeOffset CreatedAt, DateTimeOffset? ExpiresAt, DateTimeOffset? RevokedAt, DateTimeOffset? LastUsedAt)
    {
        /// <summary>Models it may use; absent for all.</summary>
        public string[]? Models { get; init; }

        public decimal? BudgetCredits { get; init; }

        public string? BudgetPeriod { get; init; }

        public long? RequestsPerMinute { get; init; }

        public long? TokensPerDay { get; init; }

        /// <summary>Until when the secret before the latest rotation opens.</summary>
        public DateTimeOffset? PreviousValidUntil { get; init; }

        public static KeyJson Of(ApiKeyRow row) => new(row.Id, row.AccountId, row.Name, row.Prefix, row.Scopes, row.CreatedAt, row.ExpiresAt, row.RevokedAt, row.LastUsedAt)
        {
            Models = row.Models.IsEmpty ? null : [.. row.Models],
            BudgetCredits = row.Limits?.BudgetMicrocredits is { } budget ? (decimal)budget / Microcredits.PerCredit : null,
            BudgetPeriod = row.Limits?.BudgetMicrocredits is null ? null : BudgetPeriods.Of(row.Limits.BudgetPeriod),
            RequestsPerMinute = row.Limits?.RequestsPerMinute,
            TokensPerDay = row.Limits?.TokensPerDay,
            PreviousValidUntil = row.PreviousUntil,
        };
    }
}
