using System.Runtime.InteropServices;

namespace Federation.NodeAgent.Hardware;

/// <summary>Knows the GPUs of some vendors. What it cannot find out it leaves out or null; it does not throw for it.</summary>
internal interface IGpuProbe
{
    Task<IReadOnlyList<GpuDevice>> DetectAsync(CancellationToken cancellationToken);

    /// <summary>The moving part only, cheaply, of the devices that <see cref="DetectAsync"/> found.</summary>
    Task<IReadOnlyList<GpuLoad>> DetectLoadAsync(CancellationToken cancellationToken);
}

/// <summary>Knows everything about the machine but its GPUs.</summary>
internal interface IHostProbe
{
    Task<HostInfo> DetectAsync(CancellationToken cancellationToken);

    /// <summary>How long the cores have worked since the machine started; null if the system does not tell.</summary>
    CpuTimes? ReadCpuTimes();
}

/// <summary>The machine without its GPUs.</summary>
internal sealed record HostInfo(OperatingSystemInfo System, CpuInfo Cpu, MemoryInfo Memory)
{
    /// <summary>A machine that tells nothing.</summary>
    public static HostInfo Unknown => new(
        new OperatingSystemInfo(Family, null, null, Architecture), new CpuInfo(null, null, null, []), new MemoryInfo(null, null));

    /// <summary><c>x64</c>, <c>arm64</c>…: of this machine.</summary>
    public static string Architecture { get; } = RuntimeInformation.OSArchitecture.ToString().ToLowerInvariant();

    private static string Family =>
        OperatingSystem.IsWindows() ? "windows"
        : OperatingSystem.IsMacOS() ? "macos"
        : OperatingSystem.IsLinux() ? "linux"
        : Environment.OSVersion.Platform.ToString().ToLowerInvariant();
}

/// <summary>Time of all cores together, in whatever unit the system counts.</summary>
internal readonly record struct CpuTimes(ulong Busy, ulong Total)
{
    /// <summary>0 to 1: the load between an earlier reading and this one; null if nothing can be said.</summary>
    public double? LoadSince(CpuTimes earlier) =>
        Total > earlier.Total && Busy >= earlier.Busy && Busy - earlier.Busy <= Total - earlier.Total
            ? (double)(Busy - earlier.Busy) / (Total - earlier.Total)
            : null;
}
