using System.Security;
using Federation.NodeAgent.Configuration;
using Federation.NodeAgent.Hardware.Commands;

namespace Federation.NodeAgent.Service;

/// <summary>launchd: an agent of the user or a daemon of the Mac.</summary>
internal sealed class LaunchdManager(ICommandRunner commands, UnixDirectories directories) : IServiceManager
{
    private const string Label = ServiceDefinition.Name;

    public string Print(ServiceDefinition service) => Render(service);

    public async Task<string> InstallAsync(ServiceDefinition service, CancellationToken cancellationToken)
    {
        string domain = await DomainAsync(service.Scope, cancellationToken).ConfigureAwait(false);
        await BootOutAsync(domain, cancellationToken).ConfigureAwait(false);
        ServiceFile.Write(PropertyList(service.Scope), Render(service));
        await commands.RequireAsync("launchctl", ["enable", $"{domain}/{Label}"], cancellationToken).ConfigureAwait(false);
        await commands.RequireAsync("launchctl", ["bootstrap", domain, PropertyList(service.Scope)], cancellationToken).ConfigureAwait(false);
        return $"Installed {PropertyList(service.Scope)}. Its log: {LogFile(service)}";
    }

    public async Task UninstallAsync(ServiceScope scope, CancellationToken cancellationToken)
    {
        await BootOutAsync(await DomainAsync(scope, cancellationToken).ConfigureAwait(false), cancellationToken).ConfigureAwait(false);
        ServiceFile.Delete(PropertyList(scope));
    }

    public async Task<ServiceStatus> StatusAsync(ServiceScope scope, CancellationToken cancellationToken)
    {
        string domain = await DomainAsync(scope, cancellationToken).ConfigureAwait(false);
        CommandOutput output = await commands.AskAsync("launchctl", ["print", $"{domain}/{Label}"], cancellationToken).ConfigureAwait(false);
        return output.Succeeded ? ParseStatus(output.Text) : ServiceStatus.NotInstalled;
    }

    /// <summary>Of a service's many lines, the one <c>state = running</c>; its sub-services' are indented deeper and come later.</summary>
    internal static ServiceStatus ParseStatus(string text)
    {
        const string Key = "state = ";
        string state = text.Split('\n', StringSplitOptions.TrimEntries)
            .FirstOrDefault(line => line.StartsWith(Key, StringComparison.Ordinal))?[Key.Length..] ?? "unknown";
        return new ServiceStatus(Installed: true, Running: state == "running", state);
    }

    internal static string Render(ServiceDefinition service)
    {
        string account = service.RunAs is null ? "" : $"\n    <key>UserName</key>\n    <string>{Escape(service.RunAs)}</string>";
        // launchd's background kind throttles processor and disk; what the node computes is somebody's answer.
        return $"""
            <?xml version="1.0" encoding="UTF-8"?>
            <!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
            <plist version="1.0">
              <dict>
                <key>Label</key>
                <string>{Label}</string>
                <key>ProgramArguments</key>
                <array>
                  <string>{Escape(service.Executable)}</string>
                  <string>run</string>
                </array>
                <key>EnvironmentVariables</key>
                <dict>
                  <key>{AgentPaths.HomeVariable}</key>
                  <string>{Escape(service.Home)}</string>
                </dict>{account}
                <key>RunAtLoad</key>
                <true/>
                <key>KeepAlive</key>
                <dict>
                  <key>SuccessfulExit</key>
                  <false/>
                </dict>
                <key>ThrottleInterval</key>
                <integer>10</integer>
                <key>ExitTimeOut</key>
                <integer>{(int)ServiceDefinition.StopTimeout.TotalSeconds}</integer>
                <key>ProcessType</key>
                <string>Standard</string>
                <key>Umask</key>
                <integer>63</integer>
                <key>StandardOutPath</key>
                <string>{Escape(LogFile(service))}</string>
                <key>StandardErrorPath</key>
                <string>{Escape(LogFile(service))}</string>
              </dict>
            </plist>

            """.ReplaceLineEndings("\n");
    }

    private static string LogFile(ServiceDefinition service) => $"{service.Home}/{ServiceDefinition.Name}.log";

    private static string Escape(string text) => SecurityElement.Escape(text);

    private string PropertyList(ServiceScope scope) => scope == ServiceScope.Machine
        ? Path.Combine(directories.Root, "Library", "LaunchDaemons", $"{Label}.plist")
        : Path.Combine(directories.UserHome, "Library", "LaunchAgents", $"{Label}.plist");

    private async Task<string> DomainAsync(ServiceScope scope, CancellationToken cancellationToken) => scope == ServiceScope.Machine
        ? "system"
        : $"gui/{(await commands.RequireAsync("id", ["-u"], cancellationToken).ConfigureAwait(false)).Text.Trim()}";

    /// <summary>Stops and forgets the service; that it was not there is no failure.</summary>
    private Task<CommandOutput> BootOutAsync(string domain, CancellationToken cancellationToken) =>
        commands.AskAsync("launchctl", ["bootout", $"{domain}/{Label}"], cancellationToken);
}
