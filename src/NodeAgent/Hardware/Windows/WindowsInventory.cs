using System.Globalization;
using System.Text.Json;
using Federation.NodeAgent.Hardware.Commands;
using Federation.Protocol;

namespace Federation.NodeAgent.Hardware.Windows;

/// <summary>
/// What WMI knows of a Windows machine, asked through PowerShell once and kept: this part of the hardware does not change while the
/// agent runs.
/// </summary>
/// <remarks>
/// Not through System.Management: it needs COM and reflection that a trimmed program does not have (and warns of it), and would add its
/// weight to every platform's agent for one question at start-up.
/// </remarks>
internal sealed class WindowsInventory(ICommandRunner commands)
{
    // WMI's own figure for a GPU's memory has 32 bits; the driver writes the full one into the registry.
    private const string Script =
        """
        $ErrorActionPreference = 'SilentlyContinue'
        [Console]::OutputEncoding = [System.Text.Encoding]::UTF8
        @{
          os = @(Get-CimInstance Win32_OperatingSystem | Select-Object Caption, Version)
          cpu = @(Get-CimInstance Win32_Processor | Select-Object Name, NumberOfCores, NumberOfLogicalProcessors)
          gpu = @(Get-CimInstance Win32_VideoController | Select-Object Name, PNPDeviceID, DriverVersion, AdapterRAM)
          adapter = @(Get-ItemProperty 'HKLM:\SYSTEM\CurrentControlSet\Control\Class\{4d36e968-e325-11ce-bfc1-08002be10318}\0*' |
            Select-Object DriverDesc, @{ n = 'MemorySize'; e = { $_.'HardwareInformation.qwMemorySize' } })
        } | ConvertTo-Json -Depth 4 -Compress
        """;

    /// <summary>What AdapterRAM says of everything that does not fit in 32 bits: 4 GiB less one MiB.</summary>
    private const long LargestAdapterRam = 0xFFF0_0000;

    private const int MaxCores = 65_536;

    private readonly Lock _lock = new();
    private Task<WindowsFacts>? _reading;

    public Task<WindowsFacts> ReadAsync(CancellationToken cancellationToken)
    {
        lock (_lock)
        {
            // Bounded by the runner, and for all who ask: one caller's impatience must not spoil the answer of the others.
            if (_reading is null or { IsCompletedSuccessfully: true, Result.Answered: false } or { IsFaulted: true })
            {
                _reading = AskAsync();
            }

            return _reading.WaitAsync(cancellationToken);
        }
    }

    private async Task<WindowsFacts> AskAsync()
    {
        string[] arguments = ["-NoProfile", "-NonInteractive", "-Command", Script];
        return await commands.RunAsync("powershell", arguments, CancellationToken.None).ConfigureAwait(false) is { } output
            ? Parse(output.Text)
            : WindowsFacts.None;
    }

    internal static WindowsFacts Parse(string text)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(text.TrimStart('\uFEFF'));
            return document.RootElement.ValueKind == JsonValueKind.Object ? Parse(document.RootElement) : WindowsFacts.None;
        }
        catch (Exception exception) when (exception.IsBadJson())
        {
            return WindowsFacts.None;
        }
    }

    private static WindowsFacts Parse(JsonElement root)
    {
        Entry[] processors = [.. Entries(root, "cpu")];
        Entry[] adapters = [.. Entries(root, "adapter")];
        Entry system = Entries(root, "os").FirstOrDefault();
        return new WindowsFacts(
            Readings.Text(system.Text("Caption")),
            Readings.Text(system.Text("Version")),
            Readings.Text(processors.FirstOrDefault().Text("Name")),
            Sum("NumberOfCores"),
            Sum("NumberOfLogicalProcessors"),
            [.. Entries(root, "gpu").Select(gpu => ToDevice(gpu, adapters)).OfType<GpuDevice>()]);

        // One entry per socket.
        int? Sum(string name) => processors.All(processor => Readings.Count(processor.Number(name), MaxCores) is not null)
            ? Readings.Count(processors.Sum(processor => processor.Number(name)), MaxCores)
            : null;
    }

    private static GpuDevice? ToDevice(Entry gpu, Entry[] adapters)
    {
        // PCI\VEN_10DE&DEV_2684&SUBSYS_…: remote desktops and other displays without a device are not on this bus.
        string? plugAndPlayId = Readings.Text(gpu.Text("PNPDeviceID"));
        const string Prefix = @"PCI\VEN_";
        if (plugAndPlayId is null
            || !plugAndPlayId.StartsWith(Prefix, StringComparison.OrdinalIgnoreCase)
            || plugAndPlayId.Length < Prefix.Length + 4
            || !uint.TryParse(plugAndPlayId.AsSpan(Prefix.Length, 4), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out uint vendorId)
            || Readings.VendorOfPciId(vendorId) is not { } vendor)
        {
            return null;
        }

        string? name = Readings.Text(gpu.Text("Name"));
        long? fromRegistry = adapters
            .Where(adapter => name is not null && Readings.Text(adapter.Text("DriverDesc")) == name)
            .Select(adapter => Readings.DeviceMemory(adapter.Number("MemorySize")))
            .FirstOrDefault(size => size is not null);
        long? fromWmi = gpu.Number("AdapterRAM") is > 0 and < LargestAdapterRam and var bytes ? bytes : null;
        return new GpuDevice
        {
            Id = plugAndPlayId,
            Vendor = vendor,
            Name = name,
            DriverVersion = Readings.Text(gpu.Text("DriverVersion")),
            MemoryTotalBytes = fromRegistry ?? fromWmi,
        };
    }

    /// <summary>PowerShell writes a list of one as that one.</summary>
    private static IEnumerable<Entry> Entries(JsonElement root, string name)
    {
        if (!root.TryGetProperty(name, out JsonElement value))
        {
            return [];
        }

        IEnumerable<JsonElement> elements = value.ValueKind == JsonValueKind.Array ? value.EnumerateArray() : [value];
        return elements.Where(element => element.ValueKind == JsonValueKind.Object).Take(Readings.MaxDevices).Select(element => new Entry(element));
    }

    private readonly record struct Entry(JsonElement Element)
    {
        public string? Text(string name) => Member(name) is { ValueKind: JsonValueKind.String } value ? value.GetString() : null;

        public long? Number(string name) =>
            Member(name) is { ValueKind: JsonValueKind.Number } value && value.TryGetInt64(out long number) ? number : null;

        private JsonElement? Member(string name) =>
            Element.ValueKind == JsonValueKind.Object && Element.TryGetProperty(name, out JsonElement value) ? value : null;
    }
}

/// <summary>What <see cref="WindowsInventory"/> found; null where WMI did not say.</summary>
internal sealed record WindowsFacts(
    string? SystemName, string? SystemVersion, string? CpuModel, int? PhysicalCores, int? LogicalCores, IReadOnlyList<GpuDevice> Devices)
{
    public static WindowsFacts None { get; } = new(null, null, null, null, null, []);

    /// <summary>WMI said at least what system this is; asking again would bring nothing new.</summary>
    public bool Answered => SystemName is not null;
}
