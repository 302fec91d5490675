namespace Federation.Silo.Hubs;

/// <summary>
/// Keeps a second hub off a data directory with an embedded database: each would book and count as if it were alone. The system
/// lets go of it when the process ends, however it ends.
/// </summary>
internal static class DataLock
{
    /// <summary>Holds the directory until the result is disposed.</summary>
    /// <exception cref="IOException">Another hub holds it.</exception>
    public static IDisposable Take(string dataDirectory)
    {
        var path = Path.Combine(dataDirectory, "hub.lock");
        try
        {
            return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException exception) when (File.Exists(path))
        {
            throw new IOException($"Another hub runs on {Path.GetFullPath(dataDirectory)}. One database file is for one process; several need PostgreSQL.", exception);
        }
    }
}
