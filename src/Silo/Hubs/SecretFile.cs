namespace Federation.Silo.Hubs;

/// <summary>A file only its owner may read.</summary>
internal static class SecretFile
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    /// <summary>The file's text; <see langword="null"/> when there is none.</summary>
    /// <exception cref="UnauthorizedAccessException">Others may read it.</exception>
    public static string? TryRead(string path)
    {
        if (!File.Exists(path)) return null;
        if (!OperatingSystem.IsWindows() && (File.GetUnixFileMode(path) & ~OwnerOnly) != 0)
            throw new UnauthorizedAccessException($"{path} can be read by others. Run: chmod 600 {path}");
        return File.ReadAllText(path);
    }

    /// <summary>Writes the file whole or not at all; <see langword="false"/> when it was there already.</summary>
    public static bool TryCreate(string path, string text)
    {
        var draft = $"{path}.{Environment.ProcessId}.new";
        var options = new FileStreamOptions { Mode = FileMode.Create, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows()) options.UnixCreateMode = OwnerOnly;
        using (var file = new StreamWriter(draft, options)) file.Write(text);
        try
        {
            File.Move(draft, path, overwrite: false);
            return true;
        }
        catch (IOException) when (File.Exists(path))
        {
            File.Delete(draft);
            return false;
        }
    }
}
