using System.CommandLine;
using Federation.NodeAgent.Configuration;
using Federation.NodeAgent.Link;
using Microsoft.Extensions.Logging.Abstractions;

namespace Federation.NodeAgent.Cli;

/// <summary><c>federation-node status</c>: exit code 0 when the agent runs and is connected, else 3.</summary>
internal static class StatusCommand
{
    private const int NotRunning = 3;
    private const int ModelsShown = 5;

    public static Command Create()
    {
        var command = new Command("status", "Shows whether the agent runs, what it does, and why it does nothing.");
        command.SetAction((_, _) => CommandGuard.RunAsync(() => Task.FromResult(Show())));
        return command;
    }

    private static int Show()
    {
        var paths = AgentPaths.Resolve();
        var config = AgentConfigFile.Load(paths.ConfigFile);
        Console.WriteLine($"Hub       {config.HubUrl ?? "none; run: federation-node join <hub-url> --token <token>"}");
        if (config.NodeId is { } nodeId) Console.WriteLine($"Node      {nodeId}");
        if (new AgentStatusFile(paths, TimeProvider.System, NullLogger<AgentStatusFile>.Instance).Read() is not { } status)
        {
            Console.WriteLine(config.Policy.Paused ? "Agent     not running (and paused)" : "Agent     not running; start it with: federation-node run");
            return NotRunning;
        }
        Console.WriteLine($"Agent     running (process {status.ProcessId}), {(status.Connected ? "connected" : "not connected")}");
        foreach (var engine in status.Engines) Console.WriteLine($"Engine    {engine.Name}: {Words(engine)}");
        var why = status.WhyNoWork.Length > 0 ? status.WhyNoWork : status.Engines.Any(engine => engine.Models.Count > 0) ? null : "no engine offers a model";
        Console.WriteLine(why is null ? $"Work      {status.RunningLeases} running" : $"Work      none: {why}");
        Console.WriteLine($"Earned    {status.CreditedMicrocredits / 1_000_000m:0.000000} credits pending since it started");
        return status.Connected ? 0 : NotRunning;
    }

    private static string Words(EngineStatus engine)
    {
        if (!engine.IsThere) return "does not answer";
        var more = engine.Models.Count - ModelsShown;
        return engine.Models.Count == 0 ? "no models" : string.Join(", ", engine.Models.Take(ModelsShown)) + (more > 0 ? $" and {more} more" : string.Empty);
    }
}
