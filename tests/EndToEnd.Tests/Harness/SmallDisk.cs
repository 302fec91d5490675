using System.Diagnostics;

namespace Federation.EndToEnd.Tests.Harness;

/// <summary>A file system of a test's own that is soon full. Whoever may not mount one has none.</summary>
internal sealed class SmallDisk : IAsyncDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private bool _isMounted;

    public string Path => _directory.Path;

    private string Filler => System.IO.Path.Combine(Path, "filler");

    /// <param name="megabytes">Its size.</param>
    /// <returns><see langword="null"/> where the test may not mount it.</returns>
    public static async Task<SmallDisk?> TryMountAsync(int megabytes)
    {
        var disk = new SmallDisk { _isMounted = false };
        disk._isMounted = await RunAsync("mount", "-t", "tmpfs", "-o", $"size={megabytes}m,mode=700", "none", disk.Path);
        if (disk._isMounted) return disk;
        await disk.DisposeAsync();
        return null;
    }

    /// <summary>Takes all that is left.</summary>
    public void Fill()
    {
        using var file = new FileStream(Filler, FileMode.Append, FileAccess.Write, FileShare.None, bufferSize: 0);
        // The last pages one by one.
        foreach (var size in new[] { 1 << 20, 4096 })
        {
            try
            {
                while (true) file.Write(new byte[size]);
            }
            catch (IOException)
            {
                // Full.
            }
        }
    }

    /// <summary>Gives it back.</summary>
    public void Free() => File.Delete(Filler);

    public async ValueTask DisposeAsync()
    {
        if (_isMounted) await RunAsync("umount", "--lazy", Path);
        _directory.Dispose();
    }

    private static async Task<bool> RunAsync(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
        await process.WaitForExitAsync();
        return process.ExitCode == 0;
    }
}
