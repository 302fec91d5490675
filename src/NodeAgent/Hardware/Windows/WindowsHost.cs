using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;
using System.Runtime.Versioning;

namespace Federation.NodeAgent.Hardware.Windows;

/// <summary>A Windows machine: names through WMI, figures from the kernel.</summary>
internal sealed partial class WindowsHost(WindowsInventory inventory) : IHostProbe
{
    public async Task<HostInfo> DetectAsync(CancellationToken cancellationToken)
    {
        WindowsFacts facts = await inventory.ReadAsync(cancellationToken).ConfigureAwait(false);
        return new HostInfo(
            new OperatingSystemInfo("windows", facts.SystemName, facts.SystemVersion ?? Environment.OSVersion.Version.ToString(), HostInfo.Architecture),
            new CpuInfo(facts.CpuModel, facts.PhysicalCores, facts.LogicalCores ?? Environment.ProcessorCount, Features()),
            OperatingSystem.IsWindows() ? ReadMemory() : new MemoryInfo(null, null));
    }

    public CpuTimes? ReadCpuTimes()
    {
        if (!OperatingSystem.IsWindows() || !GetSystemTimes(out long idle, out long kernel, out long user))
        {
            return null;
        }

        // Idle time is counted as time in the kernel.
        long total = kernel + user;
        return idle >= 0 && idle <= total ? new CpuTimes((ulong)(total - idle), (ulong)total) : null;
    }

    /// <summary>WMI does not list them; the runtime asked the processor when it started.</summary>
    internal static IReadOnlyList<string> Features()
    {
        (string Name, bool Supported)[] features =
        [
            ("avx", Avx.IsSupported),
            ("avx2", Avx2.IsSupported),
            ("avx512f", Avx512F.IsSupported),
            ("avxvnni", AvxVnni.IsSupported),
            ("dotprod", Dp.IsSupported),
            ("fma", Fma.IsSupported),
            ("neon", AdvSimd.IsSupported),
            ("sse4.2", Sse42.IsSupported),
        ];
        return [.. features.Where(feature => feature.Supported).Select(feature => feature.Name)];
    }

    [SupportedOSPlatform("windows")]
    private static MemoryInfo ReadMemory()
    {
        var status = new MemoryStatus { Length = (uint)Marshal.SizeOf<MemoryStatus>() };
        return GlobalMemoryStatusEx(ref status)
            ? new MemoryInfo(Readings.Bytes((long?)status.TotalPhysical), Readings.Bytes((long?)status.AvailablePhysical))
            : new MemoryInfo(null, null);
    }

    [SupportedOSPlatform("windows")]
    [LibraryImport("kernel32.dll", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.System32)]
    [return: MarshalAs(UnmanagedType.Bool)]
    private static partial bool GlobalMemoryStatusEx(ref MemoryStatus status);

    [SupportedOSPlatform("windows")]
    [LibraryImport("kernel32.dll", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.System32)]
    [return: MarshalAs(UnmanagedType.Bool)]
    private static partial bool GetSystemTimes(out long idle, out long kernel, out long user);

    /// <summary>MEMORYSTATUSEX.</summary>
    private struct MemoryStatus
    {
        public uint Length;
        public uint MemoryLoad;
        public ulong TotalPhysical;
        public ulong AvailablePhysical;
        public ulong TotalPageFile;
        public ulong AvailablePageFile;
        public ulong TotalVirtual;
        public ulong AvailableVirtual;
        public ulong AvailableExtendedVirtual;
    }
}
