using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using Federation.Contracts.Accounts;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Gateway;

namespace Federation.Silo.Accounts;

/// <summary>Accounts, what they have and how it came about.</summary>
internal static class AccountEndpoints
{
    private const int NameMax = 100;

    public static void MapAccounts(this IEndpointRouteBuilder app)
    {
        var accounts = app.MapGroup("/v1").WithTags("accounts");
        accounts.MapGet("/account", GetOwnAsync).RequireScope(Scopes.Inference)
            .WithName("get_account").WithSummary("The caller's account and its balance.").Produces<AccountJson>();
        accounts.MapGet("/account/statement", GetStatementAsync).RequireScope(Scopes.Inference)
            .WithName("get_statement").WithSummary("Every movement of the account's credits, the newest first; JSON or CSV.").Produces<StatementJson>();
        accounts.MapPost("/accounts", CreateAsync).RequireScope(Scopes.Admin)
            .WithName("create_account").WithSummary("Makes an account.").TakesJson<CreateAccountJson>().Produces<AccountJson>(201);
        accounts.MapGet("/accounts", ListAsync).RequireScope(Scopes.Admin)
            .WithName("list_accounts").WithSummary("The hub's accounts.").Produces<ListJson<AccountJson>>();
        accounts.MapPost("/accounts/{id}/tier", SetTierAsync).RequireScope(Scopes.Admin)
            .WithName("set_tier").WithSummary("Gives an account another tier; it counts at once.").TakesJson<SetTierJson>().Produces<AccountJson>();
    }

    private static async Task<IResult> GetOwnAsync(HttpContext http, AccountStore store, IGrainFactory grains, string? account)
    {
        var caller = http.Caller();
        var id = caller.IsAdmin && account is { Length: > 0 } ? account : caller.AccountId;
        if (await store.FindAsync(id, http.RequestAborted) is not { } row) return Answers.Error(OpenAiError.NotFound($"There is no account '{id}'."));
        var grain = grains.GetGrain<IAccountGrain>(id);
        var balance = await grain.GetBalance(http.RequestAborted);
        var limits = await grain.GetLimits();
        return Answers.Json(AccountJson.Of(row) with
        {
            AvailableMicrocredits = balance.AvailableMicrocredits,
            HeldMicrocredits = balance.HeldMicrocredits,
            PendingMicrocredits = balance.PendingMicrocredits,
            Limits = new LimitsJson(LimitJson.Of(limits.Requests), LimitJson.Of(limits.Streams), LimitJson.Of(limits.Tokens), LimitJson.Of(limits.CloudTokens)),
        });
    }

    /// <summary>Both purses of the account; the purse a line belongs to is on the line. CSV when asked for.</summary>
    private static async Task<IResult> GetStatementAsync(HttpContext http, ILedger ledger, string? purse, int? limit, long? cursor, string? format)
    {
        if (limit is < 1 or > StatementQuery.LimitMax) return Answers.Error(OpenAiError.BadRequest($"'limit' must be 1 to {StatementQuery.LimitMax}.", "limit"));
        if (purse is not (null or "pending" or "available")) return Answers.Error(OpenAiError.BadRequest("'purse' must be 'available' or 'pending'.", "purse"));
        if (format is not (null or "json" or "csv")) return Answers.Error(OpenAiError.BadRequest("'format' must be 'json' or 'csv'.", "format"));
        var name = purse ?? "available";
        var account = name == "pending" ? LedgerAccountId.Pending(http.Caller().AccountId) : LedgerAccountId.Available(http.Caller().AccountId);
        var page = await ledger.GetStatementAsync(new StatementQuery { Account = account, Limit = limit ?? 100, Cursor = cursor }, http.RequestAborted);
        var statement = new StatementJson(name, [.. page.Entries.Select(StatementLineJson.Of)], page.Next);
        return format == "csv" ? Results.Text(ToCsv(statement), "text/csv", Encoding.UTF8) : Answers.Json(statement);
    }

    private static async Task<IResult> CreateAsync(HttpContext http, AccountStore store)
    {
        var (body, unreadable) = await Answers.ReadAsync<CreateAccountJson>(http);
        if (body is null) return Answers.Error(unreadable!);
        if (WhyBadName(body.Name) is { } problem) return problem;
        if (!TierNames.TryParse(body.Tier ?? "contributor", out var tier)) return Answers.Error(NoTier(body.Tier));
        return Answers.Json(AccountJson.Of(await store.CreateAsync(body.Name!, tier, http.RequestAborted)), StatusCodes.Status201Created);
    }

