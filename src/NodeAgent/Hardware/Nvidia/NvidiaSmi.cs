using Federation.NodeAgent.Hardware.Commands;

namespace Federation.NodeAgent.Hardware.Nvidia;

/// <summary>NVIDIA's command line tool, for machines where its library cannot be loaded.</summary>
internal sealed class NvidiaSmi(ICommandRunner commands)
{
    private const long Mebibyte = 1 << 20;

    // The name comes last because it is the only column that could hold a comma.
    private static readonly string[] _columns =
    [
        "index", "uuid", "pci.bus_id", "driver_version", "memory.total", "memory.used", "temperature.gpu",
        "power.draw", "power.limit", "utilization.gpu", "compute_cap", "name",
    ];

    private static readonly string[] _loadColumns =
        ["index", "uuid", "pci.bus_id", "memory.used", "temperature.gpu", "power.draw", "utilization.gpu"];

    public async Task<IReadOnlyList<GpuDevice>> DetectAsync(CancellationToken cancellationToken)
    {
        IReadOnlyList<GpuDevice> devices = await QueryAsync(_columns, ParseDevices, cancellationToken).ConfigureAwait(false);
        if (devices.Count == 0)
        {
            // Drivers before 470 refuse the whole query for a column that they do not know.
            string[] oldColumns = [.. _columns.Where(column => column != "compute_cap")];
            devices = await QueryAsync(oldColumns, ParseDevices, cancellationToken).ConfigureAwait(false);
        }

        if (devices.Count == 0)
        {
            return [];
        }

        string? cuda = await commands.RunAsync("nvidia-smi", ["-q", "-x"], cancellationToken).ConfigureAwait(false) is { Succeeded: true } log
            ? ParseCudaVersion(log.Text)
            : null;
        return [.. devices.Select(device => device with { CudaVersion = cuda })];
    }

    public Task<IReadOnlyList<GpuLoad>> DetectLoadAsync(CancellationToken cancellationToken) =>
        QueryAsync(_loadColumns, ParseLoads, cancellationToken);

    /// <summary>What <c>--query-gpu=</c><paramref name="columns"/><c> --format=csv,noheader,nounits</c> printed.</summary>
    internal static IReadOnlyList<GpuDevice> ParseDevices(string csv, IReadOnlyList<string> columns) =>
    [
        .. Rows(csv, columns).Select(row => new GpuDevice
        {
            Id = row.DeviceId,
            Vendor = GpuVendors.Nvidia,
            Name = row.Text("name"),
            Uuid = row.Text("uuid"),
            DriverVersion = row.Text("driver_version"),
            MemoryTotalBytes = Readings.DeviceMemory(Readings.Bytes(row.Number("memory.total"), Mebibyte)),
            MemoryUsedBytes = Readings.Bytes(row.Number("memory.used"), Mebibyte),
            TemperatureCelsius = Readings.Celsius(row.Number("temperature.gpu")),
            PowerWatts = Readings.Watts(row.Number("power.draw")),
            PowerLimitWatts = Readings.WattsLimit(row.Number("power.limit")),
            Utilisation = Readings.Share(row.Number("utilization.gpu")),
            ComputeCapability = row.Text("compute_cap"),
            PciBusId = Readings.PciAddress(row.Text("pci.bus_id")),
        }),
    ];

    /// <inheritdoc cref="ParseDevices"/>
    internal static IReadOnlyList<GpuLoad> ParseLoads(string csv, IReadOnlyList<string> columns) =>
    [
        .. Rows(csv, columns).Select(row => new GpuLoad(row.DeviceId)
        {
            MemoryUsedBytes = Readings.Bytes(row.Number("memory.used"), Mebibyte),
            TemperatureCelsius = Readings.Celsius(row.Number("temperature.gpu")),
            PowerWatts = Readings.Watts(row.Number("power.draw")),
            Utilisation = Readings.Share(row.Number("utilization.gpu")),
        }),
    ];

    /// <summary>The CUDA version in what <c>-q -x</c> printed. One element is wanted, for which no XML reader need be shipped.</summary>
    internal static string? ParseCudaVersion(string xml)
    {
        const string Open = "<cuda_version>";
        int start = xml.IndexOf(Open, StringComparison.Ordinal) + Open.Length;
        int end = start < Open.Length ? -1 : xml.IndexOf('<', start);
        return end < 0 ? null : Readings.Text(xml[start..end]) is { } version && char.IsAsciiDigit(version[0]) ? version : null;
    }

    private async Task<IReadOnlyList<T>> QueryAsync<T>(
        string[] columns, Func<string, IReadOnlyList<string>, IReadOnlyList<T>> parse, CancellationToken cancellationToken)
    {
        string[] arguments = [$"--query-gpu={string.Join(',', columns)}", "--format=csv,noheader,nounits"];
        return await commands.RunAsync("nvidia-smi", arguments, cancellationToken).ConfigureAwait(false) is { Succeeded: true } output
            ? parse(output.Text, columns)
            : [];
    }

    private static IEnumerable<Row> Rows(string csv, IReadOnlyList<string> columns)
    {
        foreach (string line in csv.Split('\n', StringSplitOptions.RemoveEmptyEntries).Take(Readings.MaxDevices))
        {
            string[] cells = line.Split(',', columns.Count, StringSplitOptions.TrimEntries);
            // What does not begin with a number is a message ("No devices were found") and no row.
            if (cells.Length == columns.Count && Readings.WholeNumber(cells[0]) is >= 0 and < int.MaxValue and var index)
            {
                yield return new Row((int)index, columns, cells);
            }
        }
    }

    private readonly record struct Row(int Index, IReadOnlyList<string> Columns, string[] Cells)
    {
        public string DeviceId => NvidiaGpuProbe.DeviceId(Text("uuid"), Readings.PciAddress(Text("pci.bus_id")), Index);

        public string? Text(string column) => Readings.Text(Cell(column));

        public double? Number(string column) => Readings.Number(Cell(column));

        private string? Cell(string column)
        {
            for (int i = 0; i < Columns.Count; i++)
            {
                if (Columns[i] == column)
                {
                    return Cells[i];
                }
            }

            return null;
        }
    }
}
