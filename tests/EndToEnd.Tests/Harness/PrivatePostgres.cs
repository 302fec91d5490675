using System.Diagnostics;
using System.Globalization;
using Npgsql;

namespace Federation.EndToEnd.Tests.Harness;

/// <summary>A PostgreSQL server of a test's own: it may make it stand still, kill it, and start it again where it was. Linux only.</summary>
internal sealed class PrivatePostgres : IAsyncDisposable
{
    private readonly TemporaryDirectory _directory;
    private readonly string _data;
    private readonly int _port;

    private PrivatePostgres(TemporaryDirectory directory, string data, string connectionString)
    {
        (_directory, _data) = (directory, data);
        var settings = new NpgsqlConnectionStringBuilder(connectionString);
        (ConnectionString, _port) = (connectionString, settings.Port);
    }

    public string ConnectionString { get; }

    public static async Task<PrivatePostgres> StartAsync()
    {
        var directory = new TemporaryDirectory();
        // The server runs as another user, who must get there.
        File.SetUnixFileMode(directory.Path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute);
        var data = Path.Combine(directory.Path, "postgres");
        return new PrivatePostgres(directory, data, await ClusterDatabase.RunAsync("start_postgres", data));
    }

    /// <summary>All its processes stand still, and its connections with them.</summary>
    public void Suspend() => Signal("-STOP", Processes());

    /// <summary>They go on.</summary>
    public void Resume() => Signal("-CONT", Processes());

    /// <summary>All its processes are gone at once, as when the power fails.</summary>
    public async Task KillAsync()
    {
        var processes = Processes();
        Signal("-KILL", processes);
        await Patience.UntilAsync(() => Task.FromResult(!processes.Exists(process => Directory.Exists($"/proc/{process}"))), "PostgreSQL to be gone");
    }

    /// <summary>It starts again, on its port, and recovers what it had.</summary>
    public Task StartAgainAsync() => ClusterDatabase.RunAsync("start_postgres", _data, _port.ToString(CultureInfo.InvariantCulture));

    /// <summary>The one number that a query gives.</summary>
    public async Task<long> NumberAsync(string query)
    {
        await using var connection = new NpgsqlConnection($"{ConnectionString};Pooling=false");
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(query, connection);
        return Convert.ToInt64(await command.ExecuteScalarAsync(), CultureInfo.InvariantCulture);
    }

    public async ValueTask DisposeAsync()
    {
        await ClusterDatabase.RunAsync("stop_postgres", _data);
        _directory.Dispose();
    }

    private List<int> Processes()
    {
        var server = int.Parse(File.ReadLines(Path.Combine(_data, "postmaster.pid")).First(), CultureInfo.InvariantCulture);
        return [server, .. Directory.GetDirectories("/proc").Select(Path.GetFileName).Select(name => int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out var id) ? id : 0).Where(id => id > 0 && ParentOf(id) == server)];
    }

    private static int ParentOf(int process)
    {
        try
        {
            // Behind the name in brackets, which may hold anything: the state, then the parent.
            var text = File.ReadAllText($"/proc/{process}/stat");
            return int.Parse(text[(text.LastIndexOf(')') + 2)..].Split(' ')[1], CultureInfo.InvariantCulture);
        }
        catch (IOException)
        {
            // It has just ended.
            return 0;
        }
    }

    private static void Signal(string signal, IEnumerable<int> processes)
    {
        // One of them may have ended meanwhile.
        using var kill = Process.Start("kill", [signal, .. processes.Select(process => process.ToString(CultureInfo.InvariantCulture))]);
        kill.WaitForExit();
    }
}
