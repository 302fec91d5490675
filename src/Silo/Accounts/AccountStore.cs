using System.Collections.Immutable;
using System.Data.Common;
using Dapper;
using Federation.Contracts.Accounts;
using Federation.Silo.Storage;
using static Federation.Silo.Storage.UnixTime;

namespace Federation.Silo.Accounts;

/// <summary>One account's row.</summary>
internal sealed record AccountRow(string Id, string Name, Tier Tier, DateTimeOffset CreatedAt, DateTimeOffset? ClosedAt);

/// <summary>The accounts of a hub.</summary>
internal sealed class AccountStore(HubDatabase database, TimeProvider time)
{
    private const string Columns = "id, name, tier, created_at, closed_at";

    public const int ListMax = 1_000;

    public async Task<AccountRow> CreateAsync(string name, Tier tier, CancellationToken cancellationToken)
    {
        var row = new AccountRow($"acct_{Guid.CreateVersion7():N}", name, tier, time.GetUtcNow(), null);
        await database.WriteAsync(
            (connection, transaction) => connection.ExecuteAsync(
                "INSERT INTO accounts (id, name, tier, created_at) VALUES (@Id, @Name, @Tier, @CreatedAt)",
                new { row.Id, row.Name, Tier = TierNames.Of(row.Tier), CreatedAt = Ms(row.CreatedAt) },
                transaction),
            cancellationToken);
        return row;
    }

    public Task<AccountRow?> FindAsync(string id, CancellationToken cancellationToken) => database.ReadAsync(
        async connection => (await connection.QuerySingleOrDefaultAsync<Stored>($"SELECT {Columns} FROM accounts WHERE id = @id", new { id }))?.ToRow(),
        cancellationToken);

    /// <summary>The accounts after <paramref name="after"/>, by id, at most <see cref="ListMax"/>.</summary>
    public Task<ImmutableArray<AccountRow>> ListAsync(string after, int limit, CancellationToken cancellationToken) => database.ReadAsync(
        async connection =>
        {
            var rows = await connection.QueryAsync<Stored>($"SELECT {Columns} FROM accounts WHERE id > @after ORDER BY id LIMIT @limit", new { after, limit });
            return rows.Select(row => row.ToRow()).ToImmutableArray();
        },
        cancellationToken);

    /// <summary>Gives the account another tier; <see langword="null"/> when there is no such account. Its grain must be told to refresh.</summary>
    public async Task<AccountRow?> SetTierAsync(string id, Tier tier, CancellationToken cancellationToken)
    {
        var changed = await database.WriteAsync(
            (connection, transaction) => connection.ExecuteAsync("UPDATE accounts SET tier = @Tier WHERE id = @id", new { id, Tier = TierNames.Of(tier) }, transaction), cancellationToken);
        return changed > 0 ? await FindAsync(id, cancellationToken) : null;
    }

    /// <summary>Has others who lock the account wait for the end of the transaction, on all silos: what is counted under it stays so until then.</summary>
    public static Task LockAsync(SqlDialect dialect, DbConnection connection, DbTransaction transaction, string id)
        => connection.ExecuteScalarAsync<string>($"SELECT id FROM accounts WHERE id = @id {dialect.ForUpdate}", new { id }, transaction);

    private sealed class Stored
    {
        public required string Id { get; init; }

        public required string Name { get; init; }

        public required string Tier { get; init; }

        public required long Created_at { get; init; }

        public long? Closed_at { get; init; }

        public AccountRow ToRow() => new(
            Id, Name, TierNames.Parse(Tier), At(Created_at), At(Closed_at));
    }
}

/// <summary>The words for tiers in tables and JSON.</summary>
internal static class TierNames
{
    public static string Of(Tier tier) => tier switch
    {
        Tier.Free => "free",
        Tier.Contributor => "contributor",
        Tier.Pro => "pro",
        Tier.Unlimited => "unlimited",
        Tier.Enterprise => "enterprise",
        _ => throw new ArgumentOutOfRangeException(nameof(tier), tier, null),
    };

    public static Tier Parse(string name) => TryParse(name, out var tier) ? tier : throw new FormatException($"'{name}' is not a tier.");

    public static bool TryParse(string? name, out Tier tier)
    {
        tier = Enum.GetValues<Tier>().FirstOrDefault(candidate => Of(candidate) == name);
        return name is not null && Of(tier) == name;
    }
}
