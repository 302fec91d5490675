using Dapper;
using Federation.Silo.Storage;
using Microsoft.Extensions.Options;
using static Federation.Silo.Storage.UnixTime;

namespace Federation.Silo.Apis.Responses;

/// <summary>An answer that is kept.</summary>
/// <param name="Response">The response object, JSON.</param>
/// <param name="Conversation">The messages up to and with this answer, in OpenAI's words for chats: a JSON array. Without instructions, which are never carried over.</param>
internal sealed record KeptResponse(string Response, string Conversation);

/// <summary>The answers that accounts asked to be kept. Nobody but the account sees them.</summary>
internal sealed class ResponseStore(HubDatabase database, IOptions<ResponsesOptions> options, TimeProvider time)
{
    /// <summary>Keeps an answer; what is then too much of the account goes, the oldest first. <see langword="false"/>: it is too large by itself.</summary>
    /// <exception cref="StorageException">The database failed.</exception>
    public async Task<bool> KeepAsync(string id, string accountId, KeptResponse kept, CancellationToken cancellationToken)
    {
        var bytes = System.Text.Encoding.UTF8.GetByteCount(kept.Response) + (long)System.Text.Encoding.UTF8.GetByteCount(kept.Conversation);
        if (bytes > options.Value.MaxBytesPerAccount) return false;
        var now = time.GetUtcNow();
        await database.WriteAsync(
            async (connection, transaction) =>
            {
                await connection.ExecuteAsync(
                    """
                    INSERT INTO responses (id, account_id, created_at, expires_at, bytes, response, conversation)
                    VALUES (@id, @accountId, @createdAt, @expiresAt, @bytes, @Response, @Conversation)
                    """,
                    new { id, accountId, createdAt = Ms(now), expiresAt = Ms(now + options.Value.Lifetime), bytes, kept.Response, kept.Conversation },
                    transaction);
                await connection.ExecuteAsync(
                    """
                    DELETE FROM responses WHERE id IN (
                      SELECT id FROM (SELECT id, SUM(bytes) OVER (ORDER BY created_at DESC, id DESC) AS held FROM responses WHERE account_id = @accountId) AS newest WHERE held > @max)
                    """,
                    new { accountId, max = options.Value.MaxBytesPerAccount },
                    transaction);
            },
            cancellationToken);
        return true;
    }

    /// <summary>An answer of this account's that is kept; <see langword="null"/> where there is none.</summary>
    public Task<KeptResponse?> FindAsync(string id, string accountId, CancellationToken cancellationToken) => database.ReadAsync(
        connection => connection.QuerySingleOrDefaultAsync<KeptResponse>(
            "SELECT response, conversation FROM responses WHERE id = @id AND account_id = @accountId AND expires_at > @now", new { id, accountId, now = Ms(time.GetUtcNow()) }),
        cancellationToken);

    /// <summary>Forgets an answer; <see langword="false"/> where the account has no such.</summary>
    public async Task<bool> DeleteAsync(string id, string accountId, CancellationToken cancellationToken) => await database.WriteAsync(
        (connection, transaction) => connection.ExecuteAsync("DELETE FROM responses WHERE id = @id AND account_id = @accountId", new { id, accountId }, transaction), cancellationToken) > 0;

    /// <summary>Deletes what has expired.</summary>
    public Task SweepAsync(CancellationToken cancellationToken) => database.WriteAsync(
        (connection, transaction) => connection.ExecuteAsync("DELETE FROM responses WHERE expires_at <= @now", new { now = Ms(time.GetUtcNow()) }, transaction), cancellationToken);
}
