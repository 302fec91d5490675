using Federation.NodeAgent.Configuration;
using Federation.NodeAgent.Hardware.Commands;

namespace Federation.NodeAgent.Service;

/// <summary>
/// Windows' service control manager. The service runs as an account of its own, <c>NT SERVICE\federation-node</c>, which exists with
/// the service and may use nothing but what is granted to it: the agent's home.
/// </summary>
internal sealed class WindowsServiceManager(ICommandRunner commands) : IServiceManager
{
    private const string Name = ServiceDefinition.Name;
    private const string OwnAccount = @"NT SERVICE\" + Name;
    private const int DoesNotExist = 1060;
    private const int NotRunning = 1062;

    public string Print(ServiceDefinition service) =>
        string.Concat(Steps(service).Select(step => $"{step.Program} {string.Join(' ', step.Arguments.Select(QuoteForReading))}{Environment.NewLine}"));

    public async Task<string> InstallAsync(ServiceDefinition service, CancellationToken cancellationToken)
    {
        await UninstallAsync(ServiceScope.Machine, cancellationToken).ConfigureAwait(false);
        foreach ((string program, string[] arguments) in Steps(service))
        {
            await commands.RequireAsync(program, arguments, cancellationToken).ConfigureAwait(false);
        }

        return $"Installed the service {Name}. Its log: Event Viewer, Windows Logs, Application.";
    }

    public async Task UninstallAsync(ServiceScope scope, CancellationToken cancellationToken)
    {
        CommandOutput stopped = await commands.AskAsync("sc", ["stop", Name], cancellationToken).ConfigureAwait(false);
        if (stopped.ExitCode == DoesNotExist)
        {
            return;
        }

        if (!stopped.Succeeded && stopped.ExitCode != NotRunning)
        {
            throw new ServiceException($"The service could not be stopped: {stopped.Text.Trim()}");
        }

        await commands.RequireAsync("sc", ["delete", Name], cancellationToken).ConfigureAwait(false);
    }

    public async Task<ServiceStatus> StatusAsync(ServiceScope scope, CancellationToken cancellationToken)
    {
        CommandOutput output = await commands.AskAsync("sc", ["query", Name], cancellationToken).ConfigureAwait(false);
        return output.ExitCode == DoesNotExist ? ServiceStatus.NotInstalled : ParseStatus(output.Text);
    }

    /// <summary>
    /// The number in <c>STATE : 4 RUNNING</c>: the words are translated in Windows of other languages, the numbers and their order are
    /// not (1 stopped, 2 starting, 3 stopping, 4 running).
    /// </summary>
    internal static ServiceStatus ParseStatus(string text)
    {
        // The name's line has no number; then come the type's and the state's.
        string[] state = text.Split('\n')
            .Select(line => line.Split(':', 2))
            .Where(parts => parts.Length == 2)
            .Select(parts => parts[1].Split(' ', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
            .Where(words => words.Length >= 2 && words[0].All(char.IsAsciiHexDigit))
            .Skip(1)
            .FirstOrDefault() ?? ["", "unknown"];
        return new ServiceStatus(Installed: true, Running: state[0] is "2" or "3" or "4", state[1]);
    }

    /// <summary>Programs and arguments, in their order. <c>sc</c> wants a blank between <c>name=</c> and its value: two arguments.</summary>
    internal static IReadOnlyList<(string Program, string[] Arguments)> Steps(ServiceDefinition service)
    {
        if (service.Scope != ServiceScope.Machine)
        {
            throw new ServiceException("Windows has services of the machine only; install it as administrator for the machine.");
        }

        string account = service.RunAs ?? OwnAccount;
        return
        [
            ("sc",
            [
                "create", Name, "binPath=", $"\"{service.Executable}\" run", "DisplayName=", "Federation node", "start=", "delayed-auto", "obj=", account,
            ]),
            ("sc", ["description", Name, "Lends this machine's GPUs to the federation, as far as its owner allows."]),
            ("sc", ["failure", Name, "reset=", "3600", "actions=", "restart/5000/restart/30000/restart/60000"]),
            ("sc", ["failureflag", Name, "1"]), // also after an exit code, not only after a crash
            ("reg",
            [
                "add", $@"HKLM\SYSTEM\CurrentControlSet\Services\{Name}", "/v", "Environment", "/t", "REG_MULTI_SZ", "/d",
                $"{AgentPaths.HomeVariable}={service.Home}", "/f",
            ]),
            ("icacls", [service.Home, "/grant", $"{account}:(OI)(CI)M"]),
            ("sc", ["start", Name]),
        ];
    }

    private static string QuoteForReading(string argument) =>
        argument.Contains(' ', StringComparison.Ordinal) ? $"\"{argument.Replace("\"", "\\\"", StringComparison.Ordinal)}\"" : argument;
}
