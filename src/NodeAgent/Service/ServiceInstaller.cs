using Federation.NodeAgent.Hardware.Commands;

namespace Federation.NodeAgent.Service;

/// <summary>
/// Puts the agent under the system's own service manager: systemd, launchd, or Windows' service control manager. All of it works
/// through their command line tools, and can be repeated.
/// </summary>
public sealed class ServiceInstaller
{
    private readonly IServiceManager _manager;

    internal ServiceInstaller(IServiceManager manager)
    {
        _manager = manager;
    }

    /// <summary>The installer for this system.</summary>
    /// <param name="timeProvider">Bounds how long the service manager's tools may run.</param>
    /// <exception cref="ServiceException">This system has no service manager that the agent knows.</exception>
    public static ServiceInstaller ForThisMachine(TimeProvider timeProvider)
    {
        // Starting the service is part of installing it, and systemctl waits until it is ready.
        var commands = new ProcessCommandRunner(timeProvider, timeout: TimeSpan.FromMinutes(3));
        return new ServiceInstaller(
            OperatingSystem.IsWindows() ? new WindowsServiceManager(commands)
            : OperatingSystem.IsMacOS() ? new LaunchdManager(commands, UnixDirectories.OfThisUser())
            : OperatingSystem.IsLinux() ? new SystemdManager(commands, UnixDirectories.OfThisUser())
            : throw new ServiceException("On this system the agent cannot install itself as a service."));
    }

    /// <summary>What <see cref="InstallAsync"/> would write or run, for people who install services their own way.</summary>
    public string Print(ServiceDefinition service) => _manager.Print(service);

    /// <summary>Installs and starts the service; one that is there already is replaced.</summary>
    /// <returns>What a person should know now; may be several lines.</returns>
    /// <exception cref="ServiceException">The service manager refused.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="cancellationToken"/> was cancelled; the service may be half installed.</exception>
    public Task<string> InstallAsync(ServiceDefinition service, CancellationToken cancellationToken) =>
        _manager.InstallAsync(service, cancellationToken);

    /// <summary>Stops and removes the service; the agent's home stays. One that is not there is no error.</summary>
    /// <exception cref="ServiceException">The service manager refused.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="cancellationToken"/> was cancelled; the service may be half removed.</exception>
    public Task UninstallAsync(ServiceScope scope, CancellationToken cancellationToken) => _manager.UninstallAsync(scope, cancellationToken);

    /// <summary>Whether the service is there and runs.</summary>
    /// <exception cref="ServiceException">The service manager could not be asked.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="cancellationToken"/> was cancelled.</exception>
    public Task<ServiceStatus> StatusAsync(ServiceScope scope, CancellationToken cancellationToken) => _manager.StatusAsync(scope, cancellationToken);
}

/// <summary>How a service is.</summary>
/// <param name="Installed">The service manager knows it.</param>
/// <param name="Running">Its process is there.</param>
/// <param name="Detail">The manager's own words: <c>active (running)</c>, <c>RUNNING</c>…</param>
public sealed record ServiceStatus(bool Installed, bool Running, string Detail)
{
    internal static ServiceStatus NotInstalled { get; } = new(false, false, "not installed");
}

/// <summary>A system's service manager; see <see cref="ServiceInstaller"/> for what its methods promise.</summary>
internal interface IServiceManager
{
    string Print(ServiceDefinition service);

    Task<string> InstallAsync(ServiceDefinition service, CancellationToken cancellationToken);

    Task UninstallAsync(ServiceScope scope, CancellationToken cancellationToken);

    Task<ServiceStatus> StatusAsync(ServiceScope scope, CancellationToken cancellationToken);
}

/// <summary>Where a Unix system and its user keep what service managers read.</summary>
/// <param name="Root">Normally <c>/</c>.</param>
/// <param name="UserHome">The user's home directory.</param>
/// <param name="UserConfig">The user's <c>$XDG_CONFIG_HOME</c> or <c>~/.config</c>.</param>
internal sealed record UnixDirectories(string Root, string UserHome, string UserConfig)
{
    public static UnixDirectories OfThisUser()
    {
        string home = Environment.GetFolderPath(Environment.SpecialFolder.UserProfile);
        string? config = Environment.GetEnvironmentVariable("XDG_CONFIG_HOME");
        return new UnixDirectories("/", home, Path.IsPathFullyQualified(config ?? "") ? config! : Path.Combine(home, ".config"));
    }
}

internal static class ServiceManagerCommands
{
    /// <summary>Runs a service manager's tool that has to succeed.</summary>
    public static async Task<CommandOutput> RequireAsync(
        this ICommandRunner commands, string program, IReadOnlyList<string> arguments, CancellationToken cancellationToken)
    {
        CommandOutput output = await commands.AskAsync(program, arguments, cancellationToken).ConfigureAwait(false);
        if (output.Succeeded)
        {
            return output;
        }

        // sc.exe complains on standard output, the others on standard error.
        string complaint = (output.Errors.Length > 0 ? output.Errors : output.Text).Trim();
        throw new ServiceException($"`{program} {string.Join(' ', arguments)}` failed with exit code {output.ExitCode}: {complaint}");
    }

    /// <summary>Runs a service manager's tool whose exit code is an answer.</summary>
    public static async Task<CommandOutput> AskAsync(
        this ICommandRunner commands, string program, IReadOnlyList<string> arguments, CancellationToken cancellationToken) =>
        await commands.RunAsync(program, arguments, cancellationToken).ConfigureAwait(false)
        ?? throw new ServiceException($"`{program}` is not installed, or did not answer. Is this system's service manager another one?");
}
