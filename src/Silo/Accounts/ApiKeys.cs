using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Net;
using System.Text.Json;
using Dapper;
using Federation.Contracts.Accounts;
using Federation.Silo.Storage;
using Microsoft.Extensions.Options;
using static Federation.Silo.Storage.UnixTime;

namespace Federation.Silo.Accounts;

/// <summary>API keys: <c>fk_…</c>, stored as SHA-256, shown once, revocable, and rotated: a new secret for the same key.</summary>
internal sealed class ApiKeys(HubDatabase database, IOptions<ApiKeyOptions> options, TimeProvider time) : IDisposable
{
    public const string KeyPrefix = "fk_";

    public const int ListMax = 1_000;

    private const int ShownCharacters = 8;

    private readonly ConcurrentDictionary<string, Cached> _cache = new(StringComparer.Ordinal);
    // What was looked up and is no key's. Secrets are made at random, so it does not become one's.
    private readonly ConcurrentDictionary<string, long> _unknown = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, DateTimeOffset> _used = new(StringComparer.Ordinal);
    private readonly SemaphoreSlim _suspects = new(1);
    private long _revocations;

    /// <summary>Who sends keys that open nothing.</summary>
    public WrongKeys Wrong { get; } = new(options.Value, time);

    /// <summary>Who holds this key; <see langword="null"/> when nobody does, or no longer.</summary>
    /// <param name="key">As it came.</param>
    /// <param name="cancellationToken">Nobody waits any more.</param>
    /// <param name="from">From which address, where that is known.</param>
    public async ValueTask<ApiCaller?> AuthenticateAsync(string key, CancellationToken cancellationToken, IPAddress? from = null)
    {
        if (!Secrets.IsWellFormed(KeyPrefix, key)) return null;
        var hash = Secrets.Hash(key);
        var cacheKey = Convert.ToHexString(hash);
        if (_cache.TryGetValue(cacheKey, out var cached) && time.GetElapsedTime(cached.FetchedAt) < options.Value.CacheAge) return StillValid(cached);
        if (_unknown.TryGetValue(cacheKey, out var lookedUpAt) && time.GetElapsedTime(lookedUpAt) < options.Value.CacheAge) return null;
        var revocations = Interlocked.Read(ref _revocations);
        // Of a key that opened something before, nobody made it up: it waits for no others.
        var found = cached is null && Wrong.IsSuspect(from) ? await FindInTurnAsync(hash, cancellationToken) : await FindAsync(hash, cancellationToken);
        if (found is null)
        {
            _cache.TryRemove(cacheKey, out _);
            if (_unknown.Count >= options.Value.CacheMax) _unknown.Clear();
            _unknown[cacheKey] = time.GetTimestamp();
            return null;
        }
        // Rather forget everything at once, and ask again, than keep an order of use on the hot path.
        if (_cache.Count >= options.Value.CacheMax) _cache.Clear();
        _cache[cacheKey] = found;
        // Of a revocation that came between reading and keeping, this row knows nothing.
        if (Interlocked.Read(ref _revocations) != revocations) _cache.TryRemove(cacheKey, out _);
        return StillValid(found);
    }

    /// <summary>Who holds the key with this id, for work that was asked for with it earlier; <see langword="null"/> when it was revoked or has expired since.</summary>
    public async Task<ApiCaller?> FindCallerAsync(string keyId, CancellationToken cancellationToken)
    {
        var row = await database.ReadAsync(
            async connection => (await connection.QuerySingleOrDefaultAsync<Stored>($"SELECT {Stored.Columns} FROM api_keys WHERE id = @keyId", new { keyId }))?.ToRow(), cancellationToken);
        return row is null ? null : StillValid(Cached.Of(row, secretUntil: null, time.GetTimestamp()));
    }

    /// <summary>Makes a key; the second value is the key, which nobody will see again.</summary>
    public Task<(ApiKeyRow Row, string Key)> CreateAsync(string accountId, string name, ImmutableArray<string> scopes, TimeSpan? lifetime, CancellationToken cancellationToken)
        => CreateAsync(new NewKey(accountId, name, scopes) { Lifetime = lifetime }, cancellationToken);

