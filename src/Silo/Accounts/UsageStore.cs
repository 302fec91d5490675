using System.Collections.Immutable;
using System.Data.Common;
using Dapper;
using Federation.Silo.Accounts.Limits;
using Federation.Silo.Storage;
using static Federation.Silo.Storage.UnixTime;

namespace Federation.Silo.Accounts;

/// <summary>What counts against limits, as the record has it.</summary>
/// <param name="Used">Of the day and month.</param>
/// <param name="RequestTimes">Of the last minute, the oldest first, at most <see cref="TierOptions.RequestsPerMinuteMax"/>.</param>
internal sealed record UsageOnRecord(UsedSoFar Used, ImmutableArray<DateTimeOffset> RequestTimes);

/// <summary>What accounts have used, from the record of jobs. A job counts on the day it was asked for.</summary>
internal sealed class UsageStore(HubDatabase database)
{
    /// <summary>Of an account, in the day that holds this moment.</summary>
    public Task<UsageOnRecord> OfAccountAsync(string accountId, DateTimeOffset at, CancellationToken cancellationToken) => database.ReadAsync(
        connection => ReadAsync(connection, "account_id = @accountId", new { accountId, keyId = string.Empty, day = Ms(Periods.StartOfDay(at)), minute = Ms(at - RequestWindow.Span) }, monthSpend: 0),
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
        var times = await connection.QueryAsync<long>(
            $"SELECT created_at FROM jobs WHERE {whose} AND created_at > @minute ORDER BY created_at LIMIT {TierOptions.RequestsPerMinuteMax}", parameters);
        return new UsageOnRecord(new UsedSoFar(sums.Tokens, sums.Cloud_tokens, sums.Spend, monthSpend), [.. times.Select(At)]);
    }

    private sealed class Sums
    {
        public required long Tokens { get; init; }

        public required long Cloud_tokens { get; init; }

        public required long Spend { get; init; }
    }
}
