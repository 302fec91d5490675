using System.Diagnostics;
using Npgsql;

namespace Federation.Silo.Tests.Storage;

/// <summary>
/// The PostgreSQL server the tests make their databases on: the one named by FEDERATION_TEST_POSTGRES, or else a private one,
/// started once per test process. A test that needs it fails where there is neither; it is never skipped.
/// </summary>
internal static class PostgresServer
{
    private static readonly Lazy<Task<string>> Server = new(FindAsync);

    public static Task<string> ConnectionStringAsync() => Server.Value;

    /// <summary>Runs one statement on the server's own database.</summary>
    public static async Task ExecuteAsync(string sql)
    {
        await using NpgsqlConnection connection = new(await ConnectionStringAsync());
        await connection.OpenAsync();
        await using NpgsqlCommand command = new(sql, connection);
        await command.ExecuteNonQueryAsync();
    }

    private static async Task<string> FindAsync()
    {
        if (Environment.GetEnvironmentVariable("FEDERATION_TEST_POSTGRES") is { Length: > 0 } given)
            return given;

        var script = Path.Combine(RepositoryRoot(), "scripts", "lib", "postgres.sh");
        var directory = Path.Combine(Path.GetTempPath(), $"federation-test-postgres-{Environment.ProcessId}");
        var connectionString = await RunAsync(script, "start_postgres", directory);

        // The script goes on if the test host does not wait for it.
        AppDomain.CurrentDomain.ProcessExit += (_, _) => RunAsync(script, "remove_postgres", directory).GetAwaiter().GetResult();
        return connectionString;
    }

    private static async Task<string> RunAsync(string script, string function, string directory)
    {
        ProcessStartInfo start = new("bash", ["-c", "source \"$1\" && \"$2\" \"$3\"", "postgres", script, function, directory])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using var process = Process.Start(start)!;
        var errors = process.StandardError.ReadToEndAsync();
        var output = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        return process.ExitCode == 0
            ? output.Trim()
            : throw new InvalidOperationException(
                $"No PostgreSQL for the tests: run them by scripts/test.sh, which installs one, or set FEDERATION_TEST_POSTGRES. {await errors}");
    }

    private static string RepositoryRoot()
    {
        for (var directory = new DirectoryInfo(AppContext.BaseDirectory); directory is not null; directory = directory.Parent)
        {
            if (File.Exists(Path.Combine(directory.FullName, "Federation.sln")))
                return directory.FullName;
        }

        throw new InvalidOperationException($"{AppContext.BaseDirectory} is not inside the repository; set FEDERATION_TEST_POSTGRES.");
    }
}
