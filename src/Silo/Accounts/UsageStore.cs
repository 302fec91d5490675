using System.Collections.Immutable;
using System.Data.Common;
using Dapper;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Accounts.Limits;
using Federation.Silo.Storage;
using static Federation.Silo.Storage.UnixTime;

namespace Federation.Silo.Accounts;

/// <summary>What counts against limits, as the record has it.</summary>
/// <param name="Used">Of the day and month.</param>
/// <param name="Requests">Of the last minute, without those that nobody waited for, the oldest first, at most <see cref="TierOptions.RequestsPerMinuteMax"/>.</param>
internal sealed record UsageOnRecord(UsedSoFar Used, ImmutableArray<RequestOnRecord> Requests)
{
    /// <summary>Of the jobs that were asked for, those that are on record.</summary>
    public ImmutableHashSet<string> Recorded { get; init; } = [];
}

/// <summary>What accounts have used, from the record of jobs. A job counts on the day it was asked for.</summary>
internal sealed class UsageStore(HubDatabase database)
{
    private const long MsPerDay = 86_400_000;

    /// <summary>Of an account, in the day that holds this moment.</summary>
    /// <param name="accountId">The account.</param>
    /// <param name="at">The moment.</param>
    /// <param name="jobs">Jobs of which it is asked whether they are on record.</param>
    /// <param name="cancellationToken">Stops the wait.</param>
    public Task<UsageOnRecord> OfAccountAsync(string accountId, DateTimeOffset at, ImmutableArray<string> jobs, CancellationToken cancellationToken) => database.ReadAsync(
        async connection =>
        {
            // First: what is on record now is in the sums that are read after.
            var recorded = jobs.IsEmpty ? [] : await connection.QueryAsync<string>($"SELECT id FROM jobs WHERE {database.Dialect.In("id", "jobs")}", new { jobs = database.Dialect.Set(jobs) });
            var parameters = new { accountId, keyId = string.Empty, day = Ms(Periods.StartOfDay(at)), minute = Ms(at - RequestWindow.Span) };
            return await ReadAsync(connection, "account_id = @accountId", parameters, monthSpend: 0) with { Recorded = [.. recorded] };
        },
        cancellationToken);

    /// <summary>Of one key of an account, in the day and month that hold this moment.</summary>
    public Task<UsageOnRecord> OfKeyAsync(string accountId, string keyId, DateTimeOffset at, CancellationToken cancellationToken) => database.ReadAsync(
        async connection =>
        {
            var spent = await connection.ExecuteScalarAsync<long>(
                "SELECT CAST(COALESCE(SUM(price), 0) AS bigint) FROM jobs WHERE key_id = @keyId AND price > 0 AND created_at >= @month", new { keyId, month = Ms(Periods.StartOfMonth(at)) });
            var parameters = new { accountId, keyId, day = Ms(Periods.StartOfDay(at)), minute = Ms(at - RequestWindow.Span) };
            return await ReadAsync(connection, "account_id = @accountId AND key_id = @keyId", parameters, spent);
        },
        cancellationToken);

