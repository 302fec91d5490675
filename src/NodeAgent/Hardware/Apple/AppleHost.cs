using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using Federation.NodeAgent.Hardware.Commands;

namespace Federation.NodeAgent.Hardware.Apple;

/// <summary>A Mac, through <c>sysctl</c> and <c>vm_stat</c>.</summary>
internal sealed partial class AppleHost(ICommandRunner commands) : IHostProbe
{
    private const int MaxCores = 1024;

    private static readonly string[] _keys = ["hw", "machdep.cpu", "kern.osproductversion"];

    // Apple silicon's flags are values of 1 under hw.optional; Intel's are words in machdep.cpu.*features.
    private static readonly Dictionary<string, string> _armFeatures = new(StringComparer.Ordinal)
    {
        ["hw.optional.AdvSIMD"] = "neon",
        ["hw.optional.neon"] = "neon",
        ["hw.optional.arm.FEAT_DotProd"] = "dotprod",
        ["hw.optional.arm.FEAT_FP16"] = "fp16",
        ["hw.optional.arm.FEAT_BF16"] = "bf16",
        ["hw.optional.arm.FEAT_I8MM"] = "i8mm",
        ["hw.optional.arm.FEAT_SME"] = "sme",
    };

    private static readonly Dictionary<string, string> _intelFeatures = new(StringComparer.Ordinal)
    {
        ["SSE4.2"] = "sse4.2",
        ["AVX1.0"] = "avx",
        ["AVX2"] = "avx2",
        ["FMA"] = "fma",
        ["F16C"] = "f16c",
        ["AVX512F"] = "avx512f",
    };

    public async Task<HostInfo> DetectAsync(CancellationToken cancellationToken)
    {
        // sysctl fails if one of several keys is unknown and prints the others.
        Task<CommandOutput?> sysctl = commands.RunAsync("sysctl", _keys, cancellationToken);
        Task<CommandOutput?> vmStat = commands.RunAsync("vm_stat", [], cancellationToken);
        IReadOnlyDictionary<string, string> settings = ParseSysctl((await sysctl.ConfigureAwait(false))?.Text ?? "");
        long? available = ParseAvailableMemory((await vmStat.ConfigureAwait(false))?.Text ?? "");
        return ToHost(settings, available, HostInfo.Architecture);
    }

    public CpuTimes? ReadCpuTimes() => OperatingSystem.IsMacOS() ? MachHost.ReadCpuTimes() : null;

    /// <summary>Lines of <c>key: value</c>.</summary>
    internal static IReadOnlyDictionary<string, string> ParseSysctl(string text)
    {
        var settings = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (string line in text.Split('\n'))
        {
            if (line.Split(": ", 2) is [var key, var value])
            {
                settings.TryAdd(key.Trim(), value.Trim());
            }
        }

        return settings;
    }

    internal static HostInfo ToHost(IReadOnlyDictionary<string, string> sysctl, long? availableBytes, string architecture)
    {
        var features = new SortedSet<string>(StringComparer.Ordinal);
        features.UnionWith(_armFeatures.Where(feature => sysctl.GetValueOrDefault(feature.Key) == "1").Select(feature => feature.Value));
        features.UnionWith($"{sysctl.GetValueOrDefault("machdep.cpu.features")} {sysctl.GetValueOrDefault("machdep.cpu.leaf7_features")}"
            .Split(' ')
            .Where(_intelFeatures.ContainsKey)
            .Select(feature => _intelFeatures[feature]));

        return new HostInfo(
            new OperatingSystemInfo("macos", "macOS", Readings.Text(sysctl.GetValueOrDefault("kern.osproductversion")), architecture),
            new CpuInfo(
                Readings.Text(sysctl.GetValueOrDefault("machdep.cpu.brand_string")),
                Readings.Count(Number("hw.physicalcpu"), MaxCores),
                Readings.Count(Number("hw.logicalcpu"), MaxCores),
                [.. features]),
            new MemoryInfo(TotalMemory(sysctl), availableBytes));

        long? Number(string key) => Readings.WholeNumber(sysctl.GetValueOrDefault(key));
    }

    internal static long? TotalMemory(IReadOnlyDictionary<string, string> sysctl) =>
        Readings.DeviceMemory(Readings.WholeNumber(sysctl.GetValueOrDefault("hw.memsize")));

    /// <summary>What <c>vm_stat</c> says could be had without swapping: pages that are free or hold what can be read again.</summary>
    internal static long? ParseAvailableMemory(string text)
    {
        const string PageSize = "page size of ";
        int start = text.IndexOf(PageSize, StringComparison.Ordinal);
        if (start < 0 || Readings.WholeNumber(text[(start + PageSize.Length)..].Split(' ', 2)[0]) is not (> 0 and <= 1 << 20 and var pageSize))
        {
            return null;
        }

        Dictionary<string, long> pages = text.Split('\n')
            .Select(line => line.Split(':', 2))
            .Where(parts => parts.Length == 2)
            .Select(parts => (Name: parts[0].Trim(), Count: Readings.WholeNumber(parts[1].Trim().TrimEnd('.'))))
            .Where(line => line.Count >= 0)
            .DistinctBy(line => line.Name)
            .ToDictionary(line => line.Name, line => line.Count!.Value, StringComparer.Ordinal);
        return pages.TryGetValue("Pages free", out long free) && pages.TryGetValue("Pages inactive", out long inactive)
            ? Readings.Bytes((double)free + inactive + pages.GetValueOrDefault("Pages speculative"), pageSize)
            : null;
    }

    /// <summary>The kernel's own counters, of which no helper program gives more than an average.</summary>
    [SupportedOSPlatform("macos")]
    private static unsafe partial class MachHost
    {
        private const int CpuLoadInfo = 3; // HOST_CPU_LOAD_INFO
        private const int States = 4; // user, system, idle, nice
        private const int Idle = 2;

        /// <summary>Asked once: each question would add a reference to the kernel's port.</summary>
        private static readonly uint _host = MachHostSelf();

        public static CpuTimes? ReadCpuTimes()
        {
            uint* ticks = stackalloc uint[States];
            uint count = States;
            if (HostStatistics(_host, CpuLoadInfo, ticks, ref count) != 0 || count < States)
            {
                return null;
            }

            ulong total = (ulong)ticks[0] + ticks[1] + ticks[2] + ticks[3];
            return new CpuTimes(total - ticks[Idle], total);
        }

        [LibraryImport("libSystem.dylib", EntryPoint = "mach_host_self")]
        [DefaultDllImportSearchPaths(DllImportSearchPath.System32)]
        private static partial uint MachHostSelf();

        [LibraryImport("libSystem.dylib", EntryPoint = "host_statistics")]
        [DefaultDllImportSearchPaths(DllImportSearchPath.System32)]
        private static partial int HostStatistics(uint host, int flavor, uint* info, ref uint count);
    }
}
