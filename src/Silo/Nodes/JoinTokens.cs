using Dapper;
using Federation.Silo.Accounts;
using Federation.Silo.Storage;
using Microsoft.Extensions.Options;
using static Federation.Silo.Storage.UnixTime;

namespace Federation.Silo.Nodes;

/// <summary>Join tokens: <c>jt_…</c>, single use, expiring, stored as SHA-256.</summary>
internal sealed class JoinTokens(HubDatabase database, IOptions<JoinTokenOptions> options, TimeProvider time)
{
    public const string TokenPrefix = "jt_";

    /// <summary>Makes a token for a node of this account.</summary>
    /// <param name="accountId">Who will own the node.</param>
    /// <param name="lifetime">How long it lives; <see langword="null"/> for the usual time.</param>
    /// <param name="announcement">What the contributor said of the machine, JSON; <see langword="null"/> when nothing.</param>
    /// <param name="cancellationToken">Stops the wait.</param>
    /// <exception cref="ArgumentOutOfRangeException">The lifetime is not above 0 or longer than the hub allows.</exception>
    public async Task<JoinToken> CreateAsync(string accountId, TimeSpan? lifetime, string? announcement, CancellationToken cancellationToken)
    {
        var wanted = lifetime ?? options.Value.Lifetime;
        if (wanted <= TimeSpan.Zero || wanted > options.Value.LifetimeMax)
            throw new ArgumentOutOfRangeException(nameof(lifetime), wanted, $"A join token lives at most {options.Value.LifetimeMax}.");
        var now = time.GetUtcNow();
        var token = new JoinToken(Secrets.Create(TokenPrefix), accountId, now + wanted);
        await database.WriteAsync(
            (connection, transaction) => connection.ExecuteAsync(
                """
                INSERT INTO join_tokens (sha256, account_id, announcement, created_at, expires_at)
                VALUES (@Hash, @AccountId, @Announcement, @CreatedAt, @ExpiresAt)
                """,
                new
                {
                    Hash = Secrets.Hash(token.Text),
                    AccountId = accountId,
                    Announcement = announcement,
                    CreatedAt = Ms(now),
                    ExpiresAt = Ms(token.ExpiresAt),
                },
                transaction),
            cancellationToken);
        return token;
    }

    /// <summary>Uses a token for a node. The same node may use it again: it then lost our first answer.</summary>
    public async Task<JoinTokenRedemption> RedeemAsync(string token, string nodeId, CancellationToken cancellationToken)
    {
        if (!Secrets.IsWellFormed(TokenPrefix, token)) return new JoinTokenRedemption(JoinTokenStatus.Unknown, null);
        var hash = Secrets.Hash(token);
        var now = Ms(time.GetUtcNow());
        return await database.WriteAsync(
            async (connection, transaction) =>
            {
                // The condition and the mark are one statement, so that of two nodes with one token exactly one gets in.
                var taken = await connection.ExecuteAsync(
                    "UPDATE join_tokens SET used_at = @now, used_by_node = @nodeId WHERE sha256 = @hash AND used_at IS NULL AND expires_at > @now",
                    new { now, nodeId, hash },
                    transaction);
                var row = await connection.QuerySingleOrDefaultAsync<Stored>(
                    "SELECT account_id, used_by_node FROM join_tokens WHERE sha256 = @hash", new { hash }, transaction);
                if (row is null) return new JoinTokenRedemption(JoinTokenStatus.Unknown, null);
                if (taken == 1 || row.Used_by_node == nodeId) return new JoinTokenRedemption(JoinTokenStatus.Redeemed, row.Account_id);
                return new JoinTokenRedemption(row.Used_by_node is null ? JoinTokenStatus.Expired : JoinTokenStatus.Used, null);
            },
            cancellationToken);
    }

    private sealed class Stored
    {
        public required string Account_id { get; init; }

        public string? Used_by_node { get; init; }
    }
}
