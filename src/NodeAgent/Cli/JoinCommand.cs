using System.CommandLine;
using Federation.NodeAgent.Configuration;
using Federation.NodeAgent.Hardware;
using Federation.NodeAgent.Link;
using Microsoft.Extensions.Logging;

namespace Federation.NodeAgent.Cli;

/// <summary><c>federation-node join &lt;hub-url&gt; --token T</c></summary>
internal static class JoinCommand
{
    public static Command Create()
    {
        var hub = new Argument<string>("hub-url") { Description = "Where the hub is: https://hub.example.org" };
        var token = new Option<string>("--token") { Description = "The join token the hub gave you (jt_…), good for one node.", Required = true };
        var name = new Option<string?>("--name") { Description = "How the node is called in consoles. Default: the machine's name." };
        var insecure = new Option<bool>("--insecure") { Description = "Allow a hub without TLS beyond this machine: anyone on the way can read prompts and answers." };
        var command = new Command("join", "Makes this machine a node of a hub.") { hub, token, name, insecure };
        command.SetAction((parsed, cancellationToken) => CommandGuard.RunAsync(
            () => JoinAsync(parsed.GetValue(hub)!, parsed.GetValue(token)!, parsed.GetValue(name), parsed.GetValue(insecure), cancellationToken)));
        return command;
    }

    private static async Task<int> JoinAsync(string hub, string token, string? name, bool insecure, CancellationToken cancellationToken)
    {
        var paths = AgentPaths.Resolve();
        paths.EnsureHome();
        var before = AgentConfigFile.Load(paths.ConfigFile);
        var config = before with { HubUrl = hub.TrimEnd('/'), AllowInsecureHub = insecure || before.AllowInsecureHub, DisplayName = name ?? before.DisplayName, HubId = null, NodeId = null, AccountId = null };
        // Wrong settings should cost no token.
        if (AgentConfigRules.Check(config) is { Count: > 0 } problems) throw Refusal(paths, problems);
        using var loggers = AgentLogging.Create(verbose: false);
        using var key = NodeKey.LoadOrCreate(paths.KeyFile);
        var hardware = await HardwareDetector.ForThisMachine(paths.Home, TimeProvider.System, loggers.CreateLogger<HardwareDetector>()).DetectAsync(cancellationToken).ConfigureAwait(false);
        var result = await Enrolment.JoinAsync(new Uri(config.HubUrl), token, key, config.DisplayName, hardware.ToMessage(), cancellationToken).ConfigureAwait(false);
        AgentConfigFile.Save(paths.ConfigFile, config with { HubId = result.Hub.ToString(), NodeId = result.NodeId, AccountId = result.AccountId });
        Console.WriteLine($"Joined    {hub} ({result.Hub})");
        Console.WriteLine($"Node      {result.NodeId}");
        Console.WriteLine($"Account   {result.AccountId} owns what this node earns");
        Console.WriteLine($"Settings  {paths.ConfigFile}");
        Console.WriteLine("Start it with: federation-node run   (or in the background: federation-node service install)");
        return 0;
    }

    /// <summary>What comes from the command line is not put down to the file, which does not have it yet.</summary>
    private static Exception Refusal(AgentPaths paths, IReadOnlyList<ConfigProblem> problems) => problems.FirstOrDefault(problem => problem.Path is "hub_url" or "display_name") switch
    {
        { Path: "hub_url" } problem => new InvalidOperationException($"<hub-url> {problem.Message.Replace("set allow_insecure_hub to true", "give --insecure", StringComparison.Ordinal)}"),
        { } problem => new InvalidOperationException($"--name {problem.Message}"),
        null => new AgentConfigException(paths.ConfigFile, problems),
    };
}
