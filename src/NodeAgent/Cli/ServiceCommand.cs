using System.CommandLine;
using Federation.NodeAgent.Configuration;
using Federation.NodeAgent.Service;

namespace Federation.NodeAgent.Cli;

/// <summary><c>federation-node service install|uninstall|status|print</c></summary>
internal static class ServiceCommand
{
    private static readonly Option<bool> Machine = new("--machine") { Description = "For the whole machine, from boot on (needs an administrator); the only kind on Windows. Default: for yourself.", Recursive = true };
    private static readonly Option<string?> RunAs = new("--run-as") { Description = "With --machine: the account it runs as." };

    public static Command Create()
    {
        var command = new Command("service", "Runs the agent in the background: systemd, launchd or a Windows service.") { Install(), Uninstall(), Status(), Print() };
        command.Options.Add(Machine);
        return command;
    }

    private static Command Install()
    {
        var command = new Command("install", "Installs and starts the service.") { RunAs };
        command.SetAction((parsed, cancellationToken) => CommandGuard.RunAsync(async () =>
        {
            Console.WriteLine(await Installer().InstallAsync(Definition(parsed), cancellationToken).ConfigureAwait(false));
            return 0;
        }));
        return command;
    }

    private static Command Uninstall()
    {
        var command = new Command("uninstall", "Stops and removes the service; settings and key stay.");
        command.SetAction((parsed, cancellationToken) => CommandGuard.RunAsync(async () =>
        {
            await Installer().UninstallAsync(Scope(parsed), cancellationToken).ConfigureAwait(false);
            Console.WriteLine("The service is removed.");
            return 0;
        }));
        return command;
    }

    private static Command Status()
    {
        var command = new Command("status", "Says whether the service is installed and runs.");
        command.SetAction((parsed, cancellationToken) => CommandGuard.RunAsync(async () =>
        {
            var status = await Installer().StatusAsync(Scope(parsed), cancellationToken).ConfigureAwait(false);
            Console.WriteLine(status.Detail);
            return status.Running ? 0 : 3;
        }));
        return command;
    }

    private static Command Print()
    {
        var command = new Command("print", "Prints what install would write, and changes nothing.") { RunAs };
        command.SetAction((parsed, _) => CommandGuard.RunAsync(() =>
        {
            Console.WriteLine(Installer().Print(Definition(parsed)));
            return Task.FromResult(0);
        }));
        return command;
    }

    private static ServiceInstaller Installer() => ServiceInstaller.ForThisMachine(TimeProvider.System);

    private static ServiceScope Scope(ParseResult parsed) => parsed.GetValue(Machine) || OperatingSystem.IsWindows() ? ServiceScope.Machine : ServiceScope.User;

    private static ServiceDefinition Definition(ParseResult parsed) => ServiceDefinition.ForThisProgram(AgentPaths.Resolve().Home, Scope(parsed), parsed.GetValue(RunAs));
}
