using System.Diagnostics;
using System.Text.Json.Nodes;
using Federation.TestClock;

namespace Federation.Bench;

/// <summary>
/// Whether clients notice that their node is being checked: the same chats through hub and agent while challenges and audits run without a pause, and while none do, block by block. Each block
/// has a hub and nodes of its own, so that nothing of the other one's runs beside it.
/// </summary>
internal static class ChecksBench
{
    private const string Model = "federation-demo";
    private const int Rounds = 3;
    private const int WarmUp = 60;
    private const int Chats = 500;

    /// <param name="hubFile">federation-hub.</param>
    /// <param name="nodeFile">federation-node.</param>
    /// <param name="models">Folder of the demo model.</param>
    public static async Task<Table> RunAsync(string hubFile, string nodeFile, string models)
    {
        var table = new Table("one chat at a time", "without checks", "with checks", "ratio");
        var config = $$"""{ "engines": { "ollama": { "enabled": false }, "builtin": { "models_directory": "{{models}}", "slots": 2 } } }""";
        var (quiet, checks) = (new List<Block>(), new List<Block>());
        for (var round = 0; round < Rounds; round++)
        {
            quiet.Add(await BlockAsync(hubFile, nodeFile, config, areChecked: false));
            checks.Add(await BlockAsync(hubFile, nodeFile, config, areChecked: true));
        }
        Add("p50", block => Numbers.Percentile(block.Times, 0.5));
        Add("p99", block => Numbers.Percentile(block.Times, 0.99));
        table.Add("audits done by the end of a block, mean", $"{quiet.Average(block => block.Audits):0}", $"{checks.Average(block => block.Audits):0}", string.Empty);
        table.Add("CPU of both agents, cores, mean", $"{quiet.Average(block => block.Cores):0.00}", $"{checks.Average(block => block.Cores):0.00}", string.Empty);
        return table;

        void Add(string what, Func<Block, double> figure)
        {
            var (without, with) = (Numbers.Median(quiet.Select(figure)), Numbers.Median(checks.Select(figure)));
            table.Add($"{what}, median of {Rounds} blocks of {Chats}", Numbers.Milliseconds(without), Numbers.Milliseconds(with), Numbers.Ratio(with / without));
        }
    }

    private static async Task<Block> BlockAsync(string hubFile, string nodeFile, string config, bool areChecked)
    {
        using var clock = new ShiftedClock();
        var on = areChecked ? "true" : "false";
        await using var federation = await Federation.StartAsync(hubFile, new Dictionary<string, string>(clock.Environment)
        {
            ["ChallengeSchedule__Enabled"] = on,
            ["ChallengeSchedule__FirstAfter"] = "00:00:01",
            ["ChallengeSchedule__AgainAfter"] = "00:00:00.1",
            ["ChallengeSchedule__MeanPeriod"] = "00:00:01",
            ["ChallengeSchedule__Slot"] = "00:00:00.1",
            ["Audits__Enabled"] = on,
            ["Audits__Period"] = "00:00:01",
            ["Audits__KeepFor"] = "12:00:00",
            ["Epochs__LookPeriod"] = "00:00:01",
            ["Epochs__Grace"] = "00:00:01",
            ["Epochs__RevealDelay"] = "00:00:01",
            ["Hub__DirectoryAge"] = "00:00:00",
        });
        var account = await federation.AddAccountAsync("worker");
        var worker = await federation.AddNodeAsync(nodeFile, config, "worker", account);
        var verifier = await federation.AddNodeAsync(nodeFile, config, "verifier");
        await federation.WaitForModelAsync(Model, nodes: 2);
        using var http = federation.Client();
        await ChatsAsync(http, WarmUp);
        clock.Shift(TimeSpan.FromHours(1.2));
        // The epoch closes, its beacon is revealed, and what was drawn is audited from now on.
        await Task.Delay(TimeSpan.FromSeconds(4));
        var (before, began) = (Cpu(worker, verifier), Stopwatch.GetTimestamp());
        var times = await ChatsAsync(http, Chats);
        var cores = (Cpu(worker, verifier) - before) / Stopwatch.GetElapsedTime(began).TotalSeconds;
        var audits = (await federation.VerificationAsync(await federation.NodeOfAsync(account)))["events"]!.AsArray().Count(entry => entry!["kind"]!.ToString() is "audit" or "canary");
        return new Block(times, audits, cores);
    }

    private static async Task<List<double>> ChatsAsync(HttpClient http, int count)
    {
        var times = new List<double>(count);
        for (var i = 0; i < count; i++)
        {
            var body = new JsonObject
            {
                ["model"] = Model,
                ["messages"] = new JsonArray(new JsonObject { ["role"] = "user", ["content"] = $"My project is called {i}. Suggest three names for its parts and say why." }),
                ["max_tokens"] = 32,
                ["temperature"] = 0,
            };
            var started = Stopwatch.GetTimestamp();
            using var response = await http.PostAsJsonAsync("/v1/chat/completions", body);
            response.EnsureSuccessStatusCode();
            times.Add(Stopwatch.GetElapsedTime(started).TotalMilliseconds);
        }
        return times;
    }

    private static double Cpu(params Process[] agents)
    {
        foreach (var agent in agents) agent.Refresh();
        return agents.Sum(agent => agent.TotalProcessorTime.TotalSeconds);
    }

    private sealed record Block(List<double> Times, int Audits, double Cores);
}
