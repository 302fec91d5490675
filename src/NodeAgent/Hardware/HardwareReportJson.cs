using System.Text.Json;
using System.Text.Json.Serialization;

namespace Federation.NodeAgent.Hardware;

/// <summary><see cref="HardwareReport"/> for programs: every field is there, null where the machine does not tell.</summary>
public static class HardwareReportJson
{
    /// <summary>Indented JSON with names like <c>memory_total_bytes</c>.</summary>
    public static string Render(HardwareReport report) => JsonSerializer.Serialize(report, HardwareReportJsonContext.Default.HardwareReport);
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, WriteIndented = true)]
[JsonSerializable(typeof(HardwareReport))]
internal sealed partial class HardwareReportJsonContext : JsonSerializerContext;
