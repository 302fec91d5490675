using System.Collections.Immutable;
using System.Data.Common;
using Dapper;
using Federation.Silo.Accounts.Ledger;
using Federation.Silo.Storage;
using Federation.Silo.Tests.Fakes;
using Microsoft.Extensions.Logging.Abstractions;

namespace Federation.Silo.Tests.Storage;

/// <summary>What both databases must do alike.</summary>
public abstract class HubDatabaseTests(TestDatabase home)
{
    private HubDatabase Database => home.Database;

    [Fact]
    public async Task Migrating_again_changes_nothing()
    {
        var before = await AppliedAsync();

        await Database.MigrateAsync(CancellationToken.None);

        Assert.Equal(SchemaMigration.All.Length, before.Length);
        Assert.Equal(before, await AppliedAsync());
    }

    [Fact]
    public async Task Schema_opens_the_hubs_own_ledger_accounts()
    {
        var system = await Database.ReadAsync(
            connection => connection.QueryAsync<string>("SELECT id FROM ledger_accounts WHERE opened_at = 0"), CancellationToken.None);

        Assert.Equal(LedgerAccountId.System.Select(account => account.Value).Order(), system.Order());
    }

    [Fact]
    public async Task Database_of_a_newer_hub_is_refused()
    {
        SchemaMigrator older = new(Database, TimeProvider.System, NullLogger.Instance);

        var refusal = await Assert.ThrowsAsync<InvalidOperationException>(
            () => older.MigrateAsync(SchemaMigration.All[..^1], CancellationToken.None));

        Assert.Contains("newer hub", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Migration_that_was_changed_after_it_was_applied_is_refused()
    {
        SchemaMigrator other = new(Database, TimeProvider.System, NullLogger.Instance);
        var changed = SchemaMigration.All[0] with { };
        ImmutableArray<SchemaMigration> known = [new(1, changed.Name, changed.Sql + "\n-- and more"), .. SchemaMigration.All[1..]];

        var refusal = await Assert.ThrowsAsync<InvalidOperationException>(() => other.MigrateAsync(known, CancellationToken.None));

        Assert.Contains("another content", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Migration_that_fails_leaves_nothing_behind()
    {
        SchemaMigrator next = new(Database, TimeProvider.System, NullLogger.Instance);
        SchemaMigration broken = new(SchemaMigration.All.Length + 1, "broken", "CREATE TABLE left_behind (id text); SELECT * FROM nowhere;");

        await Assert.ThrowsAsync<StorageException>(() => next.MigrateAsync([.. SchemaMigration.All, broken], CancellationToken.None));

        await Assert.ThrowsAsync<StorageException>(() => Database.ReadAsync(
            connection => connection.QueryAsync<string>("SELECT id FROM left_behind"), CancellationToken.None));
        Assert.Equal(SchemaMigration.All.Length, (await AppliedAsync()).Length);
    }

    [Fact]
    public async Task Write_that_throws_writes_nothing()
    {
        await Assert.ThrowsAsync<InvalidOperationException>(() => Database.WriteAsync(
            async (connection, transaction) =>
            {
                await connection.ExecuteAsync(InsertAccount, Account("thrown"), transaction);
                throw new InvalidOperationException("half-way");
            },
            CancellationToken.None));

        Assert.False(await ExistsAsync("thrown"));
    }

    [Fact]
    public async Task Write_is_seen_by_another_silo_when_it_has_returned()
    {
        await Database.WriteAsync(
            (connection, transaction) => connection.ExecuteAsync(InsertAccount, Account("seen"), transaction), CancellationToken.None);

        var other = home.Open();
        Assert.Equal(1, await other.ReadAsync(
            connection => connection.ExecuteScalarAsync<long>("SELECT count(*) FROM accounts WHERE id = 'seen'"), CancellationToken.None));
    }

    [Fact]
    public async Task Broken_constraint_is_a_refusal_and_not_worth_a_retry()
    {
        Task<int> Insert() => Database.WriteAsync(
            (connection, transaction) => connection.ExecuteAsync(InsertAccount, Account("twice"), transaction), CancellationToken.None);
        await Insert();

        var refusal = await Assert.ThrowsAsync<StorageException>(Insert);

        Assert.Equal(StorageFailure.Rejected, refusal.Failure);
        Assert.False(refusal.IsTransient);
    }

    [Fact]
    public async Task Foreign_keys_are_checked()
    {
        var refusal = await Assert.ThrowsAsync<StorageException>(() => Database.WriteAsync(
            (connection, transaction) => connection.ExecuteAsync(
                "INSERT INTO nodes (id, account_id, public_key, display_name, standing, created_at) VALUES ('n', 'nobody', @Key, 'n', 'probation', 0)",
                new { Key = new byte[] { 1 } },
                transaction),
            CancellationToken.None));

        Assert.Equal(StorageFailure.Rejected, refusal.Failure);
    }

    [Fact]
    public async Task Snapshot_sees_one_moment_whatever_is_written_meanwhile()
    {
        var (before, after) = await Database.ReadSnapshotAsync(
            async (connection, transaction) =>
            {
                const string count = "SELECT count(*) FROM accounts";
                var before = await connection.ExecuteScalarAsync<long>(count, transaction: transaction);
                await Database.WriteAsync((other, write) => other.ExecuteAsync(InsertAccount, Account("meanwhile"), write), CancellationToken.None);
                return (before, await connection.ExecuteScalarAsync<long>(count, transaction: transaction));
            },
            CancellationToken.None);

        Assert.Equal(before, after);
        Assert.True(await ExistsAsync("meanwhile"));
    }

    [Fact]
    public async Task Statement_keeps_bytes_text_numbers_and_nothing_as_they_are()
    {
        byte[] bytes = [0, 1, 254, 255];
        SqlStatement insert = new(
            "INSERT INTO grain_state (state_name, grain_id, payload, version, updated_at) VALUES (@Name, @Grain, @Payload, @Version, 0)",
            new { Name = "naïve – \0".Trim('\0'), Grain = "'; DROP TABLE grain_state; --", Payload = bytes, Version = long.MaxValue });
        await Database.WriteAsync(
            (connection, transaction) => Database.Dialect.ExecuteAsync(connection, transaction, [insert], CancellationToken.None), CancellationToken.None);

        var row = await Database.ReadAsync(
            connection => connection.QuerySingleAsync<(string Name, string Grain, byte[] Payload, long Version)>(
                "SELECT state_name, grain_id, payload, version FROM grain_state WHERE grain_id LIKE '%DROP%'"),
            CancellationToken.None);
        Assert.Equal(("naïve – ", "'; DROP TABLE grain_state; --", long.MaxValue), (row.Name, row.Grain, row.Version));
        Assert.Equal(bytes, row.Payload);
    }

    [Fact]
    public void Statement_refuses_values_that_the_databases_would_store_differently() =>
        Assert.Throws<ArgumentException>(() => new SqlStatement("INSERT …", new { At = DateTimeOffset.UnixEpoch }));

    [Fact]
    public async Task Many_writers_at_once_all_get_their_turn()
    {
        var other = home.Open();
        await Task.WhenAll(Enumerable.Range(0, 100).Select(number => (number % 2 == 0 ? Database : other).WriteAsync(
            (connection, transaction) => connection.ExecuteAsync(InsertAccount, Account($"writer{number}"), transaction), CancellationToken.None)));

        Assert.Equal(100, await Database.ReadAsync(
            connection => connection.ExecuteScalarAsync<long>("SELECT count(*) FROM accounts WHERE id LIKE 'writer%'"), CancellationToken.None));
    }

    private const string InsertAccount = "INSERT INTO accounts (id, name, tier, created_at) VALUES (@Id, @Name, 'free', 0)";

    private static object Account(string id) => new { Id = id, Name = id };

    private Task<bool> ExistsAsync(string id) => Database.ReadAsync(
        async connection => await connection.ExecuteScalarAsync<long>("SELECT count(*) FROM accounts WHERE id = @Id", new { Id = id }) == 1,
        CancellationToken.None);

    private async Task<(long, string, long)[]> AppliedAsync() =>
    [
        .. await Database.ReadAsync(
            connection => connection.QueryAsync<(long, string, long)>("SELECT version, sha256, applied_at FROM schema_migrations ORDER BY version"),
            CancellationToken.None),
    ];
}

public sealed class SqliteHubDatabaseTests(SqliteTestDatabase home) : HubDatabaseTests(home), IClassFixture<SqliteTestDatabase>
{
    [Fact]
    public async Task Acknowledged_means_synced_to_disk()
    {
        await using var connection = await home.Database.OpenAsync(CancellationToken.None);

        Assert.Equal("wal", await connection.ExecuteScalarAsync<string>("PRAGMA journal_mode"));
        Assert.Equal(2, await connection.ExecuteScalarAsync<long>("PRAGMA synchronous"));
    }

    [Fact]
    public async Task All_writes_go_over_one_connection_that_keeps_what_it_has_read_and_is_synced_too()
    {
        List<DbConnection> writers = [];
        for (var write = 0; write < 3; write++)
        {
            // What reads in between takes connections of the pool, and gives them back.
            await home.Database.ReadAsync(reader => reader.ExecuteScalarAsync<long>("SELECT count(*) FROM accounts"), CancellationToken.None);
            await home.Database.WriteAsync(
                async (connection, transaction) =>
                {
                    writers.Add(connection);
                    Assert.Equal(-home.Options.WriteCacheBytes / 1024, await connection.ExecuteScalarAsync<long>("PRAGMA cache_size", transaction: transaction));
                    Assert.Equal(2, await connection.ExecuteScalarAsync<long>("PRAGMA synchronous", transaction: transaction));
                    Assert.Equal(1, await connection.ExecuteScalarAsync<long>("PRAGMA foreign_keys", transaction: transaction));
                    Assert.True(await home.Database.ReadAsync(reader => Task.FromResult(reader != connection), CancellationToken.None));
                },
                CancellationToken.None);
        }
        Assert.Single(writers.Distinct());
    }

    [Fact]
    public async Task A_write_whose_connection_was_closed_fails_and_the_next_has_one_of_its_own()
    {
        var database = home.Open();
        await Assert.ThrowsAnyAsync<Exception>(() => database.WriteAsync((connection, _) => connection.CloseAsync(), CancellationToken.None));
        await database.WriteAsync((connection, transaction) => connection.ExecuteAsync("DELETE FROM accounts WHERE id = 'nobody'", transaction: transaction), CancellationToken.None).WithinPatienceAsync();
    }

    [Fact]
    public async Task A_database_that_was_closed_writes_nothing_and_says_so()
    {
        var database = home.Open();
        await database.WriteAsync((connection, transaction) => connection.ExecuteAsync("DELETE FROM accounts WHERE id = 'nobody'", transaction: transaction), CancellationToken.None);
        await database.DisposeAsync();
        await Assert.ThrowsAsync<ObjectDisposedException>(() => database.WriteAsync((_, _) => Task.CompletedTask, CancellationToken.None));
    }

    [Fact]
    public async Task Data_directory_that_cannot_be_read_is_a_failure_of_storage()
    {
        var file = Path.Combine(home.Options.DataDirectory, "hub.db");
        var folder = Directory.CreateDirectory(Path.Combine(home.Options.DataDirectory, "elsewhere", "hub.db"));
        await using HubDatabase database = new(
            Microsoft.Extensions.Options.Options.Create(new StorageOptions { DataDirectory = folder.Parent!.FullName }),
            TimeProvider.System,
            NullLogger<HubDatabase>.Instance);

        var failure = await Assert.ThrowsAsync<StorageException>(() => database.MigrateAsync(CancellationToken.None));

        Assert.True(failure.IsTransient, failure.Message);
        Assert.True(File.Exists(file));
    }
}

public sealed class PostgresHubDatabaseTests(PostgresTestDatabase home) : HubDatabaseTests(home), IClassFixture<PostgresTestDatabase>
{
    [Fact]
    public async Task Silos_that_start_together_migrate_once()
    {
        await home.Database.WriteAsync(
            (connection, transaction) => connection.ExecuteAsync("DROP SCHEMA public CASCADE; CREATE SCHEMA public;", transaction: transaction),
            CancellationToken.None);

        await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => home.Open().MigrateAsync(CancellationToken.None)));

        Assert.Equal(SchemaMigration.All.Length, await home.Database.ReadAsync(
            connection => connection.ExecuteScalarAsync<long>("SELECT count(*) FROM schema_migrations"), CancellationToken.None));
    }

    [Fact]
    public async Task Server_that_is_away_is_worth_a_retry()
    {
        await using HubDatabase database = new(
            Microsoft.Extensions.Options.Options.Create(new StorageOptions { Postgres = "Host=127.0.0.1;Port=1;Username=x;Database=x" }),
            TimeProvider.System,
            NullLogger<HubDatabase>.Instance);

        var failure = await Assert.ThrowsAsync<StorageException>(() => database.MigrateAsync(CancellationToken.None));

        Assert.Equal(StorageFailure.Unavailable, failure.Failure);
    }

    [Fact]
    public async Task Connection_lost_before_the_commit_is_known_to_have_written_nothing()
    {
        var failure = await Assert.ThrowsAsync<StorageException>(() => home.Database.WriteAsync(
            async (connection, transaction) =>
            {
                var backend = await connection.ExecuteScalarAsync<int>("SELECT pg_backend_pid()", transaction: transaction);
                await PostgresServer.ExecuteAsync($"SELECT pg_terminate_backend({backend}, 5000)");
                await connection.ExecuteAsync("SELECT 1", transaction: transaction);
            },
            CancellationToken.None));

        Assert.Equal(StorageFailure.Unavailable, failure.Failure);
    }

    [Fact]
    public async Task Connection_lost_at_the_commit_means_nobody_knows()
    {
        var failure = await Assert.ThrowsAsync<StorageException>(() => home.Database.WriteAsync(
            async (connection, transaction) =>
            {
                var backend = await connection.ExecuteScalarAsync<int>("SELECT pg_backend_pid()", transaction: transaction);
                await PostgresServer.ExecuteAsync($"SELECT pg_terminate_backend({backend}, 5000)");
            },
            CancellationToken.None));

        Assert.Equal(StorageFailure.OutcomeUnknown, failure.Failure);
        Assert.True(failure.IsTransient);
    }
}
