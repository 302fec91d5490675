using System.Globalization;
using System.Text;

namespace Federation.NodeAgent.Hardware;

/// <summary>
/// Turns what drivers and tools print into values, or into null: for what is missing, marked as not available, or beyond anything a
/// machine could have. What passes here goes to the hub and onto its console, so texts lose their control characters.
/// </summary>
internal static class Readings
{
    /// <summary>The most GPUs that are reported of one machine.</summary>
    public const int MaxDevices = 64;

    private const int MaxTextLength = 128;
    private const long MaxBytes = 1L << 50;

    public static string? Text(string? raw)
    {
        if (raw is null)
        {
            return null;
        }

        var text = new StringBuilder(Math.Min(raw.Length, MaxTextLength));
        foreach (Rune rune in raw.AsSpan().Trim().EnumerateRunes())
        {
            if (text.Length >= MaxTextLength - 1)
            {
                break;
            }

            if (!Rune.IsControl(rune) && rune != Rune.ReplacementChar && Rune.GetUnicodeCategory(rune) is not UnicodeCategory.Format)
            {
                text.Append(rune);
            }
        }

        string cleaned = text.ToString().Trim();
        return cleaned.Length == 0 || IsPlaceholder(cleaned) ? null : cleaned;
    }

    /// <summary>The beginning of a text up to the first NUL, as C libraries return it.</summary>
    public static string? Text(ReadOnlySpan<byte> raw)
    {
        int end = raw.IndexOf((byte)0);
        return Text(Encoding.UTF8.GetString(end < 0 ? raw : raw[..end]));
    }

    public static long? WholeNumber(string? raw) =>
        long.TryParse(raw, NumberStyles.AllowLeadingWhite | NumberStyles.AllowTrailingWhite, CultureInfo.InvariantCulture, out long number) ? number : null;

    public static double? Number(string? raw) =>
        double.TryParse(raw, NumberStyles.Float, CultureInfo.InvariantCulture, out double number) && double.IsFinite(number) ? number : null;

    /// <param name="number">How many <paramref name="unit"/>s.</param>
    /// <param name="unit">Bytes in one unit.</param>
    public static long? Bytes(double? number, long unit = 1) =>
        number is { } count && count >= 0 && count * unit <= MaxBytes ? (long)(count * unit) : null;

    /// <inheritdoc cref="Bytes(double?, long)"/>
    public static long? Bytes(long? number, long unit = 1) =>
        number is { } count && count >= 0 && count <= MaxBytes / unit ? count * unit : null;

    /// <summary>A GPU's memory: as <see cref="Bytes(long?, long)"/>, but none at all means that the driver does not know.</summary>
    public static long? DeviceMemory(long? bytes) => Bytes(bytes) is > 0 and var some ? some : null;

    public static double? Celsius(double? degrees) => Within(degrees, -50, 200);

    public static double? Watts(double? watts) => Within(watts, 0, 20_000);

    /// <summary>A limit of zero is how some drivers say that there is none.</summary>
    public static double? WattsLimit(double? watts) => Watts(watts) is > 0 and var some ? some : null;

    public static double? Share(double? percent) => Within(percent, 0, 100) / 100;

    public static int? Count(long? number, int max) => number >= 1 && number <= max ? (int)number : null;

    /// <summary>
    /// A PCI address as Linux writes it, <c>0000:01:00.0</c>; NVIDIA's tools print the domain with eight digits and in capitals.
    /// </summary>
    public static string? PciAddress(string? raw)
    {
        if (raw?.Trim().Split(':', '.') is not [var domain, var bus, var device, var function])
        {
            return null;
        }

        return Hex(domain, 8) is { } d && Hex(bus, 2) is { } b && Hex(device, 2) is { } v && Hex(function, 1) is { } f
            ? PciAddress(d, b, v, f)
            : null;

        static uint? Hex(string digits, int max) =>
            digits.Length <= max && uint.TryParse(digits, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out uint number) ? number : null;
    }

    /// <inheritdoc cref="PciAddress(string?)"/>
    public static string PciAddress(uint domain, uint bus, uint device, uint function) =>
        string.Create(CultureInfo.InvariantCulture, $"{domain:x4}:{bus:x2}:{device:x2}.{function:x}");

    public static string? VendorOfPciId(uint id) => id switch
    {
        0x10de => GpuVendors.Nvidia,
        0x1002 => GpuVendors.Amd,
        0x8086 => GpuVendors.Intel,
        0x106b => GpuVendors.Apple,
        _ => null,
    };

    private static double? Within(double? number, double min, double max) => number >= min && number <= max ? number : null;

    /// <summary><c>[N/A]</c>, <c>[Not Supported]</c>, <c>[Unknown Error]</c>, <c>[GPU requires reset]</c>…</summary>
    private static bool IsPlaceholder(string text) =>
        (text.StartsWith('[') && text.EndsWith(']'))
        || text.Equals("N/A", StringComparison.OrdinalIgnoreCase)
        || text.Equals("Unknown", StringComparison.OrdinalIgnoreCase)
        || text.Equals("To be filled by O.E.M.", StringComparison.OrdinalIgnoreCase);
}
