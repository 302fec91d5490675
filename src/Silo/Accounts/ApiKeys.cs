using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.ComponentModel.DataAnnotations;
using Dapper;
using Federation.Contracts.Accounts;
using Federation.Silo.Storage;
using Microsoft.Extensions.Options;
using static Federation.Silo.Storage.UnixTime;

namespace Federation.Silo.Accounts;

/// <summary>What a key may be used for.</summary>
internal static class Scopes
{
    public const string Admin = "admin";
    public const string Inference = "inference";
    public const string Contribute = "contribute";

    public static readonly ImmutableArray<string> All = [Admin, Inference, Contribute];

    /// <summary>What a key gets when nothing is said.</summary>
    public static readonly ImmutableArray<string> Usual = [Inference, Contribute];
}

/// <summary>Who calls.</summary>
internal sealed record ApiCaller(string AccountId, string KeyId, ImmutableArray<string> Scopes)
{
    public bool IsAdmin => Scopes.Contains(Accounts.Scopes.Admin);

    /// <summary>Limits of the key's own; <see langword="null"/> where it has none but its account's.</summary>
    public KeyLimits? Limits { get; init; }

    /// <summary>Patterns of the models the key may use; empty for all its account may.</summary>
    public ImmutableArray<string> Models { get; init; } = [];

    /// <summary>Whether the key may use the model, by the name its nodes know it by.</summary>
    public bool MayUse(string model) => Models.IsEmpty || ModelPatterns.Match(Models, model);
}

/// <summary>One key's row; the key itself is nowhere.</summary>
internal sealed record ApiKeyRow(
    string Id, string AccountId, string Name, string Prefix, ImmutableArray<string> Scopes, DateTimeOffset CreatedAt, DateTimeOffset? ExpiresAt, DateTimeOffset? RevokedAt, DateTimeOffset? LastUsedAt);

/// <summary>How keys are cached.</summary>
internal sealed class ApiKeyOptions
{
    public const string SectionName = "ApiKeys";

