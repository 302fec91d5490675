using System.Collections.Immutable;
using Federation.Silo.Storage;
using Microsoft.Extensions.Logging.Abstractions;

namespace Federation.Silo.Tests.Storage;

/// <summary>A fresh hub's database, its schema made, of one kind or the other; gone when the test class has ended.</summary>
public abstract class TestDatabase : IAsyncLifetime
{
    private readonly List<HubDatabase> _opened = [];

    /// <summary>Where it is.</summary>
    public StorageOptions Options { get; protected set; } = new();

    /// <summary>The way to it that most tests share.</summary>
    public HubDatabase Database { get; private set; } = null!;

    /// <summary>What has been done to it.</summary>
    private protected virtual ImmutableArray<SchemaMigration> Migrations => SchemaMigration.All;

    /// <summary>Another silo's way to the same database.</summary>
    public HubDatabase Open(TimeProvider? time = null)
    {
        HubDatabase database = new(Microsoft.Extensions.Options.Options.Create(Options), time ?? TimeProvider.System, NullLogger<HubDatabase>.Instance);
        _opened.Add(database);
        return database;
    }

    public virtual async Task InitializeAsync()
    {
        Database = Open();
        await new SchemaMigrator(Database, TimeProvider.System, NullLogger.Instance).MigrateAsync(Migrations, CancellationToken.None);
    }

    public virtual async Task DisposeAsync()
    {
        foreach (var database in _opened)
            await database.DisposeAsync();
    }
}

public class SqliteTestDatabase : TestDatabase
{
    public override Task InitializeAsync()
    {
        Options = new StorageOptions { DataDirectory = Directory.CreateTempSubdirectory("federation-test-").FullName };
        return base.InitializeAsync();
    }

    public override async Task DisposeAsync()
    {
        await base.DisposeAsync();
        Directory.Delete(Options.DataDirectory, recursive: true);
    }
}

public class PostgresTestDatabase : TestDatabase
{
    private readonly string _name = $"federation_test_{Guid.NewGuid():N}";

    public override async Task InitializeAsync()
    {
        await PostgresServer.ExecuteAsync($"CREATE DATABASE {_name}");
        Npgsql.NpgsqlConnectionStringBuilder settings = new(await PostgresServer.ConnectionStringAsync()) { Database = _name };
        Options = new StorageOptions { Postgres = settings.ToString() };
        await base.InitializeAsync();
    }

    public override async Task DisposeAsync()
    {
        await base.DisposeAsync();
        await PostgresServer.ExecuteAsync($"DROP DATABASE {_name} WITH (FORCE)");
    }
}
