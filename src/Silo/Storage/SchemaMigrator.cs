using System.Collections.Immutable;
using System.Data.Common;
using System.Globalization;
using System.Reflection;
using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;
using Dapper;

namespace Federation.Silo.Storage;

/// <summary>One numbered step of the schema, embedded as <c>Migrations/0001_name.sql</c>. Once released it never changes.</summary>
/// <param name="Version">1, 2, 3… without a gap.</param>
/// <param name="Name">What it makes.</param>
/// <param name="Sql">The statements, with the dialect's words still open.</param>
internal sealed partial record SchemaMigration(long Version, string Name, string Sql)
{
    public string Sha256 { get; } = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(Sql)));

    /// <summary>All migrations this hub knows, in order.</summary>
    public static ImmutableArray<SchemaMigration> All { get; } = ReadEmbedded();

    private static ImmutableArray<SchemaMigration> ReadEmbedded()
    {
        var assembly = typeof(SchemaMigration).Assembly;
        ImmutableArray<SchemaMigration> migrations =
        [
            .. from resource in assembly.GetManifestResourceNames()
               let match = ResourceName().Match(resource)
               where match.Success
               let version = long.Parse(match.Groups["version"].ValueSpan, CultureInfo.InvariantCulture)
               orderby version
               select new SchemaMigration(version, match.Groups["name"].Value, ReadText(assembly, resource)),
        ];
        for (var i = 0; i < migrations.Length; i++)
        {
            if (migrations[i].Version != i + 1)
                throw new InvalidOperationException($"Migration {i + 1} is missing: found {migrations[i].Version} in its place.");
        }

        return migrations;
    }

    private static string ReadText(Assembly assembly, string resource)
    {
        using StreamReader reader = new(assembly.GetManifestResourceStream(resource)!, Encoding.UTF8);
        // A checkout with other line ends is still the same migration.
        return reader.ReadToEnd().ReplaceLineEndings("\n");
    }

    [GeneratedRegex(@"\.Migrations\.(?<version>\d{4})_(?<name>\w+)\.sql$", RegexOptions.ExplicitCapture)]
    private static partial Regex ResourceName();
}

/// <summary>Applies the migrations a database lacks, all in one transaction.</summary>
internal sealed partial class SchemaMigrator(HubDatabase database, TimeProvider time, ILogger logger)
{
    private const string Table =
        """
        CREATE TABLE IF NOT EXISTS schema_migrations (
          version    bigint NOT NULL PRIMARY KEY,
          name       text   NOT NULL,
          sha256     text   NOT NULL,
          applied_at bigint NOT NULL
        )
        """;

    public Task MigrateAsync(CancellationToken cancellationToken) => MigrateAsync(SchemaMigration.All, cancellationToken);

    internal Task MigrateAsync(ImmutableArray<SchemaMigration> known, CancellationToken cancellationToken) => database.WriteAsync(
        async (connection, transaction) =>
        {
            await database.Dialect.LockMigrationsAsync(connection, transaction, cancellationToken);
            await connection.ExecuteAsync(new CommandDefinition(Table, transaction: transaction, cancellationToken: cancellationToken));
            var applied = await CheckAppliedAsync(connection, transaction, known, cancellationToken);
            foreach (var migration in known.Skip(applied))
                await ApplyAsync(connection, transaction, migration, cancellationToken);
        },
        cancellationToken);

    private static async Task<int> CheckAppliedAsync(
        DbConnection connection, DbTransaction transaction, ImmutableArray<SchemaMigration> known, CancellationToken cancellationToken)
    {
        List<Applied> applied = [.. await connection.QueryAsync<Applied>(new CommandDefinition(
            "SELECT version, name, sha256 FROM schema_migrations ORDER BY version", transaction: transaction, cancellationToken: cancellationToken))];
        if (applied.Count > known.Length)
        {
            throw new InvalidOperationException(
                $"The database is at schema version {applied[^1].Version}, this hub knows {known.Length}: it was made by a newer hub. Run that one.");
        }

        foreach (var (row, migration) in applied.Zip(known))
        {
            if (row.Version != migration.Version || row.Sha256 != migration.Sha256)
            {
                throw new InvalidOperationException(
                    $"The database has applied migration {row.Version} ({row.Name}) with another content than this hub's {migration.Version} ({migration.Name}).");
            }
        }

        return applied.Count;
    }

    private async Task ApplyAsync(
        DbConnection connection, DbTransaction transaction, SchemaMigration migration, CancellationToken cancellationToken)
    {
        var sql = migration.Sql.Replace("{identity}", database.Dialect.Identity, StringComparison.Ordinal);
        // What copies a large table takes its time; a limit would only have the next start try again.
        await connection.ExecuteAsync(new CommandDefinition(sql, transaction: transaction, commandTimeout: 0, cancellationToken: cancellationToken));
        await connection.ExecuteAsync(new CommandDefinition(
            "INSERT INTO schema_migrations (version, name, sha256, applied_at) VALUES (@Version, @Name, @Sha256, @AppliedAt)",
            new { migration.Version, migration.Name, migration.Sha256, AppliedAt = time.GetUtcNow().ToUnixTimeMilliseconds() },
            transaction,
            cancellationToken: cancellationToken));
        LogMigrated(migration.Version, migration.Name);
    }

    [LoggerMessage(EventId = 1000, Level = LogLevel.Information, Message = "Schema migrated to version {Version} ({Name})")]
    private partial void LogMigrated(long version, string name);

    private sealed class Applied
    {
        public long Version { get; init; }

        public string Name { get; init; } = "";

        public string Sha256 { get; init; } = "";
    }
}