    /// <summary>
    /// How long another silo may honour a key that was revoked on this one; on this one a revocation counts at once. Default 1 s;
    /// 0 asks the database every time.
    /// </summary>
    [Range(typeof(TimeSpan), "00:00:00", "00:05:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan CacheAge { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>Keys remembered at once. Default 10 000.</summary>
    [Range(1, 10_000_000)]
    public int CacheMax { get; set; } = 10_000;

    /// <summary>How often it is written down which keys were used: what a list of keys shows is at most so old. Default 1 min.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "1.00:00:00", ParseLimitsInInvariantCulture = true)]
    public TimeSpan UsePeriod { get; set; } = TimeSpan.FromMinutes(1);
}

[OptionsValidator]
internal sealed partial class ApiKeyOptionsValidator : IValidateOptions<ApiKeyOptions>;

/// <summary>API keys: <c>fk_…</c>, stored as SHA-256, shown once, revocable.</summary>
internal sealed class ApiKeys(HubDatabase database, IOptions<ApiKeyOptions> options, TimeProvider time)
{
    public const string KeyPrefix = "fk_";

    public const int ListMax = 1_000;

    private const int ShownCharacters = 8;

    private readonly ConcurrentDictionary<string, Cached> _cache = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, DateTimeOffset> _used = new(StringComparer.Ordinal);
    private long _revocations;

    /// <summary>Who holds this key; <see langword="null"/> when nobody does, or no longer.</summary>
    public async ValueTask<ApiCaller?> AuthenticateAsync(string key, CancellationToken cancellationToken)
    {
        if (!Secrets.IsWellFormed(KeyPrefix, key)) return null;
        var hash = Secrets.Hash(key);
        var cacheKey = Convert.ToHexString(hash);
        if (_cache.TryGetValue(cacheKey, out var cached) && time.GetElapsedTime(cached.FetchedAt) < options.Value.CacheAge) return StillValid(cached.Row);
        var revocations = Interlocked.Read(ref _revocations);
        var row = await FindAsync(hash, cancellationToken);
        if (row is null)
        {
            _cache.TryRemove(cacheKey, out _);
            return null;
        }
        // Rather forget everything at once, and ask again, than keep an order of use on the hot path.
        if (_cache.Count >= options.Value.CacheMax) _cache.Clear();
        _cache[cacheKey] = new Cached(row, time.GetTimestamp());
        // Of a revocation that came between reading and keeping, this row knows nothing.
        if (Interlocked.Read(ref _revocations) != revocations) _cache.TryRemove(cacheKey, out _);
        return StillValid(row);
    }

    /// <summary>Who holds the key with this id, for work that was asked for with it earlier; <see langword="null"/> when it was revoked or has expired since.</summary>
    public async Task<ApiCaller?> FindCallerAsync(string keyId, CancellationToken cancellationToken)
    {
        var row = await database.ReadAsync(
            async connection => (await connection.QuerySingleOrDefaultAsync<Stored>($"SELECT {Stored.Columns} FROM api_keys WHERE id = @keyId", new { keyId }))?.ToRow(), cancellationToken);
        return row is null ? null : StillValid(row);
    }

    /// <summary>Makes a key; the second value is the key, which nobody will see again.</summary>
    public async Task<(ApiKeyRow Row, string Key)> CreateAsync(
        string accountId, string name, ImmutableArray<string> scopes, TimeSpan? lifetime, CancellationToken cancellationToken)
    {
        var key = Secrets.Create(KeyPrefix);
        var now = time.GetUtcNow();
        var row = new ApiKeyRow($"key_{Guid.CreateVersion7():N}", accountId, name, key[..(KeyPrefix.Length + ShownCharacters)], scopes, now, now + lifetime, null, null);
        await database.WriteAsync(
            (connection, transaction) => connection.ExecuteAsync(
                """
                INSERT INTO api_keys (id, account_id, name, sha256, prefix, scopes, created_at, expires_at)
                VALUES (@Id, @AccountId, @Name, @Hash, @Prefix, @Scopes, @CreatedAt, @ExpiresAt)
                """,
                new
                {
                    row.Id,
                    row.AccountId,
                    row.Name,
                    Hash = Secrets.Hash(key),
                    row.Prefix,
                    Scopes = string.Join(' ', scopes),
                    CreatedAt = Ms(now),
                    ExpiresAt = Ms(row.ExpiresAt),
                },
                transaction),
            cancellationToken);
        return (row, key);
    }

    /// <summary>The keys of an account, the newest first, at most <see cref="ListMax"/>.</summary>
    public Task<ImmutableArray<ApiKeyRow>> ListAsync(string accountId, CancellationToken cancellationToken) => database.ReadAsync(
        async connection =>
        {
            var rows = await connection.QueryAsync<Stored>($"SELECT {Stored.Columns} FROM api_keys WHERE account_id = @accountId ORDER BY created_at DESC LIMIT {ListMax}", new { accountId });
            return rows.Select(row => row.ToRow()).ToImmutableArray();
        },
        cancellationToken);

    /// <summary>Revokes a key for good; <see langword="false"/> when the account has no such key.</summary>
    public async Task<bool> RevokeAsync(string keyId, string? accountId, CancellationToken cancellationToken)
    {
        var revoked = await database.WriteAsync(
            (connection, transaction) => connection.ExecuteAsync(
                """
                UPDATE api_keys SET revoked_at = COALESCE(revoked_at, @now)
                WHERE id = @keyId AND (@accountId = '' OR account_id = @accountId)
                """,
                new { keyId, accountId = accountId ?? string.Empty, now = Ms(time.GetUtcNow()) },
                transaction),
            cancellationToken);
        Interlocked.Increment(ref _revocations);
        foreach (var (cacheKey, _) in _cache.Where(entry => entry.Value.Row.Id == keyId)) _cache.TryRemove(cacheKey, out _);
        return revoked > 0;
    }

    private Task<ApiKeyRow?> FindAsync(byte[] hash, CancellationToken cancellationToken) => database.ReadAsync(
        async connection => (await connection.QuerySingleOrDefaultAsync<Stored>($"SELECT {Stored.Columns} FROM api_keys WHERE sha256 = @hash", new { hash }))?.ToRow(),
        cancellationToken);

    /// <summary>Writes down when the keys that were used since the last call were used.</summary>
    public async Task WriteUsesAsync(CancellationToken cancellationToken)
    {
        var uses = _used.ToArray();
        if (uses.Length == 0) return;
        await database.WriteAsync(
            (connection, transaction) => connection.ExecuteAsync(
                "UPDATE api_keys SET last_used_at = @at WHERE id = @id AND (last_used_at IS NULL OR last_used_at < @at)",
                uses.Select(use => new { id = use.Key, at = Ms(use.Value) }),
                transaction),
            cancellationToken);
        // Only what is written: whoever called meanwhile is in the next round.
        foreach (var use in uses) _used.TryRemove(use);
    }

    private ApiCaller? StillValid(ApiKeyRow row)
    {
        var now = time.GetUtcNow();
        if (row.RevokedAt is not null || row.ExpiresAt <= now) return null;
        _used[row.Id] = now;
        return new ApiCaller(row.AccountId, row.Id, row.Scopes);
    }

    private sealed record Cached(ApiKeyRow Row, long FetchedAt);

    private sealed class Stored
    {
        public const string Columns = "id, account_id, name, prefix, scopes, created_at, expires_at, revoked_at, last_used_at";

        public required string Id { get; init; }

        public required string Account_id { get; init; }

        public required string Name { get; init; }

        public required string Prefix { get; init; }

        public required string Scopes { get; init; }

        public required long Created_at { get; init; }

        public long? Expires_at { get; init; }

        public long? Revoked_at { get; init; }

        public long? Last_used_at { get; init; }

        public ApiKeyRow ToRow() => new(
            Id, Account_id, Name, Prefix, [.. Scopes.Split(' ')], At(Created_at), At(Expires_at), At(Revoked_at), At(Last_used_at));
    }
}
