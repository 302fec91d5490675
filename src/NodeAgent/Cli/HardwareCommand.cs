using System.CommandLine;
using Federation.NodeAgent.Configuration;
using Federation.NodeAgent.Hardware;
using Microsoft.Extensions.Logging;

namespace Federation.NodeAgent.Cli;

/// <summary><c>federation-node hardware</c></summary>
internal static class HardwareCommand
{
    public static Command Create()
    {
        var json = new Option<bool>("--json") { Description = "Print JSON." };
        var command = new Command("hardware", "Shows what the agent found in this machine.") { json };
        command.SetAction((parsed, cancellationToken) => CommandGuard.RunAsync(async () =>
        {
            using var loggers = AgentLogging.Create(verbose: false);
            var report = await HardwareDetector.ForThisMachine(AgentPaths.Resolve().Home, TimeProvider.System, loggers.CreateLogger<HardwareDetector>())
                .DetectAsync(cancellationToken).ConfigureAwait(false);
            Console.WriteLine(parsed.GetValue(json) ? HardwareReportJson.Render(report) : HardwareReportText.Render(report));
            return 0;
        }));
        return command;
    }
}
