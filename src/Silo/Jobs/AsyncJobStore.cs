using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Data.Common;
using System.Globalization;
using Dapper;
using Federation.Silo.Accounts;
using Federation.Silo.Gateway;
using Federation.Silo.Storage;
using Federation.Silo.Webhooks;
using Microsoft.Extensions.Options;
using static Federation.Silo.Storage.UnixTime;

namespace Federation.Silo.Jobs;

/// <summary>A job to be written down.</summary>
internal sealed record NewAsyncJob(string AccountId, string KeyId, string KindWord, string Model, ReadOnlyMemory<byte> Request, string? Metadata, string? WebhookId, AnswerTerms Terms, TimeSpan Lifetime);

/// <summary>
/// Asynchronous jobs on disk. Every step of a job is a compare-and-set on its state and attempt, so that of all silos and all attempts exactly one takes it.
/// </summary>
internal sealed class AsyncJobStore(HubDatabase database, WebhookStore webhooks, IOptions<AsyncJobOptions> options, TimeProvider time)
{
    public const int ListMax = 100;

    private const int RoundMax = 100;

    private readonly Claims _claims = new(database, "async_jobs", time);

    // Whose kept jobs were counted here since jobs were last forgotten.
    private readonly ConcurrentDictionary<string, bool> _counted = new(StringComparer.Ordinal);

    /// <summary>Whose job was claimed last here; empty at first.</summary>
    private string _servedLast = string.Empty;

    /// <summary>Writes a job down; null when its account has as many as it may.</summary>
    public Task<AsyncJob?> CreateAsync(NewAsyncJob wanted, CancellationToken cancellationToken) => database.WriteAsync<AsyncJob?>(
        async (connection, transaction) =>
        {
            await AccountStore.LockAsync(database.Dialect, connection, transaction, wanted.AccountId);
            var (waiting, bytes) = await connection.QuerySingleAsync<(long Count, long Bytes)>(
                "SELECT count(*), CAST(COALESCE(sum(bytes), 0) AS bigint) FROM async_jobs WHERE account_id = @AccountId AND finished_at IS NULL", new { wanted.AccountId }, transaction);
            if (waiting >= options.Value.MaxWaitingPerAccount || bytes + wanted.Request.Length > options.Value.MaxBytesPerAccount) return null;
            var now = time.GetUtcNow();
            var job = new AsyncJob
            {
                Id = $"ajob_{Guid.CreateVersion7():N}",
                AccountId = wanted.AccountId,
                KeyId = wanted.KeyId,
                KindWord = wanted.KindWord,
                Model = wanted.Model,
                Metadata = wanted.Metadata,
                WebhookId = wanted.WebhookId,
                PrivacyWord = wanted.Terms.PrivacyWord,
                MaxCost = wanted.Terms.MaxCost?.Value,
                StateWord = "queued",
                CreatedAt = Ms(now),
                ExpiresAt = Ms(now + wanted.Lifetime),
                Request = wanted.Request.ToArray(),
            };
            await connection.ExecuteAsync(
                """
                INSERT INTO async_jobs (id, account_id, key_id, kind, model, request, bytes, metadata, webhook_id, privacy, max_cost, state, attempt, failures, not_before, created_at, expires_at)
                VALUES (@Id, @AccountId, @KeyId, @KindWord, @Model, @Request, @bytes, @Metadata, @WebhookId, @PrivacyWord, @MaxCost, 'queued', 0, 0, @CreatedAt, @CreatedAt, @ExpiresAt)
                """,
                new { job.Id, job.AccountId, job.KeyId, job.KindWord, job.Model, job.Request, bytes = (long)job.Request.Length, job.Metadata, job.WebhookId, job.PrivacyWord, job.MaxCost, job.CreatedAt, job.ExpiresAt },
                transaction);
            await TellAsync(connection, transaction, job.Id, "queued", null);
            return job;
        },
        cancellationToken);

    /// <summary>A job of this account, with its answer; null when there is none.</summary>
    public Task<AsyncJob?> FindAsync(string accountId, string id, CancellationToken cancellationToken) => database.ReadAsync(
        connection => connection.QuerySingleOrDefaultAsync<AsyncJob?>($"SELECT {AsyncJob.Columns}, result AS Result FROM async_jobs WHERE id = @id AND account_id = @accountId", new { id, accountId }), cancellationToken);