    private static async Task<IResult> SetTierAsync(HttpContext http, AccountStore store, IGrainFactory grains, string id)
    {
        var (body, unreadable) = await Answers.ReadAsync<SetTierJson>(http);
        if (body is null) return Answers.Error(unreadable!);
        if (!TierNames.TryParse(body.Tier, out var tier)) return Answers.Error(NoTier(body.Tier));
        if (await store.SetTierAsync(id, tier, http.RequestAborted) is not { } row) return Answers.Error(OpenAiError.NotFound($"There is no account '{id}'."));
        await grains.GetGrain<IAccountGrain>(id).Refresh();
        return Answers.Json(AccountJson.Of(row));
    }

    private static OpenAiError NoTier(string? word) => OpenAiError.BadRequest($"'{word}' is not a tier; there are: {string.Join(", ", Enum.GetValues<Tier>().Select(TierNames.Of))}.", "tier");

    private static async Task<IResult> ListAsync(HttpContext http, AccountStore store, string? after, int? limit)
    {
        if (limit is < 1 or > AccountStore.ListMax) return Answers.Error(OpenAiError.BadRequest($"'limit' must be 1 to {AccountStore.ListMax}.", "limit"));
        var rows = await store.ListAsync(after ?? string.Empty, limit ?? 100, http.RequestAborted);
        return Answers.Json(new ListJson<AccountJson>([.. rows.Select(AccountJson.Of)]));
    }

    /// <summary>What is wrong with the name of an account or a key.</summary>
    public static IResult? WhyBadName(string? name) => string.IsNullOrWhiteSpace(name) || name.Length > NameMax || name.Any(char.IsControl)
        ? Answers.Error(OpenAiError.BadRequest($"'name' must be 1 to {NameMax} characters.", "name"))
        : null;

    private static string ToCsv(StatementJson statement)
    {
        var csv = new StringBuilder("time,purse,transfer_id,reason,reference,counterparty,posted_microcredits,held_microcredits,available_after_microcredits\n");
        foreach (var line in statement.Lines)
        {
            csv.Append(CultureInfo.InvariantCulture, $"{line.Time:O},{statement.Purse},{line.TransferId},{line.Reason},{line.Reference},{line.Counterparty},");
            csv.Append(CultureInfo.InvariantCulture, $"{line.PostedMicrocredits},{line.HeldMicrocredits},{line.AvailableAfterMicrocredits}\n");
        }
        return csv.ToString();
    }

    internal sealed record CreateAccountJson(string? Name, string? Tier);

    internal sealed record SetTierJson(string? Tier);

    internal sealed record AccountJson(string Id, string Name, string Tier, DateTimeOffset CreatedAt, DateTimeOffset? ClosedAt)
    {
        public long? AvailableMicrocredits { get; init; }

        public long? HeldMicrocredits { get; init; }

        public long? PendingMicrocredits { get; init; }

        public LimitsJson? Limits { get; init; }

        public static AccountJson Of(AccountRow row) => new(row.Id, row.Name, TierNames.Of(row.Tier), row.CreatedAt, row.ClosedAt);
    }

    /// <summary>Where the account stands with its tier's limits; what is absent is not limited.</summary>
    internal sealed record LimitsJson(LimitJson? RequestsPerMinute, LimitJson? ConcurrentStreams, LimitJson? TokensPerDay, LimitJson? CloudTokensPerDay);

    internal sealed record LimitJson(long Limit, long Remaining, double ResetSeconds)
    {
        public static LimitJson? Of(LimitLevel? level) => level is null ? null : new(level.Limit, level.Remaining, Math.Round(level.Reset.TotalSeconds, 3));
    }

    internal sealed record StatementJson(string Purse, ImmutableArray<StatementLineJson> Lines, long? NextCursor);

    internal sealed record StatementLineJson(
        DateTimeOffset Time, string TransferId, string Reason, string Reference, string Counterparty, long PostedMicrocredits, long HeldMicrocredits, long AvailableAfterMicrocredits)
    {
        public static StatementLineJson Of(StatementEntry entry) => new(
            entry.Recorded.Timestamp,
            entry.Recorded.Transfer.Id.Value,
            entry.Recorded.Transfer.Reason.ToString().ToLowerInvariant(),
            entry.Recorded.Transfer.Reference,
            entry.Counterparty.Value,
            entry.Posted.Value,
            entry.Held.Value,
            entry.AvailableAfter.Value);
    }
}
