using System.Collections.Immutable;
using System.Data.Common;
using System.Globalization;
using System.Text.Json;
using Dapper;
using Federation.Silo.Accounts;
using Federation.Silo.Files;
using Federation.Silo.Gateway;
using Federation.Silo.Jobs;
using Federation.Silo.Storage;
using Federation.Silo.Webhooks;
using Microsoft.Extensions.Options;
using static Federation.Silo.Storage.UnixTime;

namespace Federation.Silo.Batches;

/// <summary>Batches and the answers of their lines on disk. Every step is a compare-and-set on the claim's number, so that of all silos exactly one writes.</summary>
internal sealed class BatchStore(HubDatabase database, FileStore files, WebhookStore webhooks, IOptions<BatchOptions> options, IOptions<TierOptions> tiers, TimeProvider time, ILogger<BatchStore> logger) : IAsyncDisposable
{
    public const int ListMax = 100;

    private const int AnswersAtOnce = 256;
    private const int AnswersWaiting = 10_000;
    private const int PageLines = 50;
    private const int PageBytes = 4 * 1024 * 1024;
    private const int RoundMax = 20;
    private const int DeletedAtOnce = 1_000;

    private readonly Claims _claims = new(database, "batches", time);
    private readonly GroupCommitter<BatchAnswer, bool> _answers = new((answers, cancellationToken) => WriteAsync(database, answers, cancellationToken), new GroupCommitLimits(AnswersAtOnce, AnswersWaiting), logger);

    /// <summary>Writes a batch down; null when its account has as many as it may.</summary>
    public Task<Batch?> CreateAsync(string accountId, string keyId, string kindWord, string inputFileId, string? metadata, AnswerTerms terms, CancellationToken cancellationToken) => database.WriteAsync<Batch?>(
        async (connection, transaction) =>
        {
            await AccountStore.LockAsync(database.Dialect, connection, transaction, accountId);
            var unfinished = await connection.ExecuteScalarAsync<long>("SELECT count(*) FROM batches WHERE account_id = @accountId AND finished_at IS NULL", new { accountId }, transaction);
            if (unfinished >= options.Value.MaxUnfinishedPerAccount) return null;
            var now = time.GetUtcNow();
            var id = $"batch_{Guid.CreateVersion7():N}";
            await connection.ExecuteAsync(
                """
                INSERT INTO batches (id, account_id, key_id, kind, input_file_id, metadata, privacy, max_cost, state, lines_total, lines_completed, lines_failed, attempt, created_at, expires_at)
                VALUES (@id, @accountId, @keyId, @kindWord, @inputFileId, @metadata, @PrivacyWord, @maxCost, 'validating', 0, 0, 0, 0, @now, @expires)
                """,
                new { id, accountId, keyId, kindWord, inputFileId, metadata, terms.PrivacyWord, maxCost = terms.MaxCost?.Value, now = Ms(now), expires = Ms(now + options.Value.Window) },
                transaction);
            return await FindAsync(connection, transaction, id);
        },
        cancellationToken);

    /// <summary>A batch of this account; null when there is none.</summary>
    public Task<Batch?> FindAsync(string accountId, string id, CancellationToken cancellationToken) => database.ReadAsync(
        connection => connection.QuerySingleOrDefaultAsync<Batch?>($"SELECT {Batch.Columns} FROM batches WHERE id = @id AND account_id = @accountId", new { id, accountId }), cancellationToken);

    /// <summary>An account's batches, the newest first.</summary>
    public Task<ImmutableArray<Batch>> ListAsync(string accountId, string? after, int limit, CancellationToken cancellationToken) => database.ReadAsync(
        async connection => (await connection.QueryAsync<Batch>(
            $"SELECT {Batch.Columns} FROM batches WHERE account_id = @accountId AND (@after = '' OR id < @after) ORDER BY id DESC LIMIT @limit",
            new { accountId, after = after ?? string.Empty, limit = (long)limit })).ToImmutableArray(),
        cancellationToken);

    /// <summary>Says that a batch shall not go on; nothing where it has ended, or is about to.</summary>
    public Task CancelAsync(string accountId, string id, CancellationToken cancellationToken) => database.WriteAsync(
        (connection, transaction) => connection.ExecuteAsync(
            "UPDATE batches SET state = 'cancelling', cancelling_at = @now, not_before = NULL WHERE id = @id AND account_id = @accountId AND state IN ('validating', 'in_progress')", new { id, accountId, now = Ms(time.GetUtcNow()) }, transaction),
        cancellationToken);

