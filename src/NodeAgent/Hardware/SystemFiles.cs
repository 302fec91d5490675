using System.Text;

namespace Federation.NodeAgent.Hardware;

/// <summary>
/// The files in which a kernel describes its machine: <c>/proc</c>, <c>/sys</c>, <c>/etc</c>. Everything can be missing, unreadable
/// or fail in the middle of reading; all of that is null.
/// </summary>
/// <param name="root">The directory that stands for <c>/</c>; another one in tests.</param>
internal sealed class SystemFiles(string root)
{
    /// <summary>More than <c>/proc/cpuinfo</c> has with a thousand cores.</summary>
    private const int MaxBytes = 4 << 20;

    /// <summary>Entries of a directory that are looked at.</summary>
    private const int MaxEntries = 4096;

    public string? ReadText(string path)
    {
        try
        {
            using FileStream file = File.OpenRead(Path.Combine(root, path));
            // These files claim any length, 0 or 4096; what counts is what comes.
            using var content = new MemoryStream();
            byte[] buffer = new byte[4096];
            while (file.Read(buffer) is > 0 and var read)
            {
                if (content.Length + read > MaxBytes)
                {
                    return null;
                }

                content.Write(buffer, 0, read);
            }

            return Encoding.UTF8.GetString(content.GetBuffer(), 0, (int)content.Length);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    public long? ReadNumber(string path) => Readings.WholeNumber(ReadText(path));

    /// <summary>The lines of a large file, one by one; none if it cannot be read.</summary>
    public IEnumerable<string> ReadLines(string path)
    {
        StreamReader? reader = OpenText(path);
        if (reader is null)
        {
            yield break;
        }

        using (reader)
        {
            while (TryReadLine(reader) is { } line)
            {
                yield return line;
            }
        }
    }

    /// <summary>Names of the files and directories in a directory, sorted; none if it cannot be read.</summary>
    public IReadOnlyList<string> List(string path)
    {
        try
        {
            string[] names =
            [
                .. Directory.EnumerateFileSystemEntries(Path.Combine(root, path)).Take(MaxEntries).Select(entry => Path.GetFileName(entry)),
            ];
            Array.Sort(names, StringComparer.Ordinal);
            return names;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }

    private StreamReader? OpenText(string path)
    {
        try
        {
            return new StreamReader(Path.Combine(root, path), Encoding.UTF8);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static string? TryReadLine(StreamReader reader)
    {
        try
        {
            return reader.ReadLine();
        }
        catch (IOException)
        {
            return null;
        }
    }
}
