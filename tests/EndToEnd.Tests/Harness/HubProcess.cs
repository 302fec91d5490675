using System.Text.RegularExpressions;

namespace Federation.EndToEnd.Tests.Harness;

/// <summary>A hub, running.</summary>
internal sealed partial class HubProcess : IAsyncDisposable
{
    private readonly ChildProcess _process;
    private readonly TemporaryDirectory? _ownData;

    private HubProcess(ChildProcess process, string data, TemporaryDirectory? ownData, Uri api, Uri nodes)
    {
        _process = process;
        _ownData = ownData;
        Data = data;
        Api = api;
        Nodes = nodes;
    }

    /// <summary>Its data directory.</summary>
    public string Data { get; }

    /// <summary>Where API clients call.</summary>
    public Uri Api { get; }

    /// <summary>Where nodes dial.</summary>
    public Uri Nodes { get; }

    public ChildProcess Process => _process;

    public string AdminKey => File.ReadAllText(Path.Combine(Data, "admin.key")).Trim();

    /// <summary>Starts a hub on free ports and waits until it is ready.</summary>
    /// <param name="settings">Settings beyond the defaults, as <c>Section__Name</c>.</param>
    /// <param name="arguments">Arguments beyond <c>--data</c> and <c>--listen</c>.</param>
    /// <param name="data">An existing data directory; none: a fresh one, deleted in the end.</param>
    /// <param name="listen">Where to listen; none: on loopback, any free port.</param>
    public static async Task<HubProcess> StartAsync(
        IReadOnlyDictionary<string, string>? settings = null, IEnumerable<string>? arguments = null, string? data = null, string listen = "127.0.0.1:0")
    {
        var ownData = data is null ? new TemporaryDirectory() : null;
        var directory = data ?? ownData!.Path;
        // Challenges take every core for seconds, and probes come when they like; the tests that are about them turn them on.
        var environment = new Dictionary<string, string> { ["ChallengeSchedule__Enabled"] = "false", ["CommonSlots__Enabled"] = "false", ["Probes__Enabled"] = "false" };
        foreach (var (name, value) in settings ?? new Dictionary<string, string>()) environment[name] = value;
        var process = ChildProcess.StartDotnet("the hub", Places.Hub, ["run", "--data", directory, "--listen", listen, .. arguments ?? []], environment);
        try
        {
            await process.LineAsync(line => line.StartsWith("Ready", StringComparison.Ordinal), "readiness");
            return new HubProcess(process, directory, ownData, UrlAfter(process, "API"), UrlAfter(process, "Nodes"));
        }
        catch
        {
            await process.DisposeAsync();
            ownData?.Dispose();
            throw;
        }
    }

    /// <summary>Runs a hub that is not expected to come up; its exit code and what it said.</summary>
    public static async Task<(int Code, string Said)> RunAsync(params string[] arguments)
    {
        using var data = new TemporaryDirectory();
        await using var process = ChildProcess.StartDotnet("the hub", Places.Hub, ["run", "--data", data.Path, .. arguments]);
        return (await process.ExitAsync(), process.Tail());
    }

    /// <summary>Runs a command of <c>federation-hub</c>; its exit code and what it said.</summary>
    public static async Task<(int Code, string Said)> CommandAsync(params string[] arguments)
    {
        await using var process = ChildProcess.StartDotnet($"federation-hub {arguments[0]}", Places.Hub, arguments);
        return (await process.ExitAsync(), process.Tail());
    }

    /// <summary>A client with this key; none: the admin's.</summary>
    public HubClient Client(string? key = null) => new(Api, key ?? AdminKey);

    /// <summary>Fails if among these lines of its log the hub says that something is wrong with itself.</summary>
    public static void AssertNoComplaints(IEnumerable<string> lines, params string[] expected)
    {
        var complaints = lines.Where(line => Complaint().IsMatch(line) && !expected.Any(part => line.Contains(part, StringComparison.Ordinal))).ToList();
        Assert.True(complaints.Count == 0, $"The hub complained:\n{string.Join('\n', complaints)}");
    }

    public async ValueTask DisposeAsync()
    {
        await _process.DisposeAsync();
        _ownData?.Dispose();
    }

    private static Uri UrlAfter(ChildProcess process, string word)
    {
        var line = process.Lines.Single(line => line.StartsWith($"{word} ", StringComparison.Ordinal));
        return new Uri(line[word.Length..].Trim());
    }

    // What the runtime prints on an unhandled exception has no level, but counts as well.
    [GeneratedRegex(@"^\S+Z (fail|crit): |^Unhandled exception")]
    private static partial Regex Complaint();
}
