using System.CommandLine;
using Federation.NodeAgent.Configuration;

namespace Federation.NodeAgent.Cli;

/// <summary><c>federation-node pause</c> and <c>resume</c>: a running agent follows within a second or two.</summary>
internal static class PauseCommand
{
    public static Command CreatePause() => Create("pause", "Takes no new work until `resume`; what runs finishes.", paused: true, "Paused. Running answers finish; `federation-node resume` takes work again.");

    public static Command CreateResume() => Create("resume", "Takes work again.", paused: false, "Taking work again.");

    private static Command Create(string name, string description, bool paused, string done)
    {
        var command = new Command(name, description);
        command.SetAction((_, _) => CommandGuard.RunAsync(() =>
        {
            var paths = AgentPaths.Resolve();
            var config = AgentConfigFile.Load(paths.ConfigFile);
            AgentConfigFile.Save(paths.ConfigFile, config with { Policy = config.Policy with { Paused = paused } });
            Console.WriteLine(done);
            return Task.FromResult(0);
        }));
        return command;
    }
}
