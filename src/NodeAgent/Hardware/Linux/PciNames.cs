using System.Globalization;

namespace Federation.NodeAgent.Hardware.Linux;

/// <summary>
/// Names of PCI devices from the databases that distributions install. AMD's own comes first: it tells cards apart that share a
/// chip, by their revision.
/// </summary>
internal sealed class PciNames(SystemFiles files)
{
    private const string AmdNames = "usr/share/libdrm/amdgpu.ids";
    private static readonly string[] _pciNames = ["usr/share/hwdata/pci.ids", "usr/share/misc/pci.ids"];

    public string? Find(uint vendor, uint device, uint? revision) =>
        (vendor == 0x1002 && revision is { } known ? FindAmd(files.ReadLines(AmdNames), device, known) : null)
        ?? _pciNames.Select(path => FindPci(files.ReadLines(path), vendor, device)).FirstOrDefault(name => name is not null);

    /// <summary>Lines of <c>744C, C8, AMD Radeon RX 7900 XTX</c>: device, revision, name.</summary>
    internal static string? FindAmd(IEnumerable<string> lines, uint device, uint revision)
    {
        foreach (string line in lines)
        {
            if (line.Split(',', 3, StringSplitOptions.TrimEntries) is [var first, var second, var name] && Hex(first) == device && Hex(second) == revision)
            {
                return Readings.Text(name);
            }
        }

        return null;
    }

    /// <summary>A vendor's line begins at the margin, those of its devices with one tab, those of their variants with two.</summary>
    internal static string? FindPci(IEnumerable<string> lines, uint vendor, uint device)
    {
        bool ofVendor = false;
        foreach (string line in lines)
        {
            if (line.Length < 4 || line[0] == '#' || line.StartsWith("\t\t", StringComparison.Ordinal))
            {
                continue;
            }

            if (line[0] != '\t')
            {
                if (ofVendor)
                {
                    return null; // all its devices have gone by
                }

                ofVendor = Hex(line[..4]) == vendor;
            }
            else if (ofVendor && line.Length > 5 && Hex(line[1..5]) == device)
            {
                return Readings.Text(line[5..]);
            }
        }

        return null;
    }

    private static uint? Hex(string text) =>
        uint.TryParse(text, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out uint number) ? number : null;
}