    /// <summary>
    /// Claims batches that nobody has, the oldest of each account first; at most <paramref name="max"/>. What is cancelled has only its files to be written, and waits for no other of its account. Throws only where it has
    /// claimed nothing.
    /// </summary>
    public async Task<ImmutableArray<Batch>> ClaimAsync(string owner, int max, CancellationToken cancellationToken)
    {
        var perAccount = (long)options.Value.MaxRunningPerAccount;
        var candidates = await database.ReadAsync(
            async connection => (await connection.QueryAsync<(string Id, string AccountId)>(
                """
                SELECT id, account_id FROM
                  (SELECT id, account_id, state, owner, lease_until, COALESCE(not_before, created_at) AS since, row_number() OVER (PARTITION BY account_id ORDER BY COALESCE(not_before, created_at), id) AS place,
                     sum(CASE WHEN lease_until >= @now THEN 1 ELSE 0 END) OVER (PARTITION BY account_id) AS running
                   FROM batches WHERE finished_at IS NULL AND (not_before IS NULL OR not_before <= @now)) waiting
                WHERE (state = 'cancelling' OR (place <= @perAccount AND running < @perAccount)) AND (owner IS NULL OR lease_until < @now) ORDER BY place, since LIMIT @max
                """,
                new { perAccount, now = Ms(time.GetUtcNow()), max = (long)max })).ToImmutableArray(),
            cancellationToken);
        var claimed = ImmutableArray.CreateBuilder<Batch>();
        try
        {
            foreach (var (id, accountId) in candidates)
            {
                if (await ClaimAsync(owner, id, accountId, cancellationToken) is { } batch) claimed.Add(batch);
            }
        }
        catch (Exception) when (claimed.Count > 0)
        {
            // What is claimed is worked on; what is wrong, the next look meets again and tells.
        }
        return claimed.ToImmutable();
    }

    /// <inheritdoc cref="Claims.HoldAsync"/>
    public Task<ImmutableDictionary<string, Claim>> HoldAsync(string owner, IEnumerable<Batch> running, bool renew, CancellationToken cancellationToken)
        => _claims.HoldAsync(owner, running.Select(batch => (batch.Id, batch.Attempt)), renew ? options.Value.LeaseDuration : null, cancellationToken);

    /// <summary>Gives a batch back, for another silo or the next start: at once, or after a wait. One that is cancelled, or out of time, waits for nothing.</summary>
    public Task ReleaseAsync(Batch batch, TimeSpan? wait = null) => database.WriteAsync(
        (connection, transaction) => connection.ExecuteAsync(
            """
            UPDATE batches SET owner = NULL, lease_until = NULL, not_before = CASE WHEN state = 'cancelling' THEN NULL WHEN expires_at < @notBefore THEN expires_at ELSE @notBefore END
            WHERE id = @Id AND attempt = @Attempt AND finished_at IS NULL
            """,
            new { batch.Id, batch.Attempt, notBefore = Ms(time.GetUtcNow() + wait) },
            transaction),
        CancellationToken.None);

    /// <summary>The lines are sound: the batch goes on.</summary>
    /// <param name="batch">The claimed batch.</param>
    /// <param name="total">Its lines.</param>
    /// <param name="models">Models that the hub knows.</param>
    /// <param name="tokens">What its prompts come to, by model, of those that the hub knows.</param>
    /// <param name="cancellationToken">Ends the wait for the database.</param>
    /// <returns>False when the claim is lost or the batch was cancelled; an error where the account has too many tokens in batches that have not ended.</returns>
    public Task<(bool Begun, BatchError? Refused)> BeginAsync(Batch batch, long total, IEnumerable<string> models, IReadOnlyDictionary<string, long> tokens, CancellationToken cancellationToken) => database.WriteAsync<(bool, BatchError?)>(
        async (connection, transaction) =>
        {
            await AccountStore.LockAsync(database.Dialect, connection, transaction, batch.AccountId);
            if (await WhyTooManyTokensAsync(connection, transaction, batch, tokens) is { } refused) return (false, refused);
            var begun = await connection.ExecuteAsync(
                """
                UPDATE batches SET state = 'in_progress', in_progress_at = @now, lines_total = @total, models = @models, enqueued = @enqueued
                WHERE id = @Id AND attempt = @Attempt AND state = 'validating'
                """,
                new { batch.Id, batch.Attempt, now = Ms(time.GetUtcNow()), total, models = JsonSerializer.Serialize(models), enqueued = JsonSerializer.Serialize(tokens) },
                transaction);
            return (begun == 1, null);
        },
        cancellationToken);

