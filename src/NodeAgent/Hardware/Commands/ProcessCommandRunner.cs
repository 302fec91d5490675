using System.ComponentModel;
using System.Diagnostics;
using System.Text;

namespace Federation.NodeAgent.Hardware.Commands;

/// <summary>
/// Runs helper programs with bounded time and output. A program is looked for in the absolute directories of <c>PATH</c> and in the
/// places where vendors put them, never in the working directory: an agent started in a downloads folder must not run what lies there.
/// </summary>
/// <param name="timeProvider">Measures <paramref name="timeout"/>.</param>
/// <param name="timeout">How long a program may run; default ten seconds (<c>system_profiler</c> takes two or three).</param>
/// <param name="maxOutputBytes">How much it may print; default one MiB.</param>
internal sealed class ProcessCommandRunner(TimeProvider timeProvider, TimeSpan? timeout = null, int maxOutputBytes = 1 << 20) : ICommandRunner
{
    private const int MaxErrorBytes = 8 * 1024;

    private static readonly TimeSpan _defaultTimeout = TimeSpan.FromSeconds(10);

    private static readonly string[] _usualPlaces = OperatingSystem.IsWindows()
        ? [Environment.SystemDirectory, Path.Combine(Environment.SystemDirectory, "WindowsPowerShell", "v1.0")]
        : ["/usr/bin", "/bin", "/usr/sbin", "/sbin", "/opt/rocm/bin", "/usr/lib/wsl/lib"];

    public async Task<CommandOutput?> RunAsync(string program, IReadOnlyList<string> arguments, CancellationToken cancellationToken)
    {
        if (Find(program) is not { } path)
        {
            return null;
        }

        using var deadline = new CancellationTokenSource(timeout ?? _defaultTimeout, timeProvider);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
        using var process = new Process { StartInfo = StartInfo(path, arguments) };
        try
        {
            process.Start();
        }
        catch (Exception exception) when (exception is Win32Exception or IOException)
        {
            return null; // not a program, or not for this machine
        }

        try
        {
            process.StandardInput.Close();
            Task<byte[]?> output = ReadAsync(process.StandardOutput.BaseStream, stop.Token);
            Task<byte[]> errors = ReadBeginningAsync(process.StandardError.BaseStream, stop.Token);
            byte[]? text = await output.ConfigureAwait(false);
            if (text is null)
            {
                return null;
            }

            byte[] complaints = await errors.ConfigureAwait(false);
            await process.WaitForExitAsync(stop.Token).ConfigureAwait(false);
            return new CommandOutput(process.ExitCode, Encoding.UTF8.GetString(text), Encoding.UTF8.GetString(complaints));
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return null; // too slow
        }
        catch (IOException)
        {
            return null; // a pipe broke
        }
        finally
        {
            KillIfRunning(process);
        }
    }

    private static ProcessStartInfo StartInfo(string path, IReadOnlyList<string> arguments)
    {
        var start = new ProcessStartInfo(path, arguments)
        {
            UseShellExecute = false,
            CreateNoWindow = true,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        // Numbers with points and English words, wherever the contributor lives.
        start.Environment["LC_ALL"] = "C";
        return start;
    }

    /// <summary>Null if there is more than allowed.</summary>
    private async Task<byte[]?> ReadAsync(Stream stream, CancellationToken cancellationToken)
    {
        using var content = new MemoryStream();
        byte[] buffer = new byte[16 * 1024];
        while (await stream.ReadAsync(buffer, cancellationToken).ConfigureAwait(false) is > 0 and var read)
        {
            if (content.Length + read > maxOutputBytes)
            {
                return null;
            }

            content.Write(buffer, 0, read);
        }

        return content.ToArray();
    }

    /// <summary>Reads to the end and keeps the beginning: a program that waits for room in its error pipe never ends.</summary>
    private static async Task<byte[]> ReadBeginningAsync(Stream stream, CancellationToken cancellationToken)
    {
        using var content = new MemoryStream();
        byte[] buffer = new byte[4096];
        while (await stream.ReadAsync(buffer, cancellationToken).ConfigureAwait(false) is > 0 and var read)
        {
            content.Write(buffer, 0, (int)Math.Min(read, MaxErrorBytes - content.Length));
        }

        return content.ToArray();
    }

    private static string? Find(string program)
    {
        string fileName = OperatingSystem.IsWindows() ? program + ".exe" : program;
        string[] path = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries);
        // The system's own places come first, so that a stray PATH entry cannot stand in for a program that is there.
        return _usualPlaces
            .Concat(path)
            .Where(Path.IsPathFullyQualified)
            .Select(directory => Path.Combine(directory, fileName))
            .FirstOrDefault(File.Exists);
    }

    private static void KillIfRunning(Process process)
    {
        try
        {
            if (!process.HasExited)
            {
                process.Kill(entireProcessTree: true);
            }
        }
        catch (Exception exception) when (exception is InvalidOperationException or Win32Exception or AggregateException)
        {
            // It ended by itself in this moment, or it is not ours to end.
            Debug.WriteLine(exception);
        }
    }
}