    /// <summary>Whether a job is over, or no longer kept.</summary>
    public Task<bool> HasEndedAsync(string id, CancellationToken cancellationToken) => database.ReadAsync(
        async connection => await connection.ExecuteScalarAsync<long>("SELECT count(*) FROM async_jobs WHERE id = @id AND finished_at IS NULL", new { id }) == 0, cancellationToken);

    /// <summary>An account's jobs, the newest first, without their answers; those after <paramref name="after"/>, in this state if one is named.</summary>
    public Task<ImmutableArray<AsyncJob>> ListAsync(string accountId, string? after, string? state, int limit, CancellationToken cancellationToken) => database.ReadAsync(
        async connection => (await connection.QueryAsync<AsyncJob>(
            $"""
            SELECT {AsyncJob.Columns} FROM async_jobs
            WHERE account_id = @accountId AND (@after = '' OR id < @after) AND (@state = '' OR state = @state) ORDER BY id DESC LIMIT @limit
            """,
            new { accountId, after = after ?? string.Empty, state = state ?? string.Empty, limit = (long)limit })).ToImmutableArray(),
        cancellationToken);

    /// <summary>What happened to a job after event <paramref name="after"/>.</summary>
    public Task<ImmutableArray<AsyncJobEvent>> EventsAsync(string jobId, long after, CancellationToken cancellationToken) => database.ReadAsync(
        async connection => (await connection.QueryAsync<(long Seq, string Type, long At, string? Detail)>(
            "SELECT seq, type, at, detail FROM async_job_events WHERE job_id = @jobId AND seq > @after ORDER BY seq", new { jobId, after }))
            .Select(row => new AsyncJobEvent(row.Seq, row.Type, row.At, row.Detail)).ToImmutableArray(),
        cancellationToken);

    /// <summary>Cancels a job that has not ended; false when it had.</summary>
    public Task<bool> CancelAsync(string accountId, string id, CancellationToken cancellationToken) => database.WriteAsync(
        (connection, transaction) => EndUnansweredAsync(connection, transaction, id, "cancelled", "AND account_id = @accountId", new { accountId }), cancellationToken);

    /// <summary>
    /// Claims jobs whose turn has come, at most <paramref name="max"/>: by turns of one account after another, so that an account's thousand jobs do not hold up another's one; from one call to the next
    /// the turns go on behind the account that had the last one. Throws only where it has claimed nothing.
    /// </summary>
    /// <param name="owner">The process that will run them.</param>
    /// <param name="max">Above 0.</param>
    /// <param name="cancellationToken">Ends it between two claims.</param>
    public async Task<ImmutableArray<AsyncJob>> ClaimAsync(string owner, int max, CancellationToken cancellationToken)
    {
        var claimed = ImmutableArray.CreateBuilder<AsyncJob>();
        // A step from account to account along the index, however many jobs each of them has.
        var accounts = (await database.ReadAsync(
            connection => connection.QueryAsync<string>(
                """
                WITH RECURSIVE waiting (account_id) AS (
                  SELECT min(account_id) FROM async_jobs WHERE state = 'queued'
                  UNION ALL
                  SELECT (SELECT min(account_id) FROM async_jobs WHERE state = 'queued' AND account_id > waiting.account_id) FROM waiting WHERE waiting.account_id IS NOT NULL
                )
                SELECT account_id FROM waiting WHERE account_id IS NOT NULL
                """),
            cancellationToken)).Order(StringComparer.Ordinal).ToLookup(account => StringComparer.Ordinal.Compare(account, _servedLast) > 0);
        var turns = new Queue<string>([.. accounts[true], .. accounts[false]]);
        try
        {
            while (claimed.Count < max && turns.TryDequeue(out var account))
            {
                if (await ClaimOneAsync(owner, account, cancellationToken) is not { } job) continue;
                claimed.Add(job);
                _servedLast = account;
                turns.Enqueue(account);
            }
        }
        catch (Exception) when (claimed.Count > 0)
        {
            // What is claimed is run; what is wrong, the next look meets again and tells.
        }
        return claimed.ToImmutable();
    }

    /// <inheritdoc cref="Claims.HoldAsync"/>
    public Task<ImmutableDictionary<string, Claim>> HoldAsync(string owner, IEnumerable<(string Id, long Attempt)> running, bool renew, CancellationToken cancellationToken)
        => _claims.HoldAsync(owner, running, renew ? options.Value.LeaseDuration : null, cancellationToken);

