using System.Collections.Immutable;
using Dapper;
using Federation.Contracts.Nodes;
using Federation.Silo.Storage;
using static Federation.Silo.Storage.UnixTime;

namespace Federation.Silo.Nodes;

/// <summary>One node's row.</summary>
internal sealed record NodeRow(
    string Id, string AccountId, ImmutableArray<byte> PublicKey, string DisplayName, Standing Standing, DateTimeOffset CreatedAt, DateTimeOffset? LastSeenAt);

/// <summary>The nodes a hub knows, connected or not.</summary>
internal sealed class NodeStore(HubDatabase database, TimeProvider time)
{
    public const int ListMax = 1_000;

    /// <summary>Adds a node; <see langword="false"/> when there is one of that id.</summary>
    public async Task<bool> TryAddAsync(NodeRow node, string hardwareJson, CancellationToken cancellationToken)
    {
        var added = await database.WriteAsync(
            (connection, transaction) => connection.ExecuteAsync(
                """
                INSERT INTO nodes (id, account_id, public_key, display_name, standing, hardware, created_at)
                VALUES (@Id, @AccountId, @PublicKey, @DisplayName, @Standing, @Hardware, @CreatedAt)
                ON CONFLICT (id) DO NOTHING
                """,
                new
                {
                    node.Id,
                    node.AccountId,
                    PublicKey = node.PublicKey.ToArray(),
                    node.DisplayName,
                    Standing = Word(node.Standing),
                    Hardware = hardwareJson,
                    CreatedAt = Ms(node.CreatedAt),
                },
                transaction),
            cancellationToken);
        return added == 1;
    }

    public Task<NodeRow?> FindAsync(string id, CancellationToken cancellationToken) => database.ReadAsync(
        async connection => (await connection.QuerySingleOrDefaultAsync<Stored>($"SELECT {Stored.Columns} FROM nodes WHERE id = @id", new { id }))?.ToRow(),
        cancellationToken);

    /// <summary>The nodes of an account, or of all when it is <see langword="null"/>, by id after <paramref name="after"/>.</summary>
    public Task<ImmutableArray<NodeRow>> ListAsync(string? accountId, string after, int limit, CancellationToken cancellationToken) => database.ReadAsync(
        async connection =>
        {
            var rows = await connection.QueryAsync<Stored>(
                $"SELECT {Stored.Columns} FROM nodes WHERE id > @after AND (@accountId = '' OR account_id = @accountId) ORDER BY id LIMIT @limit",
                new { after, accountId = accountId ?? string.Empty, limit });
            return rows.Select(row => row.ToRow()).ToImmutableArray();
        },
        cancellationToken);

    /// <summary>Keeps what the node said of itself when it connected.</summary>
    public Task RememberAsync(string id, string agentVersion, string hardwareJson, CancellationToken cancellationToken) => database.WriteAsync(
        (connection, transaction) => connection.ExecuteAsync(
            "UPDATE nodes SET agent_version = @agentVersion, hardware = @hardwareJson, last_seen_at = @now WHERE id = @id",
            new { id, agentVersion, hardwareJson, now = Ms(time.GetUtcNow()) },
            transaction),
        cancellationToken);

    public Task SetLastSeenAsync(string id, DateTimeOffset at, CancellationToken cancellationToken) => database.WriteAsync(
        (connection, transaction) => connection.ExecuteAsync("UPDATE nodes SET last_seen_at = @at WHERE id = @id", new { id, at = Ms(at) }, transaction),
        cancellationToken);

    public Task SetStandingAsync(string id, Standing standing, CancellationToken cancellationToken) => database.WriteAsync(
        (connection, transaction) => connection.ExecuteAsync("UPDATE nodes SET standing = @standing WHERE id = @id", new { id, standing = Word(standing) }, transaction),
        cancellationToken);

    /// <summary>The word for a standing in tables and JSON.</summary>
    public static string Word(Standing standing) => standing switch
    {
        Standing.Probation => "probation",
        Standing.Trusted => "trusted",
        Standing.Quarantined => "quarantined",
        Standing.Banned => "banned",
        _ => throw new ArgumentOutOfRangeException(nameof(standing), standing, null),
    };

    public static bool TryParseStanding(string? word, out Standing standing)
    {
        standing = Enum.GetValues<Standing>().FirstOrDefault(candidate => Word(candidate) == word);
        return word is not null && Word(standing) == word;
    }

    private sealed class Stored
    {
        public const string Columns = "id, account_id, public_key, display_name, standing, created_at, last_seen_at";

        public required string Id { get; init; }

        public required string Account_id { get; init; }

        public required byte[] Public_key { get; init; }

        public required string Display_name { get; init; }

        public required string Standing { get; init; }

        public required long Created_at { get; init; }

        public long? Last_seen_at { get; init; }

        public NodeRow ToRow() => new(
            Id,
            Account_id,
            [.. Public_key],
            Display_name,
            TryParseStanding(Standing, out var standing) ? standing : throw new InvalidOperationException($"Node {Id} has the unknown standing '{Standing}'."),
            At(Created_at),
            At(Last_seen_at));
    }
}
