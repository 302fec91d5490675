using System.Data.Common;
using Microsoft.Extensions.Options;
using Npgsql;

namespace Federation.Silo.Storage;

/// <summary>Where the hub keeps what must survive it.</summary>
public sealed class StorageOptions
{
    /// <summary>The configuration section these options come from.</summary>
    public const string SectionName = "Storage";

    /// <summary>Npgsql connection string of the hub's database.</summary>
    /// <value>Null or empty by default: the hub keeps its data in SQLite, in <see cref="DataDirectory"/>.</value>
    public string? Postgres { get; set; }

    /// <summary>The folder of the embedded database, made when missing. Ignored when <see cref="Postgres"/> is set.</summary>
    /// <value>"data" by default.</value>
    public string DataDirectory { get; set; } = "data";

    /// <summary>Bytes of the embedded database that its writer keeps in memory at most: what it changes need not be read first. Ignored when <see cref="Postgres"/> is set.</summary>
    /// <value>8 MiB by default; 64 KiB to 4 GiB. The inner pages of the indexes of some million answers, and the pages that the last of them are on.</value>
    public long WriteCacheBytes { get; set; } = 8 * 1024 * 1024;

    /// <summary>How long one statement may run, and how long SQLite waits for another process's write.</summary>
    /// <value>10 seconds by default; 1 second to 10 minutes.</value>
    public TimeSpan CommandTimeout { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>How long to wait for a connection to PostgreSQL, and for a free one of the pool.</summary>
    /// <value>5 seconds by default; 1 second to 1 minute. Paid work is refused no later than this after the database went away.</value>
    public TimeSpan ConnectTimeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>Connections one silo holds open to PostgreSQL at most.</summary>
    /// <value>32 by default; 2 to 1000. Ignored by SQLite.</value>
    public int ConnectionsMax { get; set; } = 32;

    internal bool UsesPostgres => !string.IsNullOrWhiteSpace(Postgres);
}

internal sealed class StorageOptionsValidator : IValidateOptions<StorageOptions>
{
    public ValidateOptionsResult Validate(string? name, StorageOptions options)
    {
        List<string> problems = [];
        if (options.UsesPostgres && ParseError(options.Postgres!) is { } error)
            problems.Add($"Storage:Postgres is not a connection string Npgsql understands: {error}");
        if (!options.UsesPostgres && string.IsNullOrWhiteSpace(options.DataDirectory))
            problems.Add("Storage:DataDirectory is empty; name a folder, or set Storage:Postgres.");
        if (options.WriteCacheBytes is < 64 * 1024 or > 4L * 1024 * 1024 * 1024)
            problems.Add($"Storage:WriteCacheBytes is {options.WriteCacheBytes}; it must be from 64 KiB to 4 GiB.");
        if (options.CommandTimeout < TimeSpan.FromSeconds(1) || options.CommandTimeout > TimeSpan.FromMinutes(10))
            problems.Add($"Storage:CommandTimeout is {options.CommandTimeout}; it must be from 1 second to 10 minutes.");
        if (options.ConnectTimeout < TimeSpan.FromSeconds(1) || options.ConnectTimeout > TimeSpan.FromMinutes(1))
            problems.Add($"Storage:ConnectTimeout is {options.ConnectTimeout}; it must be from 1 second to 1 minute.");
        if (options.ConnectionsMax is < 2 or > 1000)
            problems.Add($"Storage:ConnectionsMax is {options.ConnectionsMax}; it must be from 2 to 1000.");
        return problems.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(problems);
    }

    // Only what is wrong, never the string itself: it holds the password.
    private static string? ParseError(string connectionString)
    {
        try
        {
            NpgsqlConnectionStringBuilder parsed = new(connectionString);
            return string.IsNullOrEmpty(parsed.Host) ? "it names no Host." : null;
        }
        catch (Exception e) when (e is ArgumentException or FormatException or DbException)
        {
            return "it could not be parsed; expected 'Host=…;Database=…;Username=…;Password=…'.";
        }
    }
}
