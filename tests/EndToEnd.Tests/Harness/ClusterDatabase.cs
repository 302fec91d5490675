using System.Diagnostics;
using Npgsql;

namespace Federation.EndToEnd.Tests.Harness;

/// <summary>
/// A fresh database on the PostgreSQL server named by FEDERATION_TEST_POSTGRES, or else on a private one that stops with it.
/// </summary>
internal sealed class ClusterDatabase : IAsyncDisposable
{
    private readonly string? _privateServer;
    private readonly TemporaryDirectory? _directory;

    private ClusterDatabase(string connectionString, string? privateServer, TemporaryDirectory? directory)
    {
        ConnectionString = connectionString;
        _privateServer = privateServer;
        _directory = directory;
    }

    public string ConnectionString { get; }

    public static async Task<ClusterDatabase> CreateAsync()
    {
        string? privateServer = null;
        TemporaryDirectory? directory = null;
        var server = Environment.GetEnvironmentVariable("FEDERATION_TEST_POSTGRES");
        if (string.IsNullOrEmpty(server))
        {
            directory = new TemporaryDirectory();
            // The server runs as another user, who must get there.
            File.SetUnixFileMode(directory.Path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute);
            privateServer = Path.Combine(directory.Path, "postgres");
            server = await RunAsync("start_postgres", privateServer);
        }
        var name = $"federation_{Guid.CreateVersion7():N}";
        await using (var connection = new NpgsqlConnection(server))
        {
            await connection.OpenAsync();
            await using var create = new NpgsqlCommand($"CREATE DATABASE {name}", connection);
            await create.ExecuteNonQueryAsync();
        }
        return new ClusterDatabase(new NpgsqlConnectionStringBuilder(server) { Database = name }.ConnectionString, privateServer, directory);
    }

    /// <summary>The one number that a query gives.</summary>
    public async Task<long> NumberAsync(string query)
    {
        await using var connection = new NpgsqlConnection(ConnectionString);
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(query, connection);
        return Convert.ToInt64(await command.ExecuteScalarAsync(), System.Globalization.CultureInfo.InvariantCulture);
    }

    public async ValueTask DisposeAsync()
    {
        NpgsqlConnection.ClearAllPools();
        if (_privateServer is not null) await RunAsync("stop_postgres", _privateServer);
        _directory?.Dispose();
    }

    /// <summary>Runs a function of the repository's own script; what it says.</summary>
    internal static async Task<string> RunAsync(string function, params string[] arguments)
    {
        var script = Path.Combine(Places.Repository, "scripts", "lib", "postgres.sh");
        var start = new ProcessStartInfo("bash", ["-c", "source \"$1\" && \"${@:2}\"", "postgres", script, function, .. arguments]) { RedirectStandardOutput = true, RedirectStandardError = true };
        using var process = Process.Start(start)!;
        var errors = process.StandardError.ReadToEndAsync();
        var output = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        Assert.True(process.ExitCode == 0, $"PostgreSQL: {await errors}");
        return output.Trim();
    }
}
