using System.Text.Json;
using Federation.NodeAgent.Hardware.Commands;
using Federation.Protocol;

namespace Federation.NodeAgent.Hardware.Linux;

/// <summary>AMD's command line tool. Its JSON has changed its keys' words and capitals over the versions, so they are matched loosely.</summary>
internal sealed class RocmSmi(ICommandRunner commands)
{
    private static readonly string[] _arguments =
    [
        "--showproductname", "--showuniqueid", "--showdriverversion", "--showmeminfo", "vram", "--showuse", "--showtemp",
        "--showpower", "--showmaxpower", "--showbus", "--json",
    ];

    public async Task<IReadOnlyList<GpuDevice>> DetectAsync(CancellationToken cancellationToken) =>
        // It exits with an error if one of many values is missing, and prints the others.
        await commands.RunAsync("rocm-smi", _arguments, cancellationToken).ConfigureAwait(false) is { } output ? Parse(output.Text) : [];

    internal static IReadOnlyList<GpuDevice> Parse(string text)
    {
        // Warnings may be printed around the JSON.
        int start = text.IndexOf('{', StringComparison.Ordinal);
        int end = text.LastIndexOf('}');
        if (start < 0 || end < start)
        {
            return [];
        }

        try
        {
            using JsonDocument document = JsonDocument.Parse(text.AsMemory(start, end - start + 1));
            return Parse(document.RootElement);
        }
        catch (Exception exception) when (exception.IsBadJson())
        {
            return [];
        }
    }

    internal static bool IsUniqueId(string id) =>
        id.Length is > 0 and <= 16 && id.All(char.IsAsciiHexDigit) && id.Any(digit => digit != '0');

    private static IReadOnlyList<GpuDevice> Parse(JsonElement root)
    {
        string? driver = root.EnumerateObject()
            .Where(member => member.Name == "system" && member.Value.ValueKind == JsonValueKind.Object)
            .Select(member => Readings.Text(new Card(member.Value).Find("driver version")))
            .FirstOrDefault();
        return
        [
            .. root.EnumerateObject()
                .Where(member => member.Name.StartsWith("card", StringComparison.Ordinal) && member.Value.ValueKind == JsonValueKind.Object)
                .Take(Readings.MaxDevices)
                .Select(member => ToDevice(member.Name, new Card(member.Value), driver)),
        ];
    }

    private static GpuDevice ToDevice(string key, Card card, string? driver)
    {
        string? id = Readings.Text(card.Find("unique id"));
        id = id?.StartsWith("0x", StringComparison.OrdinalIgnoreCase) == true ? id[2..] : id;
        string? uuid = id is not null && IsUniqueId(id) ? $"GPU-{id.ToLowerInvariant()}" : null;
        string? address = Readings.PciAddress(card.Find("pci bus"));
        string? model = Readings.Text(card.Find("card series")) ?? Readings.Text(card.Find("card model"));
        return new GpuDevice
        {
            Id = uuid ?? address ?? $"amd-{Readings.Text(key)}",
            Vendor = GpuVendors.Amd,
            // Where the tool knows no name it prints the device's number.
            Name = model?.StartsWith("0x", StringComparison.OrdinalIgnoreCase) == true ? null : model,
            Uuid = uuid,
            DriverVersion = driver,
            MemoryTotalBytes = Readings.DeviceMemory(Readings.WholeNumber(card.Find("vram total memory"))),
            MemoryUsedBytes = Readings.Bytes(Readings.WholeNumber(card.Find("vram total used memory"))),
            TemperatureCelsius = Readings.Celsius(Readings.Number(card.Find("temperature (sensor edge)") ?? card.Find("temperature (sensor junction)"))),
            PowerWatts = Readings.Watts(Readings.Number(card.Find("average graphics package power") ?? card.Find("current socket graphics package power"))),
            PowerLimitWatts = Readings.WattsLimit(Readings.Number(card.Find("max graphics package power"))),
            Utilisation = Readings.Share(Readings.Number(card.Find("gpu use"))),
            ComputeCapability = card.Find("gfx version") is { } gfx && gfx.StartsWith("gfx", StringComparison.Ordinal) ? Readings.Text(gfx) : null,
            PciBusId = address,
        };
    }

    private readonly record struct Card(JsonElement Members)
    {
        /// <summary>The value whose key begins so, whatever its capitals.</summary>
        public string? Find(string key)
        {
            foreach (JsonProperty member in Members.EnumerateObject())
            {
                if (member.Name.StartsWith(key, StringComparison.OrdinalIgnoreCase) && member.Value.ValueKind is JsonValueKind.String or JsonValueKind.Number)
                {
                    return member.Value.ToString();
                }
            }

            return null;
        }
    }
}
