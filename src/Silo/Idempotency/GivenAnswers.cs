using System.Collections.Immutable;
using System.Runtime.InteropServices;
using Dapper;
using Federation.Contracts.Jobs;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Gateway;
using Federation.Silo.Storage;
using Microsoft.Extensions.Options;
using static Federation.Silo.Storage.UnixTime;

namespace Federation.Silo.Idempotency;

/// <summary>Answers that may be asked for again, on disk for as long as that may be.</summary>
internal sealed partial class GivenAnswers(HubDatabase database, ILedger ledger, IOptions<IdempotencyOptions> options, TimeProvider time, ILogger<GivenAnswers> logger)
{
    private const int PurgedAtOnce = 500;

    /// <summary>What was answered to a request of this name; <see langword="null"/> when nothing was, or too long ago.</summary>
    public Task<GivenAnswer?> FindAsync(RepeatableRequest request, CancellationToken cancellationToken) => database.ReadAsync(
        async connection => (await connection.QuerySingleOrDefaultAsync<Stored>(
            """
            SELECT request_hash, job_id, route, node_id, attempts, queued_ms, status, content_type, is_stream, answer
            FROM idempotent_answers WHERE account_id = @AccountId AND key_hash = @key AND expires_at > @now
            """,
            new { request.AccountId, key = request.KeyHash.ToArray(), now = Ms(time.GetUtcNow()) }))?.ToAnswer(),
        cancellationToken);

    /// <summary>How much of an answer to this account may be kept, bytes; <see langword="null"/> when it has too many keys already.</summary>
    public Task<long?> RoomAsync(string accountId, CancellationToken cancellationToken) => database.ReadAsync<long?>(
        async connection =>
        {
            var (keys, bytes) = await connection.QuerySingleAsync<(long, long)>(
                "SELECT COUNT(*), CAST(COALESCE(SUM(bytes), 0) AS bigint) FROM idempotent_answers WHERE account_id = @accountId AND expires_at > @now", new { accountId, now = Ms(time.GetUtcNow()) });
            return keys >= options.Value.MaxKeysPerAccount ? null : Math.Clamp(options.Value.MaxBytesPerAccount - bytes, 0, options.Value.MaxAnswerBytes);
        },
        cancellationToken);

    /// <summary>Keeps an answer; when this returns it is on disk, or the log says why not: the client's answer is not to blame.</summary>
    public async Task KeepAsync(string accountId, string jobId, AnswerOnRecord answer)
    {
        try
        {
            // Whatever else is written in this moment shares the commit.
            await ledger.SubmitAsync(new LedgerUnit { Rows = [Row(accountId, jobId, answer)] });
        }
        catch (StorageException exception)
        {
            LogLost(jobId, exception);
        }
    }

    /// <summary>An answer as it goes on record.</summary>
    public AnswerOnRecord Record(RepeatableRequest request, GivenAnswer answer)
    {
        var now = time.GetUtcNow();
        return new AnswerOnRecord(
            request.KeyHash,
            request.RequestHash,
            answer.Head.Route,
            answer.Head.NodeId,
            answer.Head.Attempts,
            (long)answer.Head.Queued.TotalMilliseconds,
            answer.Status,
            answer.ContentType,
            answer.IsStream,
            IsKept: answer.Bytes is not null,
            ImmutableCollectionsMarshal.AsImmutableArray(answer.Bytes?.ToArray() ?? []),
            Ms(now),
            Ms(now + options.Value.Lifetime));
    }

    /// <summary>The row, as part of a larger write; writing it again changes nothing.</summary>
    public static SqlStatement Row(string accountId, string jobId, AnswerOnRecord answer) => new(
        """
        INSERT INTO idempotent_answers (account_id, key_hash, request_hash, job_id, route, node_id, attempts, queued_ms, status, content_type, is_stream, answer, bytes, expires_at)
        VALUES (@AccountId, @KeyHash, @RequestHash, @JobId, @Route, @NodeId, @Attempts, @QueuedMs, @Status, @ContentType, @IsStream, @Answer, @Bytes, @ExpiresAt)
        ON CONFLICT (account_id, key_hash) DO UPDATE SET
          request_hash = excluded.request_hash, job_id = excluded.job_id, route = excluded.route, node_id = excluded.node_id, attempts = excluded.attempts, queued_ms = excluded.queued_ms, status = excluded.status,
          content_type = excluded.content_type, is_stream = excluded.is_stream, answer = excluded.answer, bytes = excluded.bytes, expires_at = excluded.expires_at
        WHERE idempotent_answers.expires_at <= @Now
        """,
        new
        {
            AccountId = accountId,
            KeyHash = Bytes(answer.KeyHash),
            RequestHash = Bytes(answer.RequestHash),
            JobId = jobId,
            answer.Route,
            answer.NodeId,
            answer.Attempts,
            answer.QueuedMs,
            answer.Status,
            answer.ContentType,
            IsStream = answer.IsStream ? 1 : 0,
            Answer = answer.IsKept ? Bytes(answer.Bytes) : null,
            Bytes = (long)answer.Bytes.Length,
            ExpiresAt = answer.ExpiresMs,
            Now = answer.GivenMs,
        });

    private static byte[] Bytes(ImmutableArray<byte> bytes) => ImmutableCollectionsMarshal.AsArray(bytes)!;

    /// <summary>Throws away what is over.</summary>
    /// <returns>How many.</returns>
    public async Task<int> PurgeAsync(CancellationToken cancellationToken)
    {
        var purged = 0;
        while (true)
        {
            var some = await database.WriteAsync(
                (connection, transaction) => connection.ExecuteAsync(
                    $"""
                     DELETE FROM idempotent_answers WHERE EXISTS (
                       SELECT 1 FROM (SELECT account_id, key_hash FROM idempotent_answers WHERE expires_at <= @now ORDER BY expires_at LIMIT {PurgedAtOnce}) due
                       WHERE due.account_id = idempotent_answers.account_id AND due.key_hash = idempotent_answers.key_hash)
                     """,
                    new { now = Ms(time.GetUtcNow()) },
                    transaction),
                cancellationToken);
            purged += some;
            if (some < PurgedAtOnce) return purged;
        }
    }

    [LoggerMessage(4860, LogLevel.Warning, "The answer to job {JobId} could not be kept: the same request sent again is run again")]
    private partial void LogLost(string jobId, Exception exception);

    private sealed class Stored
    {
        public required byte[] Request_hash { get; init; }

        public required string Job_id { get; init; }

        public required string Route { get; init; }

        public required string Node_id { get; init; }

        public required long Attempts { get; init; }

        public required long Queued_ms { get; init; }

        public required long Status { get; init; }

        public required string Content_type { get; init; }

        public required long Is_stream { get; init; }

        public byte[]? Answer { get; init; }

        public GivenAnswer ToAnswer() => new(
            [.. Request_hash], Job_id, new AnswerHead(Node_id, (int)Attempts, TimeSpan.FromMilliseconds(Queued_ms)) { Route = Route }, (int)Status, Content_type, Is_stream == 1, Answer is null ? null : Answer.AsMemory());
    }
}