    /// <summary>Ends a job with what one attempt came to; false when that attempt had it no longer: then nothing is changed.</summary>
    public Task<bool> EndAsync(string id, long attempt, AsyncJobEnd end, CancellationToken cancellationToken) => database.WriteAsync(
        async (connection, transaction) =>
        {
            var state = end.State.ToString().ToLowerInvariant();
            var ended = await connection.ExecuteAsync(
                """
                UPDATE async_jobs SET state = @state, request = NULL, owner = NULL, lease_until = NULL, request_id = @RequestId, node_id = @NodeId, status_code = @StatusCode, result = @body, bytes = @bytes, finished_at = @now
                WHERE id = @id AND attempt = @attempt AND state = 'running'
                """,
                new { id, attempt, state, end.RequestId, end.NodeId, StatusCode = (long)end.StatusCode, body = end.Body.ToArray(), bytes = (long)end.Body.Length, now = Ms(time.GetUtcNow()) },
                transaction);
            if (ended == 1) await TellEndAsync(connection, transaction, id, state, end.Body.Length);
            return ended == 1;
        },
        cancellationToken);

    /// <summary>Puts a job back into the queue; false when this attempt had it no longer.</summary>
    /// <param name="id">The job.</param>
    /// <param name="attempt">The attempt that came to nothing.</param>
    /// <param name="wait">How long the next one waits.</param>
    /// <param name="isFailure">Whether it counts against the job.</param>
    /// <param name="why">In words.</param>
    /// <param name="cancellationToken">Ends the wait for the database.</param>
    public Task<bool> PostponeAsync(string id, long attempt, TimeSpan wait, bool isFailure, string why, CancellationToken cancellationToken) => database.WriteAsync(
        async (connection, transaction) =>
        {
            var put = await connection.ExecuteAsync(
                """
                UPDATE async_jobs SET state = 'queued', owner = NULL, lease_until = NULL, not_before = @notBefore, failures = failures + @failed
                WHERE id = @id AND attempt = @attempt AND state = 'running'
                """,
                new { id, attempt, notBefore = Ms(time.GetUtcNow() + wait), failed = isFailure ? 1L : 0L },
                transaction);
            if (put == 1) await TellAsync(connection, transaction, id, "waiting", why);
            return put == 1;
        },
        cancellationToken);

    /// <summary>Puts back what silos had that are gone, and ends what has run out of time; a round at most. The ids of what was ended.</summary>
    public async Task<ImmutableArray<string>> TidyAsync(CancellationToken cancellationToken)
    {
        var now = Ms(time.GetUtcNow());
        var (lost, late) = await database.ReadAsync(
            async connection =>
            {
                var lost = await connection.QueryAsync<(string Id, long Attempt, long Failures)>($"SELECT id, attempt, failures FROM async_jobs WHERE state = 'running' AND lease_until < @now LIMIT {RoundMax}", new { now });
                var late = await connection.QueryAsync<string>($"SELECT id FROM async_jobs WHERE state IN ('queued', 'running') AND expires_at < @now LIMIT {RoundMax}", new { now });
                return (lost.ToImmutableArray(), late.ToImmutableArray());
            },
            cancellationToken);
        foreach (var (id, attempt, failures) in lost)
        {
            await database.WriteAsync(
                async (connection, transaction) =>
                {
                    // Its silo may have said meanwhile that it still has it.
                    var put = await connection.ExecuteAsync(
                        "UPDATE async_jobs SET state = 'queued', owner = NULL, lease_until = NULL, not_before = @now, failures = failures + 1 WHERE id = @id AND attempt = @attempt AND state = 'running' AND lease_until < @now",
                        new { id, attempt, now },
                        transaction);
                    if (put == 1) await TellAsync(connection, transaction, id, "waiting", "The silo that ran it is gone.");
                },
                cancellationToken);
        }
        var ended = ImmutableArray.CreateBuilder<string>();
        foreach (var id in late)
        {
            if (await database.WriteAsync((connection, transaction) => EndUnansweredAsync(connection, transaction, id, "expired", string.Empty, new { }), cancellationToken)) ended.Add(id);
        }
        return ended.ToImmutable();
    }

