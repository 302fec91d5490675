using System.Globalization;

namespace Federation.NodeAgent.Hardware.Linux;

/// <summary>
/// GPUs as the Linux graphics drivers describe them under <c>/sys/class/drm</c>: AMD's in full, others' by address and name.
/// What AMD's driver leaves out is asked of <c>rocm-smi</c> if that is installed.
/// </summary>
internal sealed class DrmGpuProbe(SystemFiles files, RocmSmi rocmSmi) : IGpuProbe
{
    private const string Drm = "sys/class/drm";

    /// <summary>Intel's integrated graphics have had this address since there were any.</summary>
    private const string IntelIntegratedAddress = "0000:00:02.0";

    private readonly PciNames _names = new(files);

    public async Task<IReadOnlyList<GpuDevice>> DetectAsync(CancellationToken cancellationToken)
    {
        GpuDevice[] devices = [.. Cards().Select(ReadDevice)];
        bool knowsAllAmd = devices.Any(device => device.Vendor == GpuVendors.Amd)
            && devices.All(device => device.Vendor != GpuVendors.Amd || device is { Name: not null, DriverVersion: not null, ComputeCapability: not null });
        if (knowsAllAmd)
        {
            return devices;
        }

        IReadOnlyList<GpuDevice> fromTool = await rocmSmi.DetectAsync(cancellationToken).ConfigureAwait(false);
        return
        [
            .. devices.Select(device => Complete(device, fromTool.FirstOrDefault(other => other.PciBusId == device.PciBusId && other.Vendor == device.Vendor))),
            .. fromTool.Where(other => other.PciBusId is null || devices.All(device => device.PciBusId != other.PciBusId)),
        ];
    }

    public Task<IReadOnlyList<GpuLoad>> DetectLoadAsync(CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        return Task.FromResult<IReadOnlyList<GpuLoad>>(
        [
            .. Cards()
                .Where(card => card.Vendor != GpuVendors.Nvidia)
                .Select(card =>
                {
                    Sensors sensors = ReadSensors(card.Directory);
                    return new GpuLoad(DeviceId(card))
                    {
                        TemperatureCelsius = sensors.TemperatureCelsius,
                        PowerWatts = sensors.PowerWatts,
                        Utilisation = sensors.Utilisation,
                        MemoryUsedBytes = sensors.MemoryUsedBytes,
                    };
                }),
        ]);
    }

    private GpuDevice ReadDevice(Card card)
    {
        Sensors sensors = ReadSensors(card.Directory);
        return new GpuDevice
        {
            Id = DeviceId(card),
            Vendor = card.Vendor,
            Name = Readings.Text(files.ReadText($"{card.Directory}/product_name")) ?? _names.Find(card.VendorId, card.DeviceId, card.Revision),
            Uuid = AmdUuid(card),
            DriverVersion = card.Vendor == GpuVendors.Amd ? Readings.Text(files.ReadText("sys/module/amdgpu/version")) : null,
            MemoryTotalBytes = Readings.DeviceMemory(files.ReadNumber($"{card.Directory}/mem_info_vram_total")),
            MemoryUsedBytes = sensors.MemoryUsedBytes,
            UnifiedMemory = card is { Vendor: GpuVendors.Intel, Address: IntelIntegratedAddress },
            TemperatureCelsius = sensors.TemperatureCelsius,
            PowerWatts = sensors.PowerWatts,
            PowerLimitWatts = sensors.PowerLimitWatts,
            Utilisation = sensors.Utilisation,
            PciBusId = card.Address,
        };
    }

    private string DeviceId(Card card) => AmdUuid(card) ?? card.Address;

    /// <summary>In the form that ROCm's own settings use (<c>ROCR_VISIBLE_DEVICES</c>). Cards before Vega have none.</summary>
    private string? AmdUuid(Card card) =>
        card.Vendor == GpuVendors.Amd && Readings.Text(files.ReadText($"{card.Directory}/unique_id")) is { } id && RocmSmi.IsUniqueId(id)
            ? $"GPU-{id.ToLowerInvariant()}"
            : null;

    private Sensors ReadSensors(string directory)
    {
        // Asking a sleeping GPU would wake it up, at every heartbeat, on someone's battery.
        if (files.ReadText($"{directory}/power/runtime_status")?.Trim() == "suspended")
        {
            return default;
        }

        string? monitor = files.List($"{directory}/hwmon").FirstOrDefault(name => name.StartsWith("hwmon", StringComparison.Ordinal));
        return new Sensors(
            Readings.Celsius(Sensor("temp1_input") / 1e3),
            Readings.Watts((Sensor("power1_average") ?? Sensor("power1_input")) / 1e6),
            Readings.WattsLimit(Sensor("power1_cap") / 1e6),
            Readings.Share(files.ReadNumber($"{directory}/gpu_busy_percent")),
            Readings.Bytes(files.ReadNumber($"{directory}/mem_info_vram_used")));

        double? Sensor(string name) => monitor is null ? null : files.ReadNumber($"{directory}/hwmon/{monitor}/{name}");
    }

    private IEnumerable<Card> Cards() => files.List(Drm)
        .Where(name => name.StartsWith("card", StringComparison.Ordinal) && name[4..].All(char.IsAsciiDigit)) // not card0-HDMI-A-1
        .Select(name => ReadCard($"{Drm}/{name}/device"))
        .OfType<Card>()
        .DistinctBy(card => card.Address)
        .Take(Readings.MaxDevices);

    private Card? ReadCard(string directory)
    {
        return Id("vendor") is { } vendorId
            && Readings.VendorOfPciId(vendorId) is { } vendor
            && Id("device") is { } deviceId
            && Address() is { } address
                ? new Card(directory, vendor, vendorId, deviceId, Id("revision"), address)
                : null;

        uint? Id(string name) =>
            files.ReadText($"{directory}/{name}")?.Trim() is { } text
            && text.StartsWith("0x", StringComparison.Ordinal)
            && uint.TryParse(text.AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out uint id)
                ? id
                : null;

        string? Address() => files.ReadText($"{directory}/uevent")?.Split('\n')
            .Where(line => line.StartsWith("PCI_SLOT_NAME=", StringComparison.Ordinal))
            .Select(line => Readings.PciAddress(line["PCI_SLOT_NAME=".Length..]))
            .FirstOrDefault();
    }

    private static GpuDevice Complete(GpuDevice device, GpuDevice? other) => other is null
        ? device
        : device with
        {
            Name = device.Name ?? other.Name,
            DriverVersion = device.DriverVersion ?? other.DriverVersion,
            MemoryTotalBytes = device.MemoryTotalBytes ?? other.MemoryTotalBytes,
            MemoryUsedBytes = device.MemoryUsedBytes ?? other.MemoryUsedBytes,
            TemperatureCelsius = device.TemperatureCelsius ?? other.TemperatureCelsius,
            PowerWatts = device.PowerWatts ?? other.PowerWatts,
            PowerLimitWatts = device.PowerLimitWatts ?? other.PowerLimitWatts,
            Utilisation = device.Utilisation ?? other.Utilisation,
            ComputeCapability = device.ComputeCapability ?? other.ComputeCapability,
        };

    private readonly record struct Sensors(
        double? TemperatureCelsius, double? PowerWatts, double? PowerLimitWatts, double? Utilisation, long? MemoryUsedBytes);

    private sealed record Card(string Directory, string Vendor, uint VendorId, uint DeviceId, uint? Revision, string Address);
}
