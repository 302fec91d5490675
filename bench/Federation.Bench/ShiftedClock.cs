using System.Globalization;

namespace Federation.Bench;

/// <summary>A hub's clock that is moved on by hours, so that an epoch ends now: Debian's <c>libfaketime</c>. Waits are not moved.</summary>
internal sealed class ShiftedClock : IDisposable
{
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("federation-bench");

    public ShiftedClock() => Shift(TimeSpan.Zero);

    /// <summary>What the hub is started with.</summary>
    public Dictionary<string, string> Environment => new()
    {
        ["LD_PRELOAD"] = Directory.EnumerateDirectories("/usr/lib").Select(directory => Path.Combine(directory, "faketime", "libfaketime.so.1")).First(System.IO.File.Exists),
        ["FAKETIME_TIMESTAMP_FILE"] = File,
        // Seconds. To look at the file at every look at the clock would cost more than all that is measured.
        ["FAKETIME_CACHE_DURATION"] = "1",
        ["FAKETIME_DONT_FAKE_MONOTONIC"] = "1",
    };

    private string File => Path.Combine(_directory.FullName, "offset");

    /// <summary>Moves the clock to so much after the real one.</summary>
    public void Shift(TimeSpan offset)
    {
        System.IO.File.WriteAllText($"{File}.next", string.Create(CultureInfo.InvariantCulture, $"+{offset.TotalSeconds:0}\n"));
        System.IO.File.Move($"{File}.next", File, overwrite: true);
    }

    public void Dispose() => _directory.Delete(recursive: true);
}
