namespace Federation.NodeAgent.Hardware.Linux;

/// <summary>A Linux machine, as its kernel describes it.</summary>
internal sealed class LinuxHost(SystemFiles files) : IHostProbe
{
    private const int MaxCores = 65_536;
    private const long Kibibyte = 1024;

    // As the kernel writes it → as we do. Only what inference code asks for.
    private static readonly Dictionary<string, string> _features = new(StringComparer.Ordinal)
    {
        ["sse4_2"] = "sse4.2",
        ["avx"] = "avx",
        ["avx2"] = "avx2",
        ["fma"] = "fma",
        ["f16c"] = "f16c",
        ["avx_vnni"] = "avxvnni",
        ["avx512f"] = "avx512f",
        ["avx512bw"] = "avx512bw",
        ["avx512vl"] = "avx512vl",
        ["avx512_vnni"] = "avx512vnni",
        ["avx512_bf16"] = "avx512bf16",
        ["avx512_fp16"] = "avx512fp16",
        ["amx_tile"] = "amx",
        ["amx_int8"] = "amxint8",
        ["amx_bf16"] = "amxbf16",
        ["neon"] = "neon",
        ["asimd"] = "neon",
        ["asimddp"] = "dotprod",
        ["asimdhp"] = "fp16",
        ["i8mm"] = "i8mm",
        ["bf16"] = "bf16",
        ["sve"] = "sve",
        ["sve2"] = "sve2",
    };

    public Task<HostInfo> DetectAsync(CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        CpuInfo cpu = ParseCpuInfo(files.ReadText("proc/cpuinfo") ?? "");
        return Task.FromResult(new HostInfo(
            ParseOsRelease(files.ReadText("etc/os-release") ?? files.ReadText("usr/lib/os-release") ?? "", HostInfo.Architecture),
            cpu with { PhysicalCores = CountCoresInSysfs() ?? cpu.PhysicalCores },
            WithinContainer(ParseMemInfo(files.ReadText("proc/meminfo") ?? ""))));
    }

    public CpuTimes? ReadCpuTimes() => ParseCpuTimes(files.ReadText("proc/stat") ?? "");

    /// <summary><c>/etc/os-release</c>.</summary>
    internal static OperatingSystemInfo ParseOsRelease(string text, string architecture)
    {
        string? name = null;
        string? version = null;
        foreach (string line in text.Split('\n', StringSplitOptions.TrimEntries))
        {
            if (line.Split('=', 2) is [var key, var value])
            {
                string? unquoted = Readings.Text(value.Trim('"', '\''));
                (name, version) = key switch
                {
                    "NAME" => (unquoted, version),
                    "VERSION_ID" => (name, unquoted),
                    _ => (name, version),
                };
            }
        }

        return new OperatingSystemInfo("linux", name, version, architecture);
    }

    /// <summary><c>/proc/cpuinfo</c>, whose keys differ among architectures.</summary>
    internal static CpuInfo ParseCpuInfo(string text)
    {
        string? model = null;
        string? package = null;
        int logical = 0;
        var cores = new HashSet<(string?, string)>();
        var features = new SortedSet<string>(StringComparer.Ordinal);
        foreach (string line in text.Split('\n'))
        {
            if (line.Split(':', 2, StringSplitOptions.TrimEntries) is not [var key, var value])
            {
                continue;
            }

            switch (key)
            {
                case "processor" when Readings.WholeNumber(value) is not null:
                    logical++;
                    package = null;
                    break;
                case "model name":
                    model ??= Readings.Text(value);
                    break;
                case "physical id":
                    package = value;
                    break;
                case "core id":
                    cores.Add((package, value));
                    break;
                case "flags" or "Features" when features.Count == 0:
                    features.UnionWith(value.Split(' ').Where(_features.ContainsKey).Select(flag => _features[flag]));
                    break;
                default:
                    break;
            }
        }

        return new CpuInfo(model, Readings.Count(cores.Count, MaxCores), Readings.Count(logical, MaxCores), [.. features]);
    }

    /// <summary><c>/proc/meminfo</c>.</summary>
    internal static MemoryInfo ParseMemInfo(string text)
    {
        return new MemoryInfo(Value("MemTotal"), Value("MemAvailable"));

        long? Value(string name)
        {
            foreach (string line in text.Split('\n'))
            {
                if (line.Split(':', 2, StringSplitOptions.TrimEntries) is [var key, var value] && key == name)
                {
                    return value.Split(' ') is [var number, "kB"] ? Readings.Bytes(Readings.WholeNumber(number), Kibibyte) : null;
                }
            }

            return null;
        }
    }

    /// <summary>The first line of <c>/proc/stat</c>: user, nice, system, idle, iowait, irq, softirq, steal.</summary>
    internal static CpuTimes? ParseCpuTimes(string text)
    {
        string line = text.Split('\n', 2)[0];
        if (!line.StartsWith("cpu ", StringComparison.Ordinal))
        {
            return null;
        }

        // The columns after steal (guests) are counted in user and nice already.
        long?[] times = [.. line.Split(' ', StringSplitOptions.RemoveEmptyEntries).Skip(1).Take(8).Select(Readings.WholeNumber)];
        if (times.Length < 4 || times.Any(time => time is null or < 0))
        {
            return null;
        }

        ulong total = times.Aggregate(0ul, (sum, time) => unchecked(sum + (ulong)time!.Value));
        ulong idle = (ulong)times[3]!.Value + (times.Length > 4 ? (ulong)times[4]!.Value : 0);
        return idle <= total ? new CpuTimes(total - idle, total) : null;
    }

    /// <summary>ARM's cpuinfo knows no cores, only threads; sysfs knows both everywhere but in some containers.</summary>
    private int? CountCoresInSysfs()
    {
        const string Cpus = "sys/devices/system/cpu";
        int count = files.List(Cpus)
            .Where(name => name.StartsWith("cpu", StringComparison.Ordinal) && Readings.WholeNumber(name[3..]) is not null)
            .Select(name => (
                Package: files.ReadText($"{Cpus}/{name}/topology/physical_package_id")?.Trim(),
                Core: files.ReadText($"{Cpus}/{name}/topology/core_id")?.Trim()))
            .Where(core => core.Core is not null)
            .Distinct()
            .Count();
        return Readings.Count(count, MaxCores);
    }

    /// <summary>A container's memory is what its control group allows (version 2 at its own root, as containers see it).</summary>
    private MemoryInfo WithinContainer(MemoryInfo machine)
    {
        if (files.ReadNumber("sys/fs/cgroup/memory.max") is not (> 0 and var limit) || limit >= machine.TotalBytes)
        {
            return machine;
        }

        long? left = files.ReadNumber("sys/fs/cgroup/memory.current") is { } current ? Math.Max(0, limit - current) : null;
        return new MemoryInfo(
            Readings.Bytes((long?)limit),
            left is null ? machine.AvailableBytes : Math.Min(left.Value, machine.AvailableBytes ?? left.Value));
    }
}
