using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace Federation.NodeAgent.Configuration;

/// <summary>
/// Writes files that only their owner may read. The mode is given at creation, never afterwards, so there is no moment in which
/// another user could open the file. On Windows the access list of the user's profile does the same.
/// </summary>
internal static partial class PrivateFile
{
    public const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    public const UnixFileMode Others =
        UnixFileMode.GroupRead | UnixFileMode.GroupWrite | UnixFileMode.GroupExecute
        | UnixFileMode.OtherRead | UnixFileMode.OtherWrite | UnixFileMode.OtherExecute;

    public static void EnsureDirectory(string path)
    {
        if (OperatingSystem.IsWindows())
        {
            Directory.CreateDirectory(path);
        }
        else
        {
            Directory.CreateDirectory(path, OwnerOnly | UnixFileMode.UserExecute);
        }
    }

    /// <summary>Whoever reads <paramref name="path"/> sees all of the old content or all of the new, also after a power cut.</summary>
    public static void Replace(string path, ReadOnlySpan<byte> content) => Write(path, content, overwrite: true);

    /// <summary>As <see cref="Replace"/>, but a file that is already there stays.</summary>
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

    /// <summary>Reads a file that is expected to be small.</summary>
    /// <exception cref="InvalidDataException">It has more than <paramref name="maxBytes"/>.</exception>
    public static byte[] Read(Stream file, int maxBytes)
    {
        byte[] buffer = new byte[maxBytes + 1];
        int length = file.ReadAtLeast(buffer, buffer.Length, throwOnEndOfStream: false);
        return length <= maxBytes ? buffer[..length] : throw new InvalidDataException($"The file has more than {maxBytes} bytes.");
    }

    private static void Write(string path, ReadOnlySpan<byte> content, bool overwrite)
    {
        string temporary = $"{path}.{RandomNumberGenerator.GetHexString(8, lowercase: true)}.tmp";
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, Share = FileShare.None };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = OwnerOnly;
        }

        try
        {
            using (var file = new FileStream(temporary, options))
            {
                file.Write(content);
                file.Flush(flushToDisk: true);
            }

            // File.Move asks whether the file is there and then renames: of two at once, both would win. A hard link is refused by the file system itself.
            if (overwrite || OperatingSystem.IsWindows() || Link(temporary, path) != 0)
            {
                File.Move(temporary, path, overwrite);
            }
        }
        finally
        {
            // Nothing to do after the move; after a failure this is the rest of it.
            File.Delete(temporary);
        }
    }

    // Fails where the file is there, and on file systems without hard links; File.Move then knows which.
    [LibraryImport("libc", EntryPoint = "link", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Link(string existing, string created);
}
