using System.Text.RegularExpressions;

namespace Federation.NodeAgent.Service;

/// <summary>Whose service it is.</summary>
public enum ServiceScope
{
    /// <summary>The contributor's own: no administrator needed, runs while the user is logged in (systemd: longer with lingering).</summary>
    User,

    /// <summary>The machine's: runs from boot, installed by an administrator. The only kind on Windows.</summary>
    Machine,
}

/// <summary>What a service manager has to know to run the agent in the background. Checked when made.</summary>
public sealed partial record ServiceDefinition
{
    /// <summary>The service's name with every service manager.</summary>
    public const string Name = "federation-node";

    /// <summary>
    /// The agent's exit code when only its owner can help (wrong settings, no key): the service manager then does not start it again.
    /// It is sysexits' EX_CONFIG.
    /// </summary>
    public const int ConfigurationErrorExitCode = 78;

    /// <summary>How long the agent may take to finish what runs when it is stopped.</summary>
    public static readonly TimeSpan StopTimeout = TimeSpan.FromMinutes(2);

    /// <param name="executable"><see cref="Executable"/>.</param>
    /// <param name="home"><see cref="Home"/>.</param>
    /// <param name="scope"><see cref="Scope"/>.</param>
    /// <param name="runAs"><see cref="RunAs"/>.</param>
    /// <exception cref="ServiceException">A path is relative or holds control characters, the account's name is none, or does not fit the scope.</exception>
    public ServiceDefinition(string executable, string home, ServiceScope scope, string? runAs = null)
    {
        Executable = CheckPath(executable);
        Home = CheckPath(home);
        Scope = scope;
        RunAs = runAs;
        if (runAs is not null && (scope != ServiceScope.Machine || !AccountName().IsMatch(runAs)))
        {
            throw new ServiceException(scope == ServiceScope.Machine
                ? $"\"{runAs}\" is not the name of an account."
                : "A service of your own runs as yourself; leave the account out, or install it for the machine.");
        }
    }

    /// <summary>The agent's program file, absolute.</summary>
    public string Executable { get; }

    /// <summary>Its <c>FEDERATION_NODE_HOME</c>, absolute.</summary>
    public string Home { get; }

    /// <summary>Whose service it is.</summary>
    public ServiceScope Scope { get; }

    /// <summary>
    /// The account it runs as, for <see cref="ServiceScope.Machine"/>. Null: root on Linux and macOS, an account of the service's own on
    /// Windows.
    /// </summary>
    public string? RunAs { get; }

    /// <summary>This program as a service.</summary>
    /// <exception cref="ServiceException">It runs inside the <c>dotnet</c> host, whose command line a service should not depend on.</exception>
    public static ServiceDefinition ForThisProgram(string home, ServiceScope scope, string? runAs = null)
    {
        string? executable = Environment.ProcessPath;
        return executable is null || Path.GetFileNameWithoutExtension(executable) == "dotnet"
            ? throw new ServiceException("Only a published agent can be installed as a service; this one runs inside `dotnet`.")
            : new ServiceDefinition(executable, home, scope, runAs);
    }

    private static string CheckPath(string path) =>
        Path.IsPathFullyQualified(path) && !path.Any(char.IsControl)
            ? path
            : throw new ServiceException($"A service needs an absolute path, not \"{path}\".");

    [GeneratedRegex(@"\A[A-Za-z_][A-Za-z0-9_.-]{0,63}\z")]
    private static partial Regex AccountName();
}

/// <summary>A service could not be installed, removed or asked. The message can be shown as it is.</summary>
public sealed class ServiceException(string message) : Exception(message);