    /// <summary>One page of a report, and where the next begins; <see langword="null"/> where there is none.</summary>
    /// <remarks>From the record of jobs, by its index of account and time: what is asked for seldom costs nothing where every request goes.</remarks>
    public Task<(ImmutableArray<UsageLine> Lines, int? Next)> ReportAsync(UsageQuery query, CancellationToken cancellationToken) => database.ReadAsync(
        async connection =>
        {
            var groups = new List<string>();
            if (query.Groups.HasFlag(UsageGroups.Day)) groups.Add($"created_at / {MsPerDay}");
            if (query.Groups.HasFlag(UsageGroups.Model)) groups.Add("model");
            if (query.Groups.HasFlag(UsageGroups.Key)) groups.Add("COALESCE(key_id, '')");
            var by = groups.Count > 0 ? $"GROUP BY {string.Join(", ", groups)} ORDER BY {string.Join(", ", groups)}" : "GROUP BY account_id";
            var rows = (await connection.QueryAsync<Line>(
                $"""
                 SELECT {(query.Groups.HasFlag(UsageGroups.Day) ? $"created_at / {MsPerDay}" : "CAST(NULL AS bigint)")} AS day,
                        {(query.Groups.HasFlag(UsageGroups.Model) ? "model" : "CAST(NULL AS text)")} AS model,
                        {(query.Groups.HasFlag(UsageGroups.Key) ? "COALESCE(key_id, '')" : "CAST(NULL AS text)")} AS key_id,
                        CAST(SUM(CASE WHEN id LIKE '%~%' THEN 0 ELSE 1 END) AS bigint) AS requests,
                        CAST(SUM(prompt_tokens) AS bigint) AS prompt_tokens,
                        CAST(SUM(completion_tokens) AS bigint) AS completion_tokens,
                        CAST(SUM(CASE WHEN provider IS NOT NULL THEN prompt_tokens + completion_tokens ELSE 0 END) AS bigint) AS cloud_tokens,
                        CAST(SUM(price) AS bigint) AS cost
                 FROM jobs WHERE account_id = @AccountId AND created_at >= @start AND created_at < @end
                 {by} LIMIT @limit OFFSET @Cursor
                 """,
                new { query.AccountId, query.Cursor, limit = query.Limit + 1, start = MsOf(query.Start), end = MsOf(query.End.AddDays(1)) })).AsList();
            int? next = rows.Count > query.Limit ? query.Cursor + query.Limit : null;
            return (rows.Take(query.Limit).Select(row => row.ToLine()).ToImmutableArray(), next);
        },
        cancellationToken);

    private static long MsOf(DateOnly day) => Ms(new DateTimeOffset(day.ToDateTime(TimeOnly.MinValue), TimeSpan.Zero));

    private static async Task<UsageOnRecord> ReadAsync(DbConnection connection, string whose, object parameters, long monthSpend)
    {
        var sums = await connection.QuerySingleAsync<Sums>(
            $"""
             SELECT CAST(COALESCE(SUM(prompt_tokens + completion_tokens), 0) AS bigint) AS tokens,
                    CAST(COALESCE(SUM(CASE WHEN provider IS NOT NULL THEN prompt_tokens + completion_tokens ELSE 0 END), 0) AS bigint) AS cloud_tokens,
                    CAST(COALESCE(SUM(price), 0) AS bigint) AS spend
             FROM jobs WHERE {whose} AND created_at >= @day
             """,
            parameters);
        // What several nodes answered together has a record each, and was one request.
        var requests = await connection.QueryAsync<(string Id, long CreatedAt)>(
            $"SELECT id, created_at FROM jobs WHERE {whose} AND created_at > @minute AND id NOT LIKE '%~%' AND is_background = 0 ORDER BY created_at LIMIT {TierOptions.RequestsPerMinuteMax}", parameters);
        return new UsageOnRecord(
            new UsedSoFar(sums.Tokens, sums.Cloud_tokens, sums.Spend, monthSpend), [.. requests.Select(static request => new RequestOnRecord(request.Id, At(request.CreatedAt)))]);
    }

    private sealed class Sums
    {
        public required long Tokens { get; init; }

        public required long Cloud_tokens { get; init; }

        public required long Spend { get; init; }
    }

    private sealed class Line
    {
        public long? Day { get; init; }

        public string? Model { get; init; }

        public string? Key_id { get; init; }

        public required long Requests { get; init; }

        public required long Prompt_tokens { get; init; }

        public required long Completion_tokens { get; init; }

        public required long Cloud_tokens { get; init; }

        public required long Cost { get; init; }

        public UsageLine ToLine() => new(
            Day is { } day ? DateOnly.FromDateTime(At(day * MsPerDay).UtcDateTime) : null, Model, Key_id, Requests, Prompt_tokens, Completion_tokens, Cloud_tokens, new Microcredits(Cost));
    }
}
