using Federation.NodeAgent.Hardware;
using Wire = Federation.Protocol.V1;

namespace Federation.NodeAgent.Tests.Hardware;

public sealed class HardwareMessagesTests
{
    [Fact]
    public void A_full_report_is_carried_in_full()
    {
        Wire.Hardware message = HardwareReportTests.Full.ToMessage();

        Assert.Equal("ada-pc", message.Hostname);
        Assert.Equal(new Wire.OperatingSystem { Family = "linux", Name = "Ubuntu", Version = "24.04", Architecture = "x64" }, message.Os);
        Assert.Equal(8u, message.Cpu.PhysicalCores);
        Assert.Equal(16u, message.Cpu.LogicalCores);
        Assert.Equal(["avx2", "fma"], message.Cpu.Features);
        Assert.Equal(62ul << 30, message.MemoryTotalBytes);
        Assert.Equal(56ul << 30, message.MemoryAvailableBytes);
        Assert.Equal(2ul << 40, message.DiskTotalBytes);
        Assert.Equal(210ul << 30, message.DiskFreeBytes);
        Assert.Equal(
            new Wire.Device
            {
                Id = "GPU-5c8e2b90",
                Vendor = "nvidia",
                Name = "NVIDIA GeForce RTX 4090",
                DriverVersion = "550.54.14",
                CudaVersion = "12.4",
                MemoryTotalBytes = 24ul << 30,
                MemoryUsedBytes = 402ul << 20,
                TemperatureCelsius = 41,
                PowerWatts = 22.14,
                PowerLimitWatts = 450,
                Utilisation = 0.03,
                ComputeCapability = "8.9",
                PciBusId = "0000:01:00.0",
            },
            Assert.Single(message.Devices));
    }

    [Fact]
    public void What_is_unknown_is_not_set()
    {
        Wire.Hardware message = HardwareReportTests.Empty.ToMessage();
        Wire.Device device = Assert.Single(message.Devices);

        Assert.False(message.Cpu.HasModel);
        Assert.False(message.Cpu.HasPhysicalCores);
        Assert.False(message.HasMemoryTotalBytes);
        Assert.False(message.HasDiskFreeBytes);
        Assert.Equal(new Wire.Device { Id = "apple-0", Vendor = "apple", UnifiedMemory = true }, device);
        Assert.False(device.HasTemperatureCelsius);
        Assert.False(device.HasMemoryTotalBytes);
    }

    [Fact]
    public void A_load_is_carried_with_zero_apart_from_unknown()
    {
        Wire.DeviceLoad message = new GpuLoad("GPU-1") { Utilisation = 0, MemoryUsedBytes = 5 }.ToMessage();

        Assert.True(message.HasUtilisation);
        Assert.Equal(0, message.Utilisation);
        Assert.Equal(5ul, message.MemoryUsedBytes);
        Assert.False(message.HasTemperatureCelsius);
        Assert.False(message.HasPowerWatts);
    }
}
