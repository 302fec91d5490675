using System.Globalization;

namespace Federation.TestClock;

/// <summary>
/// A clock that is moved for a hub's process: epochs, ages and the times in its records move with it, waits do not. The process gets it as a service of its own host
/// (<see cref="ShiftedClockStartup"/>): what moves is the hub's clock, not the machine's. To be disposed of after the process.
/// </summary>
public sealed class ShiftedClock : IDisposable, IAsyncDisposable
{
    internal const string FileVariable = "FEDERATION_SHIFTED_CLOCK";

    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("federation-clock");

    public ShiftedClock() => Shift(TimeSpan.Zero);

    /// <summary>What the process must be started with.</summary>
    public IReadOnlyDictionary<string, string> Environment => new Dictionary<string, string>
    {
        // Loads this assembly, which the process does not know; the host then finds it by name.
        ["DOTNET_STARTUP_HOOKS"] = typeof(ShiftedClock).Assembly.Location,
        ["ASPNETCORE_HOSTINGSTARTUPASSEMBLIES"] = typeof(ShiftedClock).Assembly.GetName().Name!,
        [FileVariable] = File,
    };

    private string File => Path.Combine(_directory.FullName, "offset");

    /// <summary>Moves the clock to so much after the real one; the process sees it a moment later.</summary>
    public void Shift(TimeSpan offset)
    {
        System.IO.File.WriteAllText($"{File}.next", offset.Ticks.ToString(CultureInfo.InvariantCulture));
        System.IO.File.Move($"{File}.next", File, overwrite: true);
    }

    public void Dispose() => _directory.Delete(recursive: true);

    public ValueTask DisposeAsync()
    {
        Dispose();
        return ValueTask.CompletedTask;
    }
}
