using System.Diagnostics;
using System.Net.Http.Headers;
using System.Text.Json.Nodes;

namespace Federation.Bench;

/// <summary>A hub and a node as processes of their own, as in life; stopped when disposed.</summary>
internal sealed class Federation : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly List<Process> _processes = [];
    private readonly DirectoryInfo _data = Directory.CreateTempSubdirectory("federation-bench");

    private Federation()
    {
    }

    public Uri Hub { get; private set; } = null!;

    public string Key { get; private set; } = null!;

    public string NodeHome => Path.Combine(_data.FullName, "node");

    /// <summary>Starts a hub.</summary>
    public static async Task<Federation> StartAsync(string hubFile)
    {
        var federation = new Federation();
        var hub = federation.Start(hubFile, ["run", "--data", Path.Combine(federation._data.FullName, "hub"), "--listen", "127.0.0.1:0"], []);
        while (await hub.StandardOutput.ReadLineAsync().WaitAsync(Patience) is { } line && !line.StartsWith("Ready", StringComparison.Ordinal))
        {
            if (line.StartsWith("API", StringComparison.Ordinal)) federation.Hub = new Uri(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1]);
        }
        federation.Key = await File.ReadAllTextAsync(Path.Combine(federation._data.FullName, "hub", "admin.key"));
        return federation;
    }

    /// <summary>Joins and starts a node with this configuration; its process.</summary>
    public async Task<Process> AddNodeAsync(string nodeFile, string config)
    {
        Directory.CreateDirectory(NodeHome);
        await File.WriteAllTextAsync(Path.Combine(NodeHome, "config.json"), config);
        using var http = Client();
        var token = await (await http.PostAsJsonAsync("/v1/join-tokens", new { })).Content.ReadFromJsonAsync<JsonObject>();
        var home = new Dictionary<string, string> { ["FEDERATION_NODE_HOME"] = NodeHome };
        using var join = Start(nodeFile, ["join", Hub.ToString(), "--token", token!["join_token"]!.ToString()], home);
        await join.WaitForExitAsync().WaitAsync(Patience);
        _processes.Remove(join);
        return Start(nodeFile, ["run"], home);
    }

    public async Task WaitForModelAsync(string model)
    {
        using var http = Client();
        var clock = Stopwatch.StartNew();
        while (!(await http.GetStringAsync("/v1/models")).Contains($"\"{model}\"", StringComparison.Ordinal))
        {
            if (clock.Elapsed > Patience) throw new TimeoutException($"No node serves {model}.");
            await Task.Delay(10);
        }
    }

    public HttpClient Client()
    {
        var http = new HttpClient(new SocketsHttpHandler { MaxConnectionsPerServer = 1_000 }) { BaseAddress = Hub };
        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", Key);
        return http;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var process in _processes)
        {
            process.Kill();
            await process.WaitForExitAsync();
            process.Dispose();
        }
        _data.Delete(recursive: true);
    }

    private Process Start(string file, IEnumerable<string> arguments, Dictionary<string, string> environment)
    {
        var info = new ProcessStartInfo(file, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var (name, value) in environment) info.Environment[name] = value;
        var process = Process.Start(info) ?? throw new InvalidOperationException($"{file} did not start.");
        process.ErrorDataReceived += (_, _) => { };
        process.BeginErrorReadLine();
        _processes.Add(process);
        return process;
    }
}