    /// <summary>Forgets jobs that ended longer ago than they are kept; how many, a round at most.</summary>
    public Task<int> ForgetAsync(CancellationToken cancellationToken) => database.WriteAsync(
        async (connection, transaction) =>
        {
            _counted.Clear();
            var old = await connection.QueryAsync<(string Id, string AccountId)>(
                $"SELECT id, account_id FROM async_jobs WHERE finished_at < @before LIMIT {RoundMax}", new { before = Ms(time.GetUtcNow() - options.Value.Retention) }, transaction);
            var deleted = 0;
            // In one order everywhere, and each account's total before its jobs, so that silos and ends of jobs never wait for each other.
            foreach (var account in old.GroupBy(job => job.AccountId, job => job.Id).OrderBy(account => account.Key, StringComparer.Ordinal))
            {
                await AddAsync(connection, transaction, account.Key, jobs: 0, bytes: 0);
                await CountAsync(connection, transaction, account.Key);
                deleted += await DeleteAsync(connection, transaction, account.Key, account);
            }
            return deleted;
        },
        cancellationToken);

    private Task<AsyncJob?> ClaimOneAsync(string owner, string accountId, CancellationToken cancellationToken) => database.WriteAsync<AsyncJob?>(
        async (connection, transaction) =>
        {
            // Silos take turns at an account, so that the bound of what it runs at once holds over all of them.
            await AccountStore.LockAsync(database.Dialect, connection, transaction, accountId);
            var running = await connection.ExecuteScalarAsync<long>("SELECT count(*) FROM async_jobs WHERE state = 'running' AND account_id = @accountId", new { accountId }, transaction);
            if (running >= options.Value.MaxRunningPerAccount) return null;
            var now = time.GetUtcNow();
            var job = await connection.QueryFirstOrDefaultAsync<AsyncJob>(
                $"SELECT {AsyncJob.Columns}, request AS Request FROM async_jobs WHERE state = 'queued' AND account_id = @accountId AND not_before <= @now AND expires_at > @now ORDER BY not_before, id LIMIT 1",
                new { accountId, now = Ms(now) },
                transaction);
            if (job is null) return null;
            var claimed = await connection.ExecuteAsync(
                "UPDATE async_jobs SET state = 'running', attempt = attempt + 1, owner = @owner, lease_until = @until, started_at = COALESCE(started_at, @now) WHERE id = @Id AND attempt = @Attempt AND state = 'queued'",
                new { job.Id, job.Attempt, owner, now = Ms(now), until = Ms(now + options.Value.LeaseDuration) },
                transaction);
            if (claimed == 0) return null;
            await TellAsync(connection, transaction, job.Id, "running", string.Create(CultureInfo.InvariantCulture, $"Attempt {job.Attempt + 1}."));
            return job with { Attempt = job.Attempt + 1, StateWord = "running" };
        },
        cancellationToken);

    private async Task<bool> EndUnansweredAsync(DbConnection connection, DbTransaction transaction, string id, string state, string condition, object more)
    {
        var parameters = new DynamicParameters(more);
        parameters.Add("id", id);
        parameters.Add("state", state);
        parameters.Add("now", Ms(time.GetUtcNow()));
        var ended = await connection.ExecuteAsync(
            $"UPDATE async_jobs SET state = @state, request = NULL, bytes = 0, owner = NULL, lease_until = NULL, finished_at = @now WHERE id = @id AND state IN ('queued', 'running') {condition}", parameters, transaction);
        if (ended == 1) await TellEndAsync(connection, transaction, id, state, bytes: 0);
        return ended == 1;
    }

    /// <summary>Whoever follows the job hears of its end, and every endpoint that wants to; what its account then has too much of goes.</summary>
    private async Task TellEndAsync(DbConnection connection, DbTransaction transaction, string id, string state, long bytes)
    {
        await TellAsync(connection, transaction, id, state, null);
        var job = await connection.QuerySingleAsync<AsyncJob>($"SELECT {AsyncJob.Columns} FROM async_jobs WHERE id = @id", new { id }, transaction);
        await webhooks.TellAsync(connection, transaction, job.AccountId, $"job.{state}", job.WebhookId, AsyncJobJson.Of(job));
        await KeepAsync(connection, transaction, job.AccountId, bytes);
    }