    /// <inheritdoc cref="CreateAsync(string, string, ImmutableArray{string}, TimeSpan?, CancellationToken)"/>
    public async Task<(ApiKeyRow Row, string Key)> CreateAsync(NewKey wanted, CancellationToken cancellationToken)
    {
        var key = Secrets.Create(KeyPrefix);
        var now = time.GetUtcNow();
        var row = new ApiKeyRow($"key_{Guid.CreateVersion7():N}", wanted.AccountId, wanted.Name, PrefixOf(key), wanted.Scopes, now, now + wanted.Lifetime, null, null) { Limits = wanted.Limits, Models = wanted.Models };
        await database.WriteAsync(
            (connection, transaction) => connection.ExecuteAsync(
                """
                INSERT INTO api_keys (id, account_id, name, sha256, prefix, scopes, created_at, expires_at, models, requests_per_minute, tokens_per_day, budget, budget_period)
                VALUES (@Id, @AccountId, @Name, @Hash, @Prefix, @Scopes, @CreatedAt, @ExpiresAt, @Models, @RequestsPerMinute, @TokensPerDay, @Budget, @BudgetPeriod)
                """,
                new
                {
                    row.Id,
                    row.AccountId,
                    row.Name,
                    Hash = Secrets.Hash(key),
                    row.Prefix,
                    Scopes = string.Join(' ', row.Scopes),
                    CreatedAt = Ms(now),
                    ExpiresAt = Ms(row.ExpiresAt),
                    Models = row.Models.IsEmpty ? null : JsonSerializer.Serialize(row.Models),
                    row.Limits?.RequestsPerMinute,
                    row.Limits?.TokensPerDay,
                    Budget = row.Limits?.BudgetMicrocredits,
                    BudgetPeriod = row.Limits?.BudgetMicrocredits is null ? null : BudgetPeriods.Of(row.Limits.BudgetPeriod),
                },
                transaction),
            cancellationToken);
        return (row, key);
    }

    /// <summary>A key by its id, revoked or not; <see langword="null"/> when there is none.</summary>
    public Task<ApiKeyRow?> FindByIdAsync(string keyId, CancellationToken cancellationToken) => database.ReadAsync(
        async connection => (await connection.QuerySingleOrDefaultAsync<Stored>($"SELECT {Stored.Columns} FROM api_keys WHERE id = @keyId", new { keyId }))?.ToRow(), cancellationToken);

    /// <summary>Gives a key a new secret. The one before opens for a while longer; the one before that, if its time is not over, at once no more.</summary>
    /// <param name="row">The key, as <see cref="FindByIdAsync"/> found it.</param>
    /// <param name="grace">How long the secret before still opens; zero for no longer.</param>
    /// <param name="cancellationToken">Nobody waits any more.</param>
    /// <returns>The key and its new secret, which nobody will see again; <see langword="null"/> when it was revoked or rotated since it was found.</returns>
    public async Task<(ApiKeyRow Row, string Key)?> RotateAsync(ApiKeyRow row, TimeSpan grace, CancellationToken cancellationToken)
    {
        var key = Secrets.Create(KeyPrefix);
        var until = time.GetUtcNow() + grace;
        var rotated = await database.WriteAsync(
            (connection, transaction) => connection.ExecuteAsync(
                """
                UPDATE api_keys SET previous_sha256 = sha256, previous_until = @until, sha256 = @hash, prefix = @prefix
                WHERE id = @Id AND prefix = @Before AND revoked_at IS NULL
                """,
                new { row.Id, Before = row.Prefix, until = Ms(until), hash = Secrets.Hash(key), prefix = PrefixOf(key) },
                transaction),
            cancellationToken);
        Forget(row.Id);
        return rotated > 0 ? (row with { Prefix = PrefixOf(key), PreviousUntil = until }, key) : null;
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
        Forget(keyId);
        return revoked > 0;
    }

    public void Dispose() => _suspects.Dispose();

    private static string PrefixOf(string key) => key[..(KeyPrefix.Length + ShownCharacters)];

