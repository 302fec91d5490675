using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;

namespace Federation.Protocol.Machine;

/// <summary>
/// Files that only their owner may read: keys and settings. The mode is given at creation, never afterwards, so there is no moment in which
/// another user could open the file. On Windows the access list of the user's profile does the same.
/// </summary>
public static class PrivateFile
{
    /// <summary>What such a file's mode is.</summary>
    public const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    /// <summary>What its mode must not have.</summary>
    public const UnixFileMode Others =
        UnixFileMode.GroupRead | UnixFileMode.GroupWrite | UnixFileMode.GroupExecute
        | UnixFileMode.OtherRead | UnixFileMode.OtherWrite | UnixFileMode.OtherExecute;

    /// <summary>Makes a directory that only its owner may look into; one that is there already stays as it is.</summary>
    public static void EnsureDirectory(string path)
    {
        if (OperatingSystem.IsWindows()) Directory.CreateDirectory(path);
        else Directory.CreateDirectory(path, OwnerOnly | UnixFileMode.UserExecute);
    }

    /// <summary>Whoever reads <paramref name="path"/> sees all of the old content or all of the new, also after a power cut.</summary>
    public static void Replace(string path, ReadOnlySpan<byte> content) => Write(path, content, overwrite: true);

    /// <summary>As <see cref="Replace"/>, but a file that is already there stays: of several at once, in whatever processes, one makes it.</summary>
    /// <returns>False if there was one.</returns>
    public static bool TryCreate(string path, ReadOnlySpan<byte> content)
    {
        try
        {
            Write(path, content, overwrite: false);
            return true;
        }
        catch (IOException) when (File.Exists(path))
        {
            return false;
        }
    }

    /// <inheritdoc cref="TryCreate(string, ReadOnlySpan{byte})"/>
    public static bool TryCreate(string path, string text) => TryCreate(path, Encoding.UTF8.GetBytes(text));

    /// <summary>The text of a secret; <see langword="null"/> when there is none.</summary>
    /// <exception cref="UnauthorizedAccessException">Others may read it.</exception>
    /// <exception cref="InvalidDataException">It has more than <paramref name="maxBytes"/>.</exception>
    public static string? TryReadSecret(string path, int maxBytes)
    {
        try
        {
            using var file = File.OpenRead(path);
            if (IsOpenToOthers(file)) throw new UnauthorizedAccessException($"{path} can be read by others. Run: chmod 600 {path}");
            return Encoding.UTF8.GetString(Read(file, maxBytes));
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
    }

    /// <summary>Whether anybody but its owner may do anything with the file that was opened.</summary>
    public static bool IsOpenToOthers(FileStream file)
    {
        ArgumentNullException.ThrowIfNull(file);
        return !OperatingSystem.IsWindows() && (File.GetUnixFileMode(file.SafeFileHandle) & Others) != 0;
    }

    /// <summary>Reads a file that is expected to be small.</summary>
    /// <exception cref="InvalidDataException">It has more than <paramref name="maxBytes"/>.</exception>
    public static byte[] Read(Stream file, int maxBytes)
    {
        ArgumentNullException.ThrowIfNull(file);
        var buffer = new byte[maxBytes + 1];
        var length = file.ReadAtLeast(buffer, buffer.Length, throwOnEndOfStream: false);
        return length <= maxBytes ? buffer[..length] : throw new InvalidDataException($"The file has more than {maxBytes} bytes.");
    }

    private static void Write(string path, ReadOnlySpan<byte> content, bool overwrite)
    {
        var temporary = $"{path}.{RandomNumberGenerator.GetHexString(8, lowercase: true)}.tmp";
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, Share = FileShare.None };
        if (!OperatingSystem.IsWindows()) options.UnixCreateMode = OwnerOnly;
        try
        {
            using (var file = new FileStream(temporary, options))
            {
                file.Write(content);
                file.Flush(flushToDisk: true);
            }
            // File.Move asks whether the file is there and then renames: of two at once, both would win. A hard link is refused by the file system itself.
            if (overwrite || OperatingSystem.IsWindows() || Link(temporary, path) != 0) File.Move(temporary, path, overwrite);
        }
        finally
        {
            // Nothing to do after the move; after a failure this is the rest of it.
            File.Delete(temporary);
        }
    }

    // Fails where the file is there, and on file systems without hard links; File.Move then knows which.
    [DllImport("libc", EntryPoint = "link")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Link([MarshalAs(UnmanagedType.LPUTF8Str)] string existing, [MarshalAs(UnmanagedType.LPUTF8Str)] string created);
}
