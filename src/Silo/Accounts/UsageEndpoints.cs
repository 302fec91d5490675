using System.Collections.Immutable;
using System.Text;
using Federation.Silo.Gateway;

namespace Federation.Silo.Accounts;

/// <summary>What an account used, by day, model and key.</summary>
internal static class UsageEndpoints
{
    public static void MapUsage(this IEndpointRouteBuilder app) => app.MapGet("/v1/usage", GetAsync).RequireScope(Scopes.Inference).WithTags("accounts")
        .WithName("get_usage").WithSummary("Requests, tokens and credits by day, model and key; JSON or CSV.").Produces<UsageJson>();

    private static async Task<IResult> GetAsync(
        HttpContext http, UsageStore usage, TimeProvider time, string? account, string? start_date, string? end_date, string? group_by, string? format, int? limit, int? cursor)
    {
        var caller = http.Caller();
        if (account is { Length: > 0 } && account != caller.AccountId && !caller.IsAdmin) return Answers.Error(OpenAiError.Forbidden("Only an admin sees another account's usage."));
        if (format is not (null or "json" or "csv")) return Answers.Error(OpenAiError.BadRequest("'format' must be 'json' or 'csv'.", "format"));
        var today = DateOnly.FromDateTime(time.GetUtcNow().UtcDateTime);
        var (query, problem) = UsageQuery.Read(account is { Length: > 0 } ? account : caller.AccountId, today, start_date, end_date, group_by, limit, cursor);
        if (query is null) return Answers.Error(problem!);
        var (lines, next) = await usage.ReportAsync(query, http.RequestAborted);
        if (format == "csv")
        {
            // A page of CSV has no place of its own for where the next begins.
            if (next is not null) http.Response.Headers["x-next-cursor"] = next.Value.ToString(System.Globalization.CultureInfo.InvariantCulture);
            return Results.Text(UsageCsv.Of(query, lines), "text/csv", Encoding.UTF8);
        }
        return Answers.Json(new UsageJson(query.AccountId, query.Start, query.End, query.GroupWords, [.. lines.Select(UsageLineJson.Of)], next));
    }

    internal sealed record UsageJson(string AccountId, DateOnly StartDate, DateOnly EndDate, ImmutableArray<string> GroupBy, ImmutableArray<UsageLineJson> Data, int? NextCursor)
    {
        public string Object { get; } = "list";
    }

    internal sealed record UsageLineJson(
        DateOnly? Date, string? Model, string? KeyId, long Requests, long PromptTokens, long CompletionTokens, long TotalTokens, long CloudTokens, long CostMicrocredits)
    {
        public static UsageLineJson Of(UsageLine line) => new(
            line.Day, line.Model, line.KeyId, line.Requests, line.PromptTokens, line.CompletionTokens, line.PromptTokens + line.CompletionTokens, line.CloudTokens, line.Cost.Value);
    }
}
