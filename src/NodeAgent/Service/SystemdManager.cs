using Federation.NodeAgent.Configuration;
using Federation.NodeAgent.Hardware.Commands;

namespace Federation.NodeAgent.Service;

/// <summary>systemd, as the machine's or the user's service manager.</summary>
internal sealed class SystemdManager(ICommandRunner commands, UnixDirectories directories) : IServiceManager
{
    private const string Unit = ServiceDefinition.Name + ".service";

    public string Print(ServiceDefinition service) => Render(service);

    public async Task<string> InstallAsync(ServiceDefinition service, CancellationToken cancellationToken)
    {
        bool isNew = !File.Exists(UnitFile(service.Scope));
        ServiceFile.Write(UnitFile(service.Scope), Render(service));
        try
        {
            await SystemctlAsync(service.Scope, ["daemon-reload"], cancellationToken).ConfigureAwait(false);
        }
        catch (ServiceException exception)
        {
            // No manager listens: a unit left behind would start the agent some day, unasked for.
            if (isNew) ServiceFile.Delete(UnitFile(service.Scope));
            if (service.Scope == ServiceScope.Machine) throw;
            throw NobodyThere(exception, "install --machine, as root");
        }

        await SystemctlAsync(service.Scope, ["enable", Unit], cancellationToken).ConfigureAwait(false);
        // Restart and not start: one that runs already should run this program with these settings.
        await SystemctlAsync(service.Scope, ["restart", Unit], cancellationToken).ConfigureAwait(false);

        string installed = $"Installed {UnitFile(service.Scope)}. Its log: journalctl {(service.Scope == ServiceScope.User ? "--user " : "")}--unit {Unit}";
        return service.Scope == ServiceScope.User
            ? installed + Environment.NewLine + "It runs while you are logged in; `loginctl enable-linger` lets it run from boot."
            : installed;
    }

    public async Task UninstallAsync(ServiceScope scope, CancellationToken cancellationToken)
    {
        if ((await StatusAsync(scope, "uninstall --machine, as root", cancellationToken).ConfigureAwait(false)).Installed)
        {
            await SystemctlAsync(scope, ["disable", "--now", Unit], cancellationToken).ConfigureAwait(false);
        }

        ServiceFile.Delete(UnitFile(scope));
        await SystemctlAsync(scope, ["daemon-reload"], cancellationToken).ConfigureAwait(false);
    }

    public Task<ServiceStatus> StatusAsync(ServiceScope scope, CancellationToken cancellationToken) => StatusAsync(scope, "status --machine", cancellationToken);

    /// <summary>Lines of <c>ActiveState=active</c>.</summary>
    internal static ServiceStatus ParseStatus(string text)
    {
        string active = Value("ActiveState");
        return Value("LoadState") is "not-found" or ""
            ? ServiceStatus.NotInstalled
            : new ServiceStatus(Installed: true, Running: active is "active" or "reloading" or "deactivating", $"{active} ({Value("SubState")})");

        string Value(string name) => text.Split('\n')
            .Select(line => line.Split('=', 2))
            .FirstOrDefault(parts => parts.Length == 2 && parts[0] == name)?[1].Trim() ?? "";
    }

    internal static string Render(ServiceDefinition service)
    {
        bool machine = service.Scope == ServiceScope.Machine;
        // What a unit of a user's own manager cannot have: targets of the system, other accounts, views of the file system.
        string afterNetwork = machine
            ? """

            Wants=network-online.target
            After=network-online.target
            """
            : "";
        string account = service.RunAs is null ? "" : $"\nUser={service.RunAs}";
        string sandbox = machine
            ? $"""

            PrivateTmp=yes
            ProtectSystem=strict
            ReadWritePaths={Quote(service.Home)}
            ProtectKernelTunables=yes
            ProtectKernelModules=yes
            ProtectControlGroups=yes
            """
            : "";
        // The GPUs' device files must stay visible, so no PrivateDevices; the runtime compiles code, so no MemoryDenyWriteExecute.
        return $"""
            [Unit]
            Description=Federation node
            StartLimitIntervalSec=0{afterNetwork}

            [Service]
            Type=notify
            NotifyAccess=main
            ExecStart={Quote(service.Executable)} run
            Environment={Quote($"{AgentPaths.HomeVariable}={service.Home}")}
            Restart=always
            RestartSec=5
            RestartPreventExitStatus={ServiceDefinition.ConfigurationErrorExitCode}
            TimeoutStopSec={(int)ServiceDefinition.StopTimeout.TotalSeconds}
            KillMode=mixed{account}
            UMask=0077
            NoNewPrivileges=yes
            RestrictSUIDSGID=yes
            LockPersonality=yes{sandbox}

            [Install]
            WantedBy={(machine ? "multi-user.target" : "default.target")}

            """.ReplaceLineEndings("\n");
    }

    private async Task<ServiceStatus> StatusAsync(ServiceScope scope, string forMachine, CancellationToken cancellationToken)
    {
        try
        {
            CommandOutput output = await SystemctlAsync(
                scope, ["show", Unit, "--property=LoadState,ActiveState,SubState"], cancellationToken).ConfigureAwait(false);
            return ParseStatus(output.Text);
        }
        catch (ServiceException exception) when (scope == ServiceScope.User)
        {
            throw NobodyThere(exception, forMachine);
        }
    }

    /// <summary>A user's manager runs while he is logged in.</summary>
    private static ServiceException NobodyThere(ServiceException exception, string forMachine) =>
        new($"{exception.Message.TrimEnd('.')}. Where nobody is logged in: federation-node service {forMachine}.");

    /// <summary>One word of a unit file: quotes keep spaces, a percent sign would begin a specifier.</summary>
    private static string Quote(string word) =>
        $"\"{word.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal).Replace("%", "%%", StringComparison.Ordinal)}\"";

    private string UnitFile(ServiceScope scope) => scope == ServiceScope.Machine
        ? Path.Combine(directories.Root, "etc", "systemd", "system", Unit)
        : Path.Combine(directories.UserConfig, "systemd", "user", Unit);

    private Task<CommandOutput> SystemctlAsync(ServiceScope scope, string[] arguments, CancellationToken cancellationToken) =>
        commands.RequireAsync("systemctl", scope == ServiceScope.User ? ["--user", .. arguments] : arguments, cancellationToken);
}
