using System.Globalization;
using System.Text.Json;
using Federation.NodeAgent.Hardware.Commands;
using Federation.Protocol;

namespace Federation.NodeAgent.Hardware.Apple;

/// <summary>
/// GPUs of a Mac, through <c>system_profiler</c>; how busy they are through <c>ioreg</c>. Temperature and power need root there, so
/// they stay unknown.
/// </summary>
internal sealed class AppleGpuProbe(ICommandRunner commands) : IGpuProbe
{
    private static readonly string[] _accelerators = ["-r", "-d", "1", "-w", "0", "-c", "IOAccelerator"];

    /// <summary>The id of the GPU that <c>ioreg</c>'s figures belong to; null if there is not exactly one.</summary>
    private string? _onlyDevice;

    public async Task<IReadOnlyList<GpuDevice>> DetectAsync(CancellationToken cancellationToken)
    {
        Task<CommandOutput?> profiler = commands.RunAsync("system_profiler", ["SPDisplaysDataType", "-json"], cancellationToken);
        Task<CommandOutput?> sysctl = commands.RunAsync("sysctl", ["hw.memsize"], cancellationToken);
        long? machineMemory = AppleHost.TotalMemory(AppleHost.ParseSysctl((await sysctl.ConfigureAwait(false))?.Text ?? ""));
        IReadOnlyList<GpuDevice> devices = ParseDisplays((await profiler.ConfigureAwait(false))?.Text ?? "", machineMemory);

        _onlyDevice = devices is [var only] ? only.Id : null;
        if (await ReadLoadAsync(cancellationToken).ConfigureAwait(false) is not { } load)
        {
            return devices;
        }

        return [devices[0] with { Utilisation = load.Utilisation, MemoryUsedBytes = load.MemoryUsedBytes }];
    }

    public async Task<IReadOnlyList<GpuLoad>> DetectLoadAsync(CancellationToken cancellationToken) =>
        await ReadLoadAsync(cancellationToken).ConfigureAwait(false) is { } load ? [load] : [];

    /// <summary>What <c>system_profiler SPDisplaysDataType -json</c> printed.</summary>
    /// <param name="json">The output.</param>
    /// <param name="machineMemory">Bytes of main memory, which Apple's own GPUs share.</param>
    internal static IReadOnlyList<GpuDevice> ParseDisplays(string json, long? machineMemory)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(json);
            if (document.RootElement.ValueKind != JsonValueKind.Object
                || !document.RootElement.TryGetProperty("SPDisplaysDataType", out JsonElement cards)
                || cards.ValueKind != JsonValueKind.Array)
            {
                return [];
            }

            IEnumerable<JsonElement> entries = cards.EnumerateArray().Where(card => card.ValueKind == JsonValueKind.Object).Take(Readings.MaxDevices);
            return [.. entries.Select((card, index) => ToDevice(card, index, machineMemory)).OfType<GpuDevice>()];
        }
        catch (Exception exception) when (exception.IsBadJson())
        {
            return [];
        }
    }

    /// <summary>
    /// The statistics that <c>ioreg</c> prints of an accelerator, <c>"PerformanceStatistics" = {"Device Utilization %"=7,…}</c>.
    /// </summary>
    internal static (double? Utilisation, long? MemoryUsedBytes) ParseStatistics(string text)
    {
        return (Readings.Share(Value("\"Device Utilization %\"=")), Readings.Bytes(Value("\"In use system memory\"=")));

        double? Value(string key)
        {
            int start = text.IndexOf(key, StringComparison.Ordinal) + key.Length;
            return start < key.Length
                ? null
                : Readings.Number(new string([.. text.Skip(start).TakeWhile(c => char.IsAsciiDigit(c) || c == '.').Take(20)]));
        }
    }

    private static GpuDevice? ToDevice(JsonElement card, int index, long? machineMemory)
    {
        string? vendor = Member("spdisplays_vendor")?.ToLowerInvariant() switch
        {
            { } text when text.Contains("apple", StringComparison.Ordinal) => GpuVendors.Apple,
            { } text when text.Contains("amd", StringComparison.Ordinal) => GpuVendors.Amd,
            { } text when text.Contains("nvidia", StringComparison.Ordinal) => GpuVendors.Nvidia,
            { } text when text.Contains("intel", StringComparison.Ordinal) => GpuVendors.Intel,
            _ => null,
        };
        if (vendor is null)
        {
            return null;
        }

        // "Shared" is what Intel's integrated graphics say of the part of main memory that they take.
        bool unified = vendor == GpuVendors.Apple || Member("spdisplays_vram_shared") is not null;
        return new GpuDevice
        {
            Id = string.Create(CultureInfo.InvariantCulture, $"{vendor}-{index}"),
            Vendor = vendor,
            Name = Readings.Text(Member("sppci_model")) ?? Readings.Text(Member("_name")),
            UnifiedMemory = unified,
            MemoryTotalBytes = unified ? machineMemory : ParseMemory(Member("spdisplays_vram")),
        };

        string? Member(string name) =>
            card.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;
    }

    /// <summary><c>8 GB</c>, <c>1536 MB</c>; the binary kind.</summary>
    private static long? ParseMemory(string? text) => text?.Split(' ') switch
    {
        [var number, "GB"] => Readings.DeviceMemory(Readings.Bytes(Readings.Number(number), 1L << 30)),
        [var number, "MB"] => Readings.DeviceMemory(Readings.Bytes(Readings.Number(number), 1L << 20)),
        _ => null,
    };

    private async Task<GpuLoad?> ReadLoadAsync(CancellationToken cancellationToken)
    {
        if (_onlyDevice is not { } id
            || await commands.RunAsync("ioreg", _accelerators, cancellationToken).ConfigureAwait(false) is not { Succeeded: true } output)
        {
            return null;
        }

        (double? utilisation, long? used) = ParseStatistics(output.Text);
        return new GpuLoad(id) { Utilisation = utilisation, MemoryUsedBytes = used };
    }
}
