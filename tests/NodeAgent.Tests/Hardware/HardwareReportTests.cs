using System.Text.Json;
using Federation.NodeAgent.Hardware;

namespace Federation.NodeAgent.Tests.Hardware;

public sealed class HardwareReportTests
{
    internal static readonly HardwareReport Full = new()
    {
        Hostname = "ada-pc",
        OperatingSystem = new OperatingSystemInfo("linux", "Ubuntu", "24.04", "x64"),
        Cpu = new CpuInfo("AMD Ryzen 7 7700X 8-Core Processor", 8, 16, ["avx2", "fma"]),
        Memory = new MemoryInfo(62L << 30, 56L << 30),
        Disk = new DiskInfo("/home/ada/.config/federation-node", 2L << 40, 210L << 30),
        Devices =
        [
            new GpuDevice
            {
                Id = "GPU-5c8e2b90",
                Vendor = "nvidia",
                Name = "NVIDIA GeForce RTX 4090",
                Uuid = "GPU-5c8e2b90",
                DriverVersion = "550.54.14",
                CudaVersion = "12.4",
                MemoryTotalBytes = 24L << 30,
                MemoryUsedBytes = 402L << 20,
                TemperatureCelsius = 41,
                PowerWatts = 22.14,
                PowerLimitWatts = 450,
                Utilisation = 0.03,
                ComputeCapability = "8.9",
                PciBusId = "0000:01:00.0",
            },
        ],
    };

    internal static readonly HardwareReport Empty = new()
    {
        Hostname = "",
        OperatingSystem = new OperatingSystemInfo("macos", null, null, "arm64"),
        Cpu = new CpuInfo(null, null, null, []),
        Memory = new MemoryInfo(null, null),
        Disk = new DiskInfo("/x", null, null),
        Devices = [new GpuDevice { Id = "apple-0", Vendor = "apple", UnifiedMemory = true }],
    };

    [Fact]
    public void A_full_report_reads_well() => Assert.Equal(
        """
        Machine        ada-pc
        System         Ubuntu 24.04 (x64)
        Processor      AMD Ryzen 7 7700X 8-Core Processor
          cores        8, 16 threads
          features     avx2 fma
        Memory         62.0 GiB, 56.0 GiB available
        Disk           2.0 TiB, 210.0 GiB free at /home/ada/.config/federation-node
        GPU 0          NVIDIA GeForce RTX 4090
          memory       24.0 GiB, 402 MiB used
          temperature  41 °C
          power        22.1 W of 450 W
          busy         3 %
          driver       550.54.14
          compute      CUDA 12.4, capability 8.9
          address      0000:01:00.0
          id           GPU-5c8e2b90

        """,
        HardwareReportText.Render(Full),
        ignoreLineEndingDifferences: true);

    [Fact]
    public void What_is_unknown_is_called_so()
    {
        string text = HardwareReportText.Render(Empty);
        Assert.Contains("System         macos (arm64)", text, StringComparison.Ordinal);
        Assert.Contains("GPU 0          unknown (apple)", text, StringComparison.Ordinal);
        Assert.Contains("  memory       unknown shared with the machine, unknown used", text, StringComparison.Ordinal);
        Assert.Contains("  power        unknown", text, StringComparison.Ordinal);
        Assert.Contains("GPU            none found", HardwareReportText.Render(Empty with { Devices = [] }), StringComparison.Ordinal);
    }

    [Fact]
    public void JSON_has_every_field_and_null_for_what_is_unknown()
    {
        using JsonDocument full = JsonDocument.Parse(HardwareReportJson.Render(Full));
        JsonElement gpu = full.RootElement.GetProperty("devices")[0];
        Assert.Equal(24L << 30, gpu.GetProperty("memory_total_bytes").GetInt64());
        Assert.Equal("0000:01:00.0", gpu.GetProperty("pci_bus_id").GetString());
        Assert.Equal("linux", full.RootElement.GetProperty("operating_system").GetProperty("family").GetString());

        using JsonDocument empty = JsonDocument.Parse(HardwareReportJson.Render(Empty));
        Assert.Equal(JsonValueKind.Null, empty.RootElement.GetProperty("devices")[0].GetProperty("memory_total_bytes").ValueKind);
        Assert.Equal(JsonValueKind.Null, empty.RootElement.GetProperty("cpu").GetProperty("model").ValueKind);
    }
}
