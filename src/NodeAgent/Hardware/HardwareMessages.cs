using Wire = Federation.Protocol.V1;

namespace Federation.NodeAgent.Hardware;

/// <summary>Hardware as the node link carries it: what is null here is unset there.</summary>
public static class HardwareMessages
{
    /// <summary>For <c>Hello</c> and enrolment.</summary>
    public static Wire.Hardware ToMessage(this HardwareReport report)
    {
        ArgumentNullException.ThrowIfNull(report);
        var message = new Wire.Hardware
        {
            Hostname = report.Hostname,
            Os = new Wire.OperatingSystem
            {
                Family = report.OperatingSystem.Family,
                Name = report.OperatingSystem.Name ?? "",
                Version = report.OperatingSystem.Version ?? "",
                Architecture = report.OperatingSystem.Architecture,
            },
            Cpu = ToMessage(report.Cpu),
        };
        Set(report.Memory.TotalBytes, bytes => message.MemoryTotalBytes = (ulong)bytes);
        Set(report.Memory.AvailableBytes, bytes => message.MemoryAvailableBytes = (ulong)bytes);
        Set(report.Disk.TotalBytes, bytes => message.DiskTotalBytes = (ulong)bytes);
        Set(report.Disk.FreeBytes, bytes => message.DiskFreeBytes = (ulong)bytes);
        message.Devices.AddRange(report.Devices.Select(ToMessage));
        return message;
    }

    /// <summary>For heartbeats.</summary>
    public static Wire.DeviceLoad ToMessage(this GpuLoad load)
    {
        ArgumentNullException.ThrowIfNull(load);
        var message = new Wire.DeviceLoad { DeviceId = load.DeviceId };
        Set(load.TemperatureCelsius, degrees => message.TemperatureCelsius = degrees);
        Set(load.PowerWatts, watts => message.PowerWatts = watts);
        Set(load.Utilisation, share => message.Utilisation = share);
        Set(load.MemoryUsedBytes, bytes => message.MemoryUsedBytes = (ulong)bytes);
        return message;
    }

    private static Wire.Cpu ToMessage(CpuInfo cpu)
    {
        var message = new Wire.Cpu();
        Set(cpu.Model, model => message.Model = model);
        Set(cpu.PhysicalCores, cores => message.PhysicalCores = (uint)cores);
        Set(cpu.LogicalCores, cores => message.LogicalCores = (uint)cores);
        message.Features.AddRange(cpu.Features);
        return message;
    }

    private static Wire.Device ToMessage(GpuDevice device)
    {
        var message = new Wire.Device { Id = device.Id, Vendor = device.Vendor, UnifiedMemory = device.UnifiedMemory };
        Set(device.Name, name => message.Name = name);
        Set(device.DriverVersion, version => message.DriverVersion = version);
        Set(device.CudaVersion, version => message.CudaVersion = version);
        Set(device.MemoryTotalBytes, bytes => message.MemoryTotalBytes = (ulong)bytes);
        Set(device.MemoryUsedBytes, bytes => message.MemoryUsedBytes = (ulong)bytes);
        Set(device.TemperatureCelsius, degrees => message.TemperatureCelsius = degrees);
        Set(device.PowerWatts, watts => message.PowerWatts = watts);
        Set(device.PowerLimitWatts, watts => message.PowerLimitWatts = watts);
        Set(device.Utilisation, share => message.Utilisation = share);
        Set(device.ComputeCapability, capability => message.ComputeCapability = capability);
        Set(device.PciBusId, address => message.PciBusId = address);
        return message;
    }

    // The generated setters mark a field as set, so an unknown value must not reach them at all.
    private static void Set<T>(T? value, Action<T> set)
        where T : struct
    {
        if (value is { } known)
        {
            set(known);
        }
    }

    private static void Set(string? value, Action<string> set)
    {
        if (value is not null)
        {
            set(value);
        }
    }
}
