using System.Globalization;

namespace Federation.NodeAgent.Hardware.Nvidia;

/// <summary>NVIDIA GPUs: through NVML where it can be loaded, else through <c>nvidia-smi</c>.</summary>
/// <param name="openNvml">Loads NVML; null if there is none. Asked again at each detection until it succeeds, for drivers that start late.</param>
/// <param name="smi">The fallback.</param>
/// <param name="timeProvider">Measures how long NVML takes.</param>
internal sealed class NvidiaGpuProbe(Func<INvml?> openNvml, NvidiaSmi smi, TimeProvider timeProvider) : IGpuProbe
{
    /// <summary>A GPU without persistence mode needs a second or two to wake up; a healthy one answers in milliseconds.</summary>
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(10);

    private readonly Lock _lock = new();
    private INvml? _nvml;
    private Task? _reading;
    private bool _usesSmi;

    public async Task<IReadOnlyList<GpuDevice>> DetectAsync(CancellationToken cancellationToken)
    {
        IReadOnlyList<GpuDevice> devices = await ReadAsync(OpenAndReadDevices, cancellationToken).ConfigureAwait(false) ?? [];
        if (devices.Count == 0)
        {
            devices = await smi.DetectAsync(cancellationToken).ConfigureAwait(false);
            _usesSmi = devices.Count > 0;
        }

        return devices;
    }

    public async Task<IReadOnlyList<GpuLoad>> DetectLoadAsync(CancellationToken cancellationToken) => _usesSmi
        ? await smi.DetectLoadAsync(cancellationToken).ConfigureAwait(false)
        : _nvml is { } nvml
            ? await ReadAsync(() => ReadLoads(nvml), cancellationToken).ConfigureAwait(false) ?? []
            : [];

    private IReadOnlyList<GpuDevice> OpenAndReadDevices()
    {
        if ((_nvml ??= openNvml()) is not { } nvml)
        {
            return [];
        }

        string? driver = nvml.DriverVersion();
        string? cuda = nvml.CudaVersion();
        return [.. Handles(nvml).Select(entry => ReadDevice(nvml, entry.Index, entry.Handle) with { DriverVersion = driver, CudaVersion = cuda })];
    }

    private static GpuDevice ReadDevice(INvml nvml, int index, nint device)
    {
        string? uuid = nvml.Uuid(device);
        string? address = nvml.PciAddress(device);
        (long? total, long? used) = nvml.Memory(device);
        return new GpuDevice
        {
            Id = DeviceId(uuid, address, index),
            Vendor = GpuVendors.Nvidia,
            Name = nvml.Name(device),
            Uuid = uuid,
            MemoryTotalBytes = Readings.DeviceMemory(total),
            MemoryUsedBytes = used,
            TemperatureCelsius = Readings.Celsius(nvml.TemperatureCelsius(device)),
            PowerWatts = Readings.Watts(nvml.PowerWatts(device)),
            PowerLimitWatts = Readings.WattsLimit(nvml.PowerLimitWatts(device)),
            Utilisation = Readings.Share(nvml.UtilisationPercent(device)),
            ComputeCapability = nvml.ComputeCapability(device),
            PciBusId = address,
        };
    }

    private static IReadOnlyList<GpuLoad> ReadLoads(INvml nvml) =>
    [
        .. Handles(nvml).Select(entry => new GpuLoad(DeviceId(nvml.Uuid(entry.Handle), nvml.PciAddress(entry.Handle), entry.Index))
        {
            TemperatureCelsius = Readings.Celsius(nvml.TemperatureCelsius(entry.Handle)),
            PowerWatts = Readings.Watts(nvml.PowerWatts(entry.Handle)),
            Utilisation = Readings.Share(nvml.UtilisationPercent(entry.Handle)),
            MemoryUsedBytes = nvml.Memory(entry.Handle).Used,
        }),
    ];

    private static IEnumerable<(int Index, nint Handle)> Handles(INvml nvml)
    {
        int count = nvml.DeviceCount();
        for (int index = 0; index < count; index++)
        {
            if (nvml.Device(index) is { } handle)
            {
                yield return (index, handle);
            }
        }
    }

    internal static string DeviceId(string? uuid, string? address, int index) =>
        uuid ?? address ?? string.Create(CultureInfo.InvariantCulture, $"nvidia-{index}");

    /// <summary>
    /// Reads on a thread of its own, for the driver may hang. Then the caller goes on without an answer after a while, and until the
    /// driver returns nobody asks again: a hanging driver costs one thread, not one more with each heartbeat.
    /// </summary>
    private async Task<T?> ReadAsync<T>(Func<T> read, CancellationToken cancellationToken)
        where T : class
    {
        Task<T> reading;
        lock (_lock)
        {
            if (_reading is { IsCompleted: false })
            {
                return null;
            }

            _reading = reading = Task.Run(read, CancellationToken.None);
        }

        try
        {
            return await reading.WaitAsync(_patience, timeProvider, cancellationToken).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            return null;
        }
    }
}
