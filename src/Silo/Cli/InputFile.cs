namespace Federation.Silo.Cli;

/// <summary>A file, or standard input, that a command reads whole; bounded.</summary>
internal static class InputFile
{
    /// <summary>Reads it.</summary>
    /// <param name="path">A file; - for standard input.</param>
    /// <param name="maxBytes">Longer is refused.</param>
    /// <param name="cancellationToken">Stops the reading.</param>
    /// <exception cref="IOException">It cannot be read, or is longer.</exception>
    public static async Task<byte[]> ReadAsync(string path, long maxBytes, CancellationToken cancellationToken)
    {
        await using var input = path == "-" ? Console.OpenStandardInput() : File.OpenRead(path);
        using var read = new MemoryStream();
        var buffer = new byte[64 * 1024];
        while (await input.ReadAsync(buffer, cancellationToken) is > 0 and var count)
        {
            if (read.Length + count > maxBytes) throw new IOException($"{path} is longer than {maxBytes} bytes.");
            read.Write(buffer, 0, count);
        }
        return read.ToArray();
    }
}