    /// <summary>The lines are not sound, or were not read in time: the batch has ended before one of them was asked. False when the claim is lost or the batch was cancelled.</summary>
    public Task<bool> FailAsync(Batch batch, string state, IEnumerable<BatchError> errors, CancellationToken cancellationToken) => database.WriteAsync(
        async (connection, transaction) =>
        {
            var failed = await connection.ExecuteAsync(
                "UPDATE batches SET state = @state, finished_at = @now, owner = NULL, lease_until = NULL, errors = @errors WHERE id = @Id AND attempt = @Attempt AND state = 'validating'",
                new { batch.Id, batch.Attempt, state, now = Ms(time.GetUtcNow()), errors = JsonSerializer.Serialize(errors, Answers.Options) },
                transaction);
            if (failed == 1) await TellEndAsync(connection, transaction, batch.Id);
            return failed == 1;
        },
        cancellationToken);

    /// <summary>No more lines are asked; the files are being written. One that is being cancelled goes on being so.</summary>
    public Task<bool> FinalizeAsync(Batch batch, CancellationToken cancellationToken) => StepAsync(
        batch, "state = 'finalizing', finalizing_at = COALESCE(finalizing_at, @now) WHERE id = @id AND attempt = @attempt AND state IN ('in_progress', 'finalizing')", new { }, cancellationToken);

    /// <summary>Writes the answer to a line, many in one commit; when this returns it is on disk. False when the claim is lost: then it is not.</summary>
    public Task<bool> AnswerAsync(BatchAnswer answer, CancellationToken cancellationToken) => _answers.CommitAsync(answer, cancellationToken);

    /// <summary>The lines that have their answers.</summary>
    public Task<HashSet<long>> AnsweredAsync(string batchId, CancellationToken cancellationToken) => database.ReadAsync(
        async connection => (await connection.QueryAsync<long>("SELECT line FROM batch_answers WHERE batch_id = @batchId", new { batchId })).ToHashSet(), cancellationToken);

    /// <summary>The answers, in the order of their lines: those for the output or those for the file of errors. In memory are so many bytes at once as a page has, or one answer that has more.</summary>
    public async IAsyncEnumerable<byte[]> AnswersAsync(string batchId, bool errors)
    {
        var after = 0L;
        while (true)
        {
            var from = after;
            var isError = errors ? 1L : 0L;
            var sizes = await database.ReadAsync(
                async connection => (await connection.QueryAsync<(long Line, long Bytes)>(
                    $"SELECT line, CAST(length(content) AS bigint) FROM batch_answers WHERE batch_id = @batchId AND line > @from AND is_error = @isError ORDER BY line LIMIT {PageLines}", new { batchId, from, isError })).ToImmutableArray(),
                CancellationToken.None);
            if (sizes.IsEmpty) yield break;
            var (last, bytes) = sizes[0];
            foreach (var next in sizes.Skip(1))
            {
                bytes += next.Bytes;
                if (bytes > PageBytes) break;
                last = next.Line;
            }
            var page = await database.ReadAsync(
                async connection => (await connection.QueryAsync<byte[]>(
                    "SELECT content FROM batch_answers WHERE batch_id = @batchId AND line > @from AND line <= @last AND is_error = @isError ORDER BY line", new { batchId, from, last, isError })).ToImmutableArray(),
                CancellationToken.None);
            foreach (var content in page) yield return content;
            after = last;
        }
    }

