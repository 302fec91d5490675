using Federation.Protocol.Machine;

namespace Federation.NodeAgent.Configuration;

/// <summary>
/// One agent at a time runs with one key: two would take the hub's connection from each other again and again, and neither would
/// work. The system lets go of the lock when the process ends, however it ends.
/// </summary>
internal static class AgentLock
{
    /// <summary>Holds it until the result is disposed.</summary>
    /// <exception cref="InvalidOperationException">Another agent holds it.</exception>
    public static IDisposable Take(AgentPaths paths)
    {
        var options = new FileStreamOptions { Mode = FileMode.OpenOrCreate, Access = FileAccess.ReadWrite, Share = FileShare.None };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = PrivateFile.OwnerOnly;
        }

        try
        {
            return new FileStream(paths.LockFile, options);
        }
        catch (IOException exception) when (File.Exists(paths.LockFile))
        {
            throw new InvalidOperationException($"An agent runs with {paths.Home} already; see: federation-node status", exception);
        }
    }
}
