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

    public Process HubProcess { get; private set; } = null!;

    /// <summary>Starts a hub.</summary>
    /// <param name="hubFile">The program.</param>
    /// <param name="settings">Beyond the defaults, as <c>Section__Name</c>.</param>
    public static async Task<Federation> StartAsync(string hubFile, Dictionary<string, string>? settings = null)
    {
        var federation = new Federation();
        var hub = federation.Start(hubFile, ["run", "--data", Path.Combine(federation._data.FullName, "hub"), "--listen", "127.0.0.1:0"], settings ?? []);
        federation.HubProcess = hub;
        while (await hub.StandardOutput.ReadLineAsync().WaitAsync(Patience) is { } line && !line.StartsWith("Ready", StringComparison.Ordinal))
        {
            if (line.StartsWith("API", StringComparison.Ordinal)) federation.Hub = new Uri(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1]);
        }
        // A log that nobody reads would stop whoever writes it.
        _ = hub.StandardOutput.BaseStream.CopyToAsync(Stream.Null);
        federation.Key = await File.ReadAllTextAsync(Path.Combine(federation._data.FullName, "hub", "admin.key"));
        return federation;
    }

    /// <summary>Joins and starts a node with this configuration; its process.</summary>
    /// <param name="nodeFile">The program.</param>
    /// <param name="config">The node's configuration.</param>
    /// <param name="name">Its folder; who starts a node under a name again starts the same node.</param>
    /// <param name="account">Whose it is; none: the operator's.</param>
    public async Task<Process> AddNodeAsync(string nodeFile, string config, string name = "node", string? account = null)
    {
        var folder = Path.Combine(_data.FullName, name);
        Directory.CreateDirectory(folder);
        await File.WriteAllTextAsync(Path.Combine(folder, "config.json"), config);
        using var http = Client();
        var token = await (await http.PostAsJsonAsync("/v1/join-tokens", new { account_id = account })).Content.ReadFromJsonAsync<JsonObject>();
        var home = new Dictionary<string, string> { ["FEDERATION_NODE_HOME"] = folder };
        using var join = Start(nodeFile, ["join", Hub.ToString(), "--token", token!["join_token"]!.ToString()], home);
        await join.WaitForExitAsync().WaitAsync(Patience);
        _processes.Remove(join);
        return Start(nodeFile, ["run"], home);
    }

    /// <summary>Waits until so many nodes serve a model.</summary>
    public async Task WaitForModelAsync(string model, int nodes = 1)
    {
        using var http = Client();
        await UntilAsync(
            async () => (await http.GetFromJsonAsync<JsonObject>("/v1/models"))!["data"]!.AsArray().Any(one => one!["id"]!.ToString() == model && one["nodes"]!.GetValue<int>() >= nodes),
            $"{nodes} nodes with {model}",
            Patience);
    }

    /// <summary>The id of the account's one node.</summary>
    public async Task<string> NodeOfAsync(string account)
    {
        using var http = Client();
        var nodes = (await http.GetFromJsonAsync<JsonObject>("/v1/nodes"))!["data"]!.AsArray();
        return nodes.Single(node => node!["account_id"]!.ToString() == account)!["id"]!.ToString();
    }

    /// <summary>Makes an account.</summary>
    public async Task<string> AddAccountAsync(string name)
    {
        using var http = Client();
        return (await (await http.PostAsJsonAsync("/v1/accounts", new { name })).Content.ReadFromJsonAsync<JsonObject>())!["id"]!.ToString();
    }

    /// <summary>What the hub has on record of a node's verification.</summary>
    public async Task<JsonObject> VerificationAsync(string node)
    {
        using var http = Client();
        return (await http.GetFromJsonAsync<JsonObject>($"/v1/nodes/{node}/verification?events=1000"))!;
    }

    /// <summary>Waits for a state of the processes that nobody announces.</summary>
    public static async Task UntilAsync(Func<Task<bool>> condition, string what, TimeSpan patience)
    {
        var clock = Stopwatch.StartNew();
        while (!await condition())
        {
            if (clock.Elapsed > patience) throw new TimeoutException($"Not within {patience.TotalSeconds:0} s: {what}");
            await Task.Delay(50);
        }
    }

    public HttpClient Client()
    {
        var http = new HttpClient(new SocketsHttpHandler { MaxConnectionsPerServer = 1_000, ResponseDrainTimeout = TimeSpan.Zero }) { BaseAddress = Hub };
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
