using Federation.Protocol.Machine;

namespace Federation.NodeAgent.Configuration;

/// <summary>Where the agent keeps what belongs to it. One directory holds everything, so that moving a node is copying it.</summary>
/// <param name="Home">
/// <c>$FEDERATION_NODE_HOME</c>; else <c>federation-node</c> under <c>$XDG_CONFIG_HOME</c> or <c>~/.config</c> (Linux),
/// <c>~/Library/Application Support</c> (macOS), <c>%APPDATA%</c> (Windows). Always absolute.
/// </param>
public sealed record AgentPaths(string Home)
{
    /// <summary>The variable that overrules every default.</summary>
    public const string HomeVariable = "FEDERATION_NODE_HOME";

    private const string DirectoryName = "federation-node";

    /// <summary>The settings: <see cref="AgentConfig"/>.</summary>
    public string ConfigFile => Path.Combine(Home, "config.json");

    /// <summary>The node's private key: <see cref="NodeKey"/>.</summary>
    public string KeyFile => Path.Combine(Home, "node.key");

    /// <summary>Held by the agent that runs: <see cref="AgentLock"/>.</summary>
    public string LockFile => Path.Combine(Home, "agent.lock");

    /// <summary>Where the built-in engine looks for models unless its configuration says otherwise.</summary>
    public string ModelsDirectory => Path.Combine(Home, "models");

    /// <summary>The paths of the user who runs this process.</summary>
    /// <exception cref="InvalidOperationException">The user has no home directory and <see cref="HomeVariable"/> is not set.</exception>
    public static AgentPaths Resolve() => Resolve(CurrentPlatform, Environment.GetEnvironmentVariable);

    private static Platform CurrentPlatform =>
        OperatingSystem.IsWindows() ? Platform.Windows
        : OperatingSystem.IsMacOS() ? Platform.MacOS
        : Platform.Linux;

    internal static AgentPaths Resolve(Platform platform, Func<string, string?> variable)
    {
        if (Variable(HomeVariable) is { } home)
        {
            return new AgentPaths(Path.GetFullPath(home));
        }

        string? parent = platform switch
        {
            Platform.Windows => Variable("APPDATA"),
            Platform.MacOS => Under(Variable("HOME"), Path.Combine("Library", "Application Support")),
            // The XDG specification: a relative path is to be ignored.
            _ => Variable("XDG_CONFIG_HOME") is { } xdg && Path.IsPathRooted(xdg) ? xdg : Under(Variable("HOME"), ".config"),
        };

        return parent is null
            ? throw new InvalidOperationException(
                $"There is no home directory to keep the node's key in. Set {HomeVariable} to a directory that only this user can read.")
            : new AgentPaths(Path.GetFullPath(Path.Combine(parent, DirectoryName)));

        string? Variable(string name) => variable(name) is { } value && !string.IsNullOrWhiteSpace(value) ? value : null;

        static string? Under(string? directory, string name) => directory is null ? null : Path.Combine(directory, name);
    }

    /// <summary>Makes <see cref="Home"/> if it is not there, readable by its user only.</summary>
    /// <exception cref="IOException">A file is in the way.</exception>
    /// <exception cref="UnauthorizedAccessException">The user may not write there.</exception>
    public void EnsureHome() => PrivateFile.EnsureDirectory(Home);

    internal enum Platform
    {
        Linux,
        MacOS,
        Windows,
    }
}
