using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace Federation.Standins.Grpc.Tests;

/// <summary>The node project in <c>interop/</c>: installs what it needs once, and starts its scripts.</summary>
internal static class NodeProject
{
    private static readonly SemaphoreSlim _gate = new(1, 1);

    private static string Folder { get; } = Path.Combine(Path.GetDirectoryName(ThisFile())!, "interop");

    /// <summary>Installs the packages of the lock file if that has not been done.</summary>
    public static async Task EnsureInstalledAsync()
    {
        await _gate.WaitAsync();
        try
        {
            if (Directory.Exists(Path.Combine(Folder, "node_modules", "@grpc", "grpc-js")))
                return;

            var npm = OperatingSystem.IsWindows() ? "npm.cmd" : "npm";
            using var install = Start(npm, "ci", "--no-progress");
            install.StandardInput.Close();
            var said = await Task.WhenAll(install.StandardOutput.ReadToEndAsync(), install.StandardError.ReadToEndAsync())
                .WaitAsync(TimeSpan.FromMinutes(5));
            await install.WaitForExitAsync();
            Assert.True(install.ExitCode == 0, $"npm ci failed: {string.Join('\n', said)}");
        }
        finally
        {
            _gate.Release();
        }
    }

    /// <summary>Starts a script with its standard streams redirected.</summary>
    public static Process StartScript(string script, params string[] arguments) => Start("node", [script, .. arguments]);

    private static Process Start(string program, params string[] arguments) => Process.Start(new ProcessStartInfo(program, arguments)
    {
        WorkingDirectory = Folder,
        RedirectStandardInput = true,
        RedirectStandardOutput = true,
        RedirectStandardError = true,
        UseShellExecute = false,
    }) ?? throw new InvalidOperationException($"Could not start {program}.");

    private static string ThisFile([CallerFilePath] string path = "") => path;
}