    /// <summary>Whatever is remembered of a key must be read again.</summary>
    private void Forget(string keyId)
    {
        Interlocked.Increment(ref _revocations);
        foreach (var (cacheKey, _) in _cache.Where(entry => entry.Value.Row.Id == keyId)) _cache.TryRemove(cacheKey, out _);
    }

    /// <summary>One after another, however many come at once: the database is others' too.</summary>
    private async Task<Cached?> FindInTurnAsync(byte[] hash, CancellationToken cancellationToken)
    {
        await _suspects.WaitAsync(cancellationToken);
        try
        {
            return await FindAsync(hash, cancellationToken);
        }
        finally
        {
            _suspects.Release();
        }
    }

    private Task<Cached?> FindAsync(byte[] hash, CancellationToken cancellationToken) => database.ReadAsync(
        async connection =>
        {
            var stored = await connection.QuerySingleOrDefaultAsync<Stored>(
                $"SELECT {Stored.Columns}, CASE WHEN sha256 = @hash THEN 1 ELSE 0 END AS is_current FROM api_keys WHERE sha256 = @hash OR previous_sha256 = @hash", new { hash });
            return stored is null ? null : Cached.Of(stored.ToRow(), stored.Is_current == 1 ? null : At(stored.Previous_until ?? 0), time.GetTimestamp());
        },
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

    private ApiCaller? StillValid(Cached found)
    {
        var now = time.GetUtcNow();
        if (found.Row.RevokedAt is not null || found.Until <= now) return null;
        _used[found.Row.Id] = now;
        return found.Caller;
    }

    /// <param name="Row">The key.</param>
    /// <param name="Caller">Who it lets in.</param>
    /// <param name="Until">When the secret opens no more; null for never.</param>
    /// <param name="FetchedAt">How old this is.</param>
    private sealed record Cached(ApiKeyRow Row, ApiCaller Caller, DateTimeOffset? Until, long FetchedAt)
    {
        public static Cached Of(ApiKeyRow row, DateTimeOffset? secretUntil, long fetchedAt)
        {
            var until = secretUntil < row.ExpiresAt || row.ExpiresAt is null ? secretUntil ?? row.ExpiresAt : row.ExpiresAt;
            return new(row, new ApiCaller(row.AccountId, row.Id, row.Scopes) { Limits = row.Limits, Models = row.Models, ExpiresAt = row.ExpiresAt, IsReplaced = secretUntil is not null }, until, fetchedAt);
        }
    }

    private sealed class Stored
    {
        public const string Columns = "id, account_id, name, prefix, scopes, created_at, expires_at, revoked_at, last_used_at, models, requests_per_minute, tokens_per_day, budget, budget_period, previous_until";

        public required string Id { get; init; }

        public required string Account_id { get; init; }

        public required string Name { get; init; }

        public required string Prefix { get; init; }

        public required string Scopes { get; init; }

        public required long Created_at { get; init; }

        public long? Expires_at { get; init; }

        public long? Revoked_at { get; init; }

        public long? Last_used_at { get; init; }

        public string? Models { get; init; }

        public long? Requests_per_minute { get; init; }

        public long? Tokens_per_day { get; init; }

        public long? Budget { get; init; }

        public string? Budget_period { get; init; }

        public long? Previous_until { get; init; }

        /// <summary>1 where a key was looked for by its present secret.</summary>
        public long Is_current { get; init; }

        public ApiKeyRow ToRow() => new(Id, Account_id, Name, Prefix, [.. Scopes.Split(' ')], At(Created_at), At(Expires_at), At(Revoked_at), At(Last_used_at))
        {
            Models = Models is null ? [] : JsonSerializer.Deserialize<ImmutableArray<string>>(Models),
            Limits = Requests_per_minute is null && Tokens_per_day is null && Budget is null ? null : new KeyLimits
            {
                RequestsPerMinute = Requests_per_minute,
                TokensPerDay = Tokens_per_day,
                BudgetMicrocredits = Budget,
                BudgetPeriod = Budget_period is null ? default : BudgetPeriods.Parse(Budget_period),
            },
            PreviousUntil = At(Previous_until),
        };
    }
}