    /// <summary>The batch has ended and its files are whole, in one commit. False when the claim is lost.</summary>
    public async Task<bool> EndAsync(Batch batch, string state, FileWriter? output, FileWriter? error, CancellationToken cancellationToken)
    {
        var ended = await database.WriteAsync(
            async (connection, transaction) =>
            {
                var now = Ms(time.GetUtcNow());
                var ended = await connection.ExecuteAsync(
                    """
                    UPDATE batches SET state = @state, finished_at = @now, owner = NULL, lease_until = NULL, enqueued = NULL, output_file_id = @output, error_file_id = @error
                    WHERE id = @Id AND attempt = @Attempt AND state IN ('finalizing', 'cancelling')
                    """,
                    new { batch.Id, batch.Attempt, state, now, output = output?.Id, error = error?.Id },
                    transaction);
                if (ended == 0) return false;
                if (output is not null) await files.FinishAsync(connection, transaction, output.Id, FilePurposes.BatchOutput, $"{batch.Id}_output.jsonl", null);
                if (error is not null) await files.FinishAsync(connection, transaction, error.Id, FilePurposes.BatchOutput, $"{batch.Id}_error.jsonl", null);
                await TellEndAsync(connection, transaction, batch.Id);
                return true;
            },
            cancellationToken);
        if (!ended) return false;
        output?.Keep();
        error?.Keep();
        await DropAnswersAsync(batch.Id, cancellationToken);
        return true;
    }

    /// <summary>Forgets batches that ended longer ago than they are kept; how many, a round at most.</summary>
    public async Task<int> ForgetAsync(CancellationToken cancellationToken)
    {
        var old = await database.ReadAsync(
            async connection => (await connection.QueryAsync<string>($"SELECT id FROM batches WHERE finished_at < @before LIMIT {RoundMax}", new { before = Ms(time.GetUtcNow() - options.Value.Retention) })).ToImmutableArray(), cancellationToken);
        foreach (var id in old)
        {
            await DropAnswersAsync(id, cancellationToken);
            await database.WriteAsync((connection, transaction) => connection.ExecuteAsync("DELETE FROM batches WHERE id = @id", new { id }, transaction), cancellationToken);
        }
        return old.Length;
    }

    public ValueTask DisposeAsync() => _answers.DisposeAsync();

    /// <summary>As OpenAI says it. What counts are batches of the account that have begun and not ended.</summary>
    private async Task<BatchError?> WhyTooManyTokensAsync(DbConnection connection, DbTransaction transaction, Batch batch, IReadOnlyDictionary<string, long> tokens)
    {
        var tier = TierNames.Parse((await connection.ExecuteScalarAsync<string>("SELECT tier FROM accounts WHERE id = @AccountId", new { batch.AccountId }, transaction))!);
        if (tiers.Value.EnqueuedTokens[tier] is not (> 0 and var limit)) return null;
        var sums = new Dictionary<string, long>(tokens, StringComparer.Ordinal);
        var others = await connection.QueryAsync<string>(
            "SELECT enqueued FROM batches WHERE account_id = @AccountId AND finished_at IS NULL AND enqueued IS NOT NULL AND id <> @Id", new { batch.AccountId, batch.Id }, transaction);
        foreach (var (model, count) in others.SelectMany(other => JsonSerializer.Deserialize<Dictionary<string, long>>(other)!))
        {
            if (sums.TryGetValue(model, out var sum)) sums[model] = sum + count;
        }
        if (sums.Where(sum => sum.Value > limit).Select(sum => sum.Key).Min(StringComparer.Ordinal) is not { } full) return null;
        var message = string.Create(
            CultureInfo.InvariantCulture, $"Enqueued token limit reached for {full} in organization {batch.AccountId}. Limit: {limit:N0} enqueued tokens. Please try again once some in_progress batches have been completed.");
        return new BatchError("token_limit_exceeded", message, null, null);
    }

    private async Task TellEndAsync(DbConnection connection, DbTransaction transaction, string id)
    {
        var ended = (await FindAsync(connection, transaction, id))!;
        await webhooks.TellAsync(connection, transaction, ended.AccountId, $"batch.{ended.State}", null, BatchEndpoints.BatchJson.Of(ended));
    }

    /// <summary>In steps, so that nobody waits long for the database meanwhile.</summary>
    private async Task DropAnswersAsync(string batchId, CancellationToken cancellationToken)
    {
        for (var below = (long)DeletedAtOnce; ; below += DeletedAtOnce)
        {
            var last = await database.ReadAsync(connection => connection.ExecuteScalarAsync<long?>("SELECT max(line) FROM batch_answers WHERE batch_id = @batchId", new { batchId }), cancellationToken);
            if (last is null) return;
            await database.WriteAsync((connection, transaction) => connection.ExecuteAsync("DELETE FROM batch_answers WHERE batch_id = @batchId AND line <= @below", new { batchId, below }, transaction), cancellationToken);
        }
    }

