using System.Diagnostics;
using System.Globalization;

namespace Federation.Bench;

/// <summary>What the published agent weighs on its owner's machine. Linux: it reads /proc.</summary>
internal static class AgentBench
{
    private const int Starts = 10;
    private static readonly TimeSpan IdleTime = TimeSpan.FromSeconds(30);

    // The runtime compiles anew what has run 30 times, heartbeats too; an agent idles for days.
    private static readonly TimeSpan SettlingTime = TimeSpan.FromMinutes(2);

    public static async Task<Table> RunAsync(string file, string hubFile)
    {
        var table = new Table("the published agent", "measured", "goal");
        table.Add("size of the one file", $"{new FileInfo(file).Length / 1e6:0.0} MB", "≤ 30 MB");
        table.Add($"`--help`, median of {Starts}", Numbers.Milliseconds(Numbers.Median(await HelpAsync(file))), "≤ 100 ms");

        await using var federation = await Federation.StartAsync(hubFile);
        var connects = new List<double>();
        Process? node = null;
        for (var start = 0; start < 5; start++)
        {
            if (node is not null)
            {
                node.Kill();
                await node.WaitForExitAsync();
                await UntilConnectedAsync(federation, node, connected: false);
            }
            node = await federation.AddNodeAsync(file, """{ "engines": { "ollama": { "enabled": false } } }""");
            await UntilConnectedAsync(federation, node, connected: true);
            connects.Add((DateTime.Now - node.StartTime).TotalMilliseconds);
        }
        table.Add("start to connected, median of 5", Numbers.Milliseconds(Numbers.Median(connects)), "≤ 500 ms");

        await Task.Delay(SettlingTime);
        var before = node!.TotalProcessorTime;
        await Task.Delay(IdleTime);
        node.Refresh();
        var cpu = (node.TotalProcessorTime - before) / IdleTime;
        table.Add("idle, resident memory", $"{node.WorkingSet64 / 1e6:0} MB", "≤ 60 MB");
        table.Add($"idle, of one core over {IdleTime.TotalSeconds:0} s", cpu.ToString("0.00 %", CultureInfo.InvariantCulture), "≤ 0.5 %");
        return table;
    }

    private static async Task<List<double>> HelpAsync(string file)
    {
        var times = new List<double>();
        for (var start = 0; start <= Starts; start++)
        {
            var started = Stopwatch.GetTimestamp();
            using var help = Process.Start(new ProcessStartInfo(file, ["--help"]) { RedirectStandardOutput = true })!;
            await help.StandardOutput.ReadToEndAsync();
            await help.WaitForExitAsync();
            // The first start reads the file from disk.
            if (start > 0) times.Add(Stopwatch.GetElapsedTime(started).TotalMilliseconds);
        }
        return times;
    }

    /// <summary>Waits until the hub sees the one node come, or go.</summary>
    private static async Task UntilConnectedAsync(Federation federation, Process node, bool connected)
    {
        using var http = federation.Client();
        while ((await http.GetStringAsync("/v1/nodes")).Contains("\"connected\":true", StringComparison.Ordinal) != connected)
        {
            if (connected && node.HasExited) throw new InvalidOperationException("The agent ended.");
            await Task.Delay(2);
        }
    }
}
