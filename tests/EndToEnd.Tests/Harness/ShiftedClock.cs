using System.Globalization;

namespace Federation.EndToEnd.Tests.Harness;

/// <summary>
/// A clock that a test moves for a hub's process: epochs, ages and the times in its records move with it, waits do not. It is Debian's
/// <c>libfaketime</c>, which <c>scripts/setup.sh --tests</c> installs.
/// </summary>
internal sealed class ShiftedClock : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    public ShiftedClock() => Shift(TimeSpan.Zero);

    /// <summary>What the process must be started with.</summary>
    public IReadOnlyDictionary<string, string> Environment => new Dictionary<string, string>
    {
        ["LD_PRELOAD"] = Library,
        ["FAKETIME_TIMESTAMP_FILE"] = File,
        ["FAKETIME_NO_CACHE"] = "1",
        ["FAKETIME_DONT_FAKE_MONOTONIC"] = "1",
    };

    private static string Library { get; } = Directory.EnumerateDirectories("/usr/lib").Select(directory => Path.Combine(directory, "faketime", "libfaketime.so.1")).FirstOrDefault(System.IO.File.Exists)
        ?? throw new FileNotFoundException("libfaketime is missing; scripts/setup.sh --tests installs it.");

    private string File => Path.Combine(_directory.Path, "offset");

    /// <summary>Moves the clock to so much after the real one.</summary>
    public void Shift(TimeSpan offset)
    {
        var next = File + ".next";
        System.IO.File.WriteAllText(next, string.Create(CultureInfo.InvariantCulture, $"+{offset.TotalSeconds:0}\n"));
        System.IO.File.Move(next, File, overwrite: true);
    }

    public void Dispose() => _directory.Dispose();
}
