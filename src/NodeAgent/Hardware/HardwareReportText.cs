using System.Globalization;
using System.Text;

namespace Federation.NodeAgent.Hardware;

/// <summary><see cref="HardwareReport"/> for people.</summary>
public static class HardwareReportText
{
    private const string Unknown = "unknown";

    /// <summary>One line per fact, ending in a line break; what the machine does not tell is called unknown.</summary>
    public static string Render(HardwareReport report)
    {
        ArgumentNullException.ThrowIfNull(report);
        var text = new StringBuilder();
        OperatingSystemInfo system = report.OperatingSystem;
        CpuInfo cpu = report.Cpu;

        Line("Machine", report.Hostname.Length == 0 ? Unknown : report.Hostname);
        Line("System", $"{system.Name ?? system.Family} {system.Version} ({system.Architecture})".Replace("  ", " ", StringComparison.Ordinal));
        Line("Processor", cpu.Model ?? Unknown);
        Line("  cores", $"{Count(cpu.PhysicalCores)}, {Count(cpu.LogicalCores)} threads");
        Line("  features", cpu.Features.Count == 0 ? Unknown : string.Join(' ', cpu.Features));
        Line("Memory", $"{Bytes(report.Memory.TotalBytes)}, {Bytes(report.Memory.AvailableBytes)} available");
        Line("Disk", $"{Bytes(report.Disk.TotalBytes)}, {Bytes(report.Disk.FreeBytes)} free at {report.Disk.Path}");

        if (report.Devices.Count == 0)
        {
            Line("GPU", "none found");
        }

        for (int i = 0; i < report.Devices.Count; i++)
        {
            Device(i, report.Devices[i]);
        }

        return text.ToString();

        void Device(int index, GpuDevice device)
        {
            Line(string.Create(CultureInfo.InvariantCulture, $"GPU {index}"), device.Name ?? $"{Unknown} ({device.Vendor})");
            Line("  memory", $"{Bytes(device.MemoryTotalBytes)}{(device.UnifiedMemory ? " shared with the machine" : "")}, {Bytes(device.MemoryUsedBytes)} used");
            Line("  temperature", Number(device.TemperatureCelsius, "°C"));
            Line("  power", device.PowerLimitWatts is null ? Number(device.PowerWatts, "W") : $"{Number(device.PowerWatts, "W")} of {Number(device.PowerLimitWatts, "W")}");
            Line("  busy", Number(device.Utilisation * 100, "%"));
            Line("  driver", device.DriverVersion ?? Unknown);
            Line("  compute", Compute(device));
            Line("  address", device.PciBusId ?? Unknown);
            Line("  id", device.Id);
        }

        void Line(string label, string value) => text.Append(CultureInfo.InvariantCulture, $"{label,-15}{value}").AppendLine();
    }

    private static string Compute(GpuDevice device) => (device.CudaVersion, device.ComputeCapability) switch
    {
        (null, null) => Unknown,
        (null, { } capability) => capability,
        ({ } cuda, null) => $"CUDA {cuda}",
        ({ } cuda, { } capability) => $"CUDA {cuda}, capability {capability}",
    };

    private static string Count(int? count) => count is { } number ? number.ToString(CultureInfo.InvariantCulture) : Unknown;

    private static string Number(double? number, string unit) =>
        number is null ? Unknown : string.Create(CultureInfo.InvariantCulture, $"{number:0.#} {unit}");

    private static string Bytes(long? bytes) => bytes switch
    {
        null => Unknown,
        >= 1L << 40 => string.Create(CultureInfo.InvariantCulture, $"{(double)bytes / (1L << 40):0.0} TiB"),
        >= 1L << 30 => string.Create(CultureInfo.InvariantCulture, $"{(double)bytes / (1L << 30):0.0} GiB"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{(double)bytes / (1L << 20):0} MiB"),
    };
}
