using System.Diagnostics;
using System.Globalization;

namespace Federation.Bench;

/// <summary>What the published agent weighs on its owner's machine. Linux: it reads /proc.</summary>
internal static class AgentBench
{
    private const int Starts = 10;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan IdleTime = TimeSpan.FromSeconds(60);

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
        for (var start = 0; start < Starts; start++)
        {
            if (node is not null)
            {
                node.Kill();
                await node.WaitForExitAsync();
            }
            // As it is installed: no Ollama runs here, so the agent looks for one in vain.
            node = await federation.AddNodeAsync(file, "{ }");
            connects.Add(await ConnectedAfterAsync(node));
        }
        table.Add($"start to connected, by its own log, median of {Starts}", Numbers.Milliseconds(Numbers.Median(connects)), "≤ 500 ms");

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

    /// <summary>Milliseconds from the start of the process to its line in the log; the hub's list of nodes may be half a second old.</summary>
    private static async Task<double> ConnectedAfterAsync(Process node)
    {
        var connected = new TaskCompletionSource<DateTime>(TaskCreationOptions.RunContinuationsAsynchronously);
        node.ErrorDataReceived += (_, line) =>
        {
            if (line.Data is null) connected.TrySetException(new InvalidOperationException("The agent ended."));
            else if (line.Data.Contains("Connected to hub", StringComparison.Ordinal)) connected.TrySetResult(DateTime.Now);
        };
        return (await connected.Task.WaitAsync(Patience) - node.StartTime).TotalMilliseconds;
    }
}
