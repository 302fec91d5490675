using System.ComponentModel.DataAnnotations;
using Dapper;
using Federation.Silo.Accounts;
using Federation.Silo.Storage;
using Microsoft.Extensions.Options;
using static Federation.Silo.Storage.UnixTime;

namespace Federation.Silo.Nodes;

/// <summary>How long join tokens live.</summary>
internal sealed class JoinTokenOptions
{
    public const string SectionName = "JoinTokens";

    /// <summary>How long a token lives when nothing is said. Default 1 h.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "30.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan Lifetime { get; set; } = TimeSpan.FromHours(1);

    /// <summary>The longest life that can be asked for. Default 30 days.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "365.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan LifetimeMax { get; set; } = TimeSpan.FromDays(30);
}

[OptionsValidator]
internal sealed partial class JoinTokenOptionsValidator : IValidateOptions<JoinTokenOptions>;

/// <summary>A new token: <see cref="Text"/> is shown once.</summary>
internal sealed record JoinToken(string Text, string AccountId, DateTimeOffset ExpiresAt);

/// <summary>What became of an attempt to use a token.</summary>
/// <param name="Status">Whether it was good.</param>
/// <param name="AccountId">The account that owns the node from now on; <see langword="null"/> unless the token was good.</param>
internal sealed record JoinTokenRedemption(JoinTokenStatus Status, string? AccountId);

/// <summary>Whether a token can be used.</summary>
internal enum JoinTokenStatus
{
    /// <summary>It was good, and is used now.</summary>
    Redeemed,

    /// <summary>There is no such token.</summary>
    Unknown,

    /// <summary>Another node used it.</summary>
    Used,

    /// <summary>Its time has passed.</summary>
    Expired,
}

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
