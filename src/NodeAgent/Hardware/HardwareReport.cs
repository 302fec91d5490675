namespace Federation.NodeAgent.Hardware;

/// <summary>What this machine is made of, as far as it says. A field that could not be read is null, never guessed.</summary>
public sealed record HardwareReport
{
    /// <summary>The machine's name.</summary>
    public required string Hostname { get; init; }

    /// <summary>The operating system.</summary>
    public required OperatingSystemInfo OperatingSystem { get; init; }

    /// <summary>The processor.</summary>
    public required CpuInfo Cpu { get; init; }

    /// <summary>The main memory.</summary>
    public required MemoryInfo Memory { get; init; }

    /// <summary>The volume that holds the agent's data.</summary>
    public required DiskInfo Disk { get; init; }

    /// <summary>Every GPU, in the order of its bus address.</summary>
    public required IReadOnlyList<GpuDevice> Devices { get; init; }
}

/// <summary>The operating system.</summary>
/// <param name="Family"><c>linux</c>, <c>windows</c>, <c>macos</c>; other systems by their own name, in lower case.</param>
/// <param name="Name">Such as <c>Ubuntu</c>, <c>Microsoft Windows 11 Pro</c>, <c>macOS</c>.</param>
/// <param name="Version">Such as <c>24.04</c>, <c>10.0.22631</c>, <c>14.4.1</c>.</param>
/// <param name="Architecture"><c>x64</c>, <c>arm64</c>…: of the machine, not of this process.</param>
public sealed record OperatingSystemInfo(string Family, string? Name, string? Version, string Architecture);

/// <summary>The processor.</summary>
/// <param name="Model">Its marketing name.</param>
/// <param name="PhysicalCores">Cores of all sockets.</param>
/// <param name="LogicalCores">Hardware threads of all sockets.</param>
/// <param name="Features">The vector extensions that matter to inference: <c>avx2</c>, <c>avx512f</c>, <c>neon</c>… in alphabetical order.</param>
public sealed record CpuInfo(string? Model, int? PhysicalCores, int? LogicalCores, IReadOnlyList<string> Features);

/// <summary>Main memory, bytes. Inside a container it is what the container may use.</summary>
/// <param name="TotalBytes">What there is.</param>
/// <param name="AvailableBytes">What a new program could have without swapping.</param>
public sealed record MemoryInfo(long? TotalBytes, long? AvailableBytes);

/// <summary>One volume.</summary>
/// <param name="Path">The directory that was asked about.</param>
/// <param name="TotalBytes">Size of the volume that holds it, bytes.</param>
/// <param name="FreeBytes">What this user may still write there, bytes.</param>
public sealed record DiskInfo(string Path, long? TotalBytes, long? FreeBytes);

/// <summary>One GPU.</summary>
public sealed record GpuDevice
{
    /// <summary>Names the device on this node from one start to the next: the vendor's uuid where there is one, else the bus address.</summary>
    public required string Id { get; init; }

    /// <summary>One of <see cref="GpuVendors"/>.</summary>
    public required string Vendor { get; init; }

    /// <summary>The marketing name: <c>NVIDIA GeForce RTX 4090</c>.</summary>
    public string? Name { get; init; }

    /// <summary>The vendor's uuid.</summary>
    public string? Uuid { get; init; }

    /// <summary>Version of the kernel driver.</summary>
    public string? DriverVersion { get; init; }

    /// <summary>The newest CUDA that the driver supports: <c>12.4</c>. NVIDIA only.</summary>
    public string? CudaVersion { get; init; }

    /// <summary>The device's memory, bytes; with <see cref="UnifiedMemory"/>, the machine's.</summary>
    public long? MemoryTotalBytes { get; init; }

    /// <summary>Device memory in use by anyone, bytes.</summary>
    public long? MemoryUsedBytes { get; init; }

    /// <summary>The GPU shares the machine's memory (Apple silicon, integrated graphics).</summary>
    public bool UnifiedMemory { get; init; }

    /// <summary>Of the GPU's die, °C.</summary>
    public double? TemperatureCelsius { get; init; }

    /// <summary>What the board draws, W.</summary>
    public double? PowerWatts { get; init; }

    /// <summary>What the board may draw at most, W.</summary>
    public double? PowerLimitWatts { get; init; }

    /// <summary>0 to 1: share of the last sampling period in which the GPU was busy.</summary>
    public double? Utilisation { get; init; }

    /// <summary>NVIDIA: CUDA compute capability, <c>8.9</c>. AMD: instruction set, <c>gfx1100</c>.</summary>
    public string? ComputeCapability { get; init; }

    /// <summary>As the kernel writes it: <c>0000:01:00.0</c>.</summary>
    public string? PciBusId { get; init; }
}

/// <summary>The names of GPU vendors on the wire.</summary>
public static class GpuVendors
{
    /// <summary>NVIDIA.</summary>
    public const string Nvidia = "nvidia";

    /// <summary>AMD.</summary>
    public const string Amd = "amd";

    /// <summary>Apple.</summary>
    public const string Apple = "apple";

    /// <summary>Intel.</summary>
    public const string Intel = "intel";
}

/// <summary>What the machine is doing now; the part of the hardware that changes.</summary>
/// <param name="CpuLoad">0 to 1 of all cores since the reading before; null at the first.</param>
/// <param name="Devices">One per GPU that tells something.</param>
public sealed record LoadReport(double? CpuLoad, IReadOnlyList<GpuLoad> Devices);

/// <summary>What one GPU is doing now.</summary>
/// <param name="DeviceId"><see cref="GpuDevice.Id"/>.</param>
public sealed record GpuLoad(string DeviceId)
{
    /// <inheritdoc cref="GpuDevice.TemperatureCelsius"/>
    public double? TemperatureCelsius { get; init; }

    /// <inheritdoc cref="GpuDevice.PowerWatts"/>
    public double? PowerWatts { get; init; }

    /// <inheritdoc cref="GpuDevice.Utilisation"/>
    public double? Utilisation { get; init; }

    /// <inheritdoc cref="GpuDevice.MemoryUsedBytes"/>
    public long? MemoryUsedBytes { get; init; }
}