    private Task<Batch?> ClaimAsync(string owner, string id, string accountId, CancellationToken cancellationToken) => database.WriteAsync<Batch?>(
        async (connection, transaction) =>
        {
            // Silos take turns at an account, so that the bound of what it runs at once holds over all of them.
            await AccountStore.LockAsync(database.Dialect, connection, transaction, accountId);
            var now = time.GetUtcNow();
            var running = await connection.ExecuteScalarAsync<long>("SELECT count(*) FROM batches WHERE account_id = @accountId AND finished_at IS NULL AND lease_until >= @now", new { accountId, now = Ms(now) }, transaction);
            var claimed = await connection.ExecuteAsync(
                """
                UPDATE batches SET owner = @owner, attempt = attempt + 1, lease_until = @until
                WHERE id = @id AND finished_at IS NULL AND (not_before IS NULL OR not_before <= @now) AND (owner IS NULL OR lease_until < @now) AND (state = 'cancelling' OR @running < @max)
                """,
                new { id, owner, now = Ms(now), until = Ms(now + options.Value.LeaseDuration), running, max = (long)options.Value.MaxRunningPerAccount },
                transaction);
            return claimed == 1 ? await FindAsync(connection, transaction, id) : null;
        },
        cancellationToken);

    private Task<bool> StepAsync(Batch batch, string change, object more, CancellationToken cancellationToken) => database.WriteAsync(
        async (connection, transaction) =>
        {
            var parameters = new DynamicParameters(more);
            parameters.Add("id", batch.Id);
            parameters.Add("attempt", batch.Attempt);
            parameters.Add("now", Ms(time.GetUtcNow()));
            return await connection.ExecuteAsync($"UPDATE batches SET {change}", parameters, transaction) == 1;
        },
        cancellationToken);

    private static Task<Batch?> FindAsync(DbConnection connection, DbTransaction transaction, string id)
        => connection.QuerySingleOrDefaultAsync<Batch?>($"SELECT {Batch.Columns} FROM batches WHERE id = @id", new { id }, transaction);

    /// <summary>One commit for all answers that wait. A claim that was lost is found under the lock of the batch's row, so that no answer of an old one gets in.</summary>
    private static Task<ImmutableArray<bool>> WriteAsync(HubDatabase database, ReadOnlyMemory<BatchAnswer> answers, CancellationToken cancellationToken) => database.WriteAsync(
        async (connection, transaction) =>
        {
            var written = new bool[answers.Length];
            var numbered = answers.ToArray().Select((answer, index) => (Answer: answer, Index: index));
            // In one order everywhere, so that two silos never wait for each other.
            foreach (var batch in numbered.GroupBy(one => one.Answer.BatchId).OrderBy(group => group.Key, StringComparer.Ordinal))
            {
                var attempt = await connection.ExecuteScalarAsync<long?>($"SELECT attempt FROM batches WHERE id = @Key AND finished_at IS NULL {database.Dialect.ForUpdate}", new { batch.Key }, transaction);
                var (completed, failed) = (0L, 0L);
                foreach (var (answer, index) in batch.Where(one => one.Answer.Attempt == attempt))
                {
                    written[index] = true;
                    var isNew = await connection.ExecuteAsync(
                        "INSERT INTO batch_answers (batch_id, line, is_error, content) VALUES (@BatchId, @Line, @isError, @Content) ON CONFLICT (batch_id, line) DO NOTHING",
                        new { answer.BatchId, answer.Line, isError = answer.IsError ? 1L : 0L, answer.Content },
                        transaction) == 1;
                    completed += isNew && !answer.IsError ? 1 : 0;
                    failed += isNew && answer.IsError ? 1 : 0;
                }
                await connection.ExecuteAsync("UPDATE batches SET lines_completed = lines_completed + @completed, lines_failed = lines_failed + @failed WHERE id = @Key", new { batch.Key, completed, failed }, transaction);
            }
            return ImmutableArray.Create(written);
        },
        cancellationToken);
}