    /// <summary>Counts one more job that has ended; of what its account then has too much of the oldest go, never the latest. By a total, since an account may keep very many.</summary>
    private async Task KeepAsync(DbConnection connection, DbTransaction transaction, string accountId, long bytes)
    {
        var (jobs, held) = await AddAsync(connection, transaction, accountId, jobs: 1, bytes);
        if (IsRoom()) return;
        // Nothing is deleted by a total that is wrong; but an account that is full is not counted at each end.
        if (!_counted.ContainsKey(accountId)) (jobs, held) = await CountAsync(connection, transaction, accountId);
        var oldest = await connection.QueryAsync<(string Id, long Bytes)>(
            $"SELECT id, bytes FROM async_jobs WHERE account_id = @accountId AND finished_at IS NOT NULL ORDER BY finished_at, id LIMIT {RoundMax}", new { accountId }, transaction);
        var tooMuch = new List<string>();
        foreach (var old in oldest.SkipLast(1).TakeWhile(_ => !IsRoom()))
        {
            tooMuch.Add(old.Id);
            (jobs, held) = (jobs - 1, held - old.Bytes);
        }
        await DeleteAsync(connection, transaction, accountId, tooMuch);
        _counted[accountId] = true;

        bool IsRoom() => jobs <= options.Value.MaxKeptPerAccount && held <= options.Value.MaxBytesPerAccount;
    }

    /// <summary>Adds to an account's total, and locks it until the transaction ends.</summary>
    private static Task<(long Jobs, long Bytes)> AddAsync(DbConnection connection, DbTransaction transaction, string accountId, long jobs, long bytes) => connection.QuerySingleAsync<(long Jobs, long Bytes)>(
        """
        INSERT INTO kept_jobs (account_id, jobs, bytes) VALUES (@accountId, @jobs, @bytes)
        ON CONFLICT (account_id) DO UPDATE SET jobs = kept_jobs.jobs + excluded.jobs, bytes = kept_jobs.bytes + excluded.bytes RETURNING jobs, bytes
        """,
        new { accountId, jobs, bytes },
        transaction);

    /// <summary>Sets a total, which the transaction has locked, to what there is: a hub of a version that knew no totals may have ended jobs, or deleted some.</summary>
    private static Task<(long Jobs, long Bytes)> CountAsync(DbConnection connection, DbTransaction transaction, string accountId) => connection.QuerySingleAsync<(long Jobs, long Bytes)>(
        """
        UPDATE kept_jobs SET (jobs, bytes) = (SELECT count(*), CAST(COALESCE(sum(bytes), 0) AS bigint) FROM async_jobs WHERE account_id = @accountId AND finished_at IS NOT NULL)
        WHERE account_id = @accountId RETURNING jobs, bytes
        """,
        new { accountId },
        transaction);

    /// <summary>Deletes jobs of one account that have ended, whose total the transaction has locked.</summary>
    private async Task<int> DeleteAsync(DbConnection connection, DbTransaction transaction, string accountId, IEnumerable<string> jobs)
    {
        var ids = database.Dialect.Set(jobs);
        await connection.ExecuteAsync($"DELETE FROM async_job_events WHERE {database.Dialect.In("job_id", "ids")}", new { ids }, transaction);
        var deleted = (await connection.QueryAsync<long>($"DELETE FROM async_jobs WHERE {database.Dialect.In("id", "ids")} RETURNING bytes", new { ids }, transaction)).AsList();
        await connection.ExecuteAsync("UPDATE kept_jobs SET jobs = jobs - @jobs, bytes = bytes - @bytes WHERE account_id = @accountId", new { accountId, jobs = (long)deleted.Count, bytes = deleted.Sum() }, transaction);
        return deleted.Count;
    }

    /// <summary>Writes an event, unless there are as many as are kept; a job's last one always.</summary>
    private async Task TellAsync(DbConnection connection, DbTransaction transaction, string jobId, string type, string? detail)
    {
        var last = await connection.ExecuteScalarAsync<long>("SELECT COALESCE(max(seq), 0) FROM async_job_events WHERE job_id = @jobId", new { jobId }, transaction);
        if (last >= options.Value.MaxEvents && type is "running" or "waiting") return;
        await connection.ExecuteAsync(
            "INSERT INTO async_job_events (job_id, seq, type, at, detail) VALUES (@jobId, @seq, @type, @at, @detail)", new { jobId, seq = last + 1, type, at = Ms(time.GetUtcNow()), detail }, transaction);
    }
}
