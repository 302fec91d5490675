using Federation.NodeAgent.Hardware.Apple;
using Federation.NodeAgent.Hardware.Commands;
using Federation.NodeAgent.Hardware.Linux;
using Federation.NodeAgent.Hardware.Nvidia;
using Federation.NodeAgent.Hardware.Windows;
using Microsoft.Extensions.Logging;

namespace Federation.NodeAgent.Hardware;

/// <summary>Asks every source that this kind of machine has, all at once, and puts together what they say.</summary>
public sealed partial class HardwareDetector : IHardwareProbe
{
    private readonly IHostProbe _host;
    private readonly IReadOnlyList<IGpuProbe> _gpus;
    private readonly string _dataDirectory;
    private readonly ILogger _logger;
    private readonly Lock _cpuTimesLock = new();
    private CpuTimes? _lastCpuTimes;

    /// <param name="host">Everything but GPUs.</param>
    /// <param name="gpus">The earlier one is believed where two know the same device.</param>
    /// <param name="dataDirectory">Whose volume is reported.</param>
    /// <param name="logger">Hears of sources that failed.</param>
    internal HardwareDetector(IHostProbe host, IReadOnlyList<IGpuProbe> gpus, string dataDirectory, ILogger<HardwareDetector> logger)
    {
        _host = host;
        _gpus = gpus;
        _dataDirectory = dataDirectory;
        _logger = logger;
    }

    /// <summary>A detector for the machine that this process runs on.</summary>
    /// <param name="dataDirectory">Whose volume is reported; need not exist yet.</param>
    /// <param name="timeProvider">Bounds how long helper programs may run.</param>
    /// <param name="logger">Hears of sources that failed.</param>
    public static HardwareDetector ForThisMachine(string dataDirectory, TimeProvider timeProvider, ILogger<HardwareDetector> logger)
    {
        var commands = new ProcessCommandRunner(timeProvider);
        var files = new SystemFiles("/");
        var nvidia = new NvidiaGpuProbe(NvmlLibrary.TryOpen, new NvidiaSmi(commands), timeProvider);
        if (OperatingSystem.IsWindows())
        {
            var inventory = new WindowsInventory(commands);
            return new HardwareDetector(new WindowsHost(inventory), [nvidia, new WindowsGpuProbe(inventory)], dataDirectory, logger);
        }

        return OperatingSystem.IsMacOS()
            ? new HardwareDetector(new AppleHost(commands), [new AppleGpuProbe(commands)], dataDirectory, logger)
            : new HardwareDetector(new LinuxHost(files), [nvidia, new DrmGpuProbe(files, new RocmSmi(commands))], dataDirectory, logger);
    }

    /// <inheritdoc/>
    public async Task<HardwareReport> DetectAsync(CancellationToken cancellationToken)
    {
        MeasureCpuLoad();
        Task<HostInfo> host = AskHostAsync(cancellationToken);
        Task<IReadOnlyList<GpuDevice>[]> gpus = AskAllAsync((probe, token) => probe.DetectAsync(token), cancellationToken);
        await Task.WhenAll(host, gpus).ConfigureAwait(false);

        HostInfo machine = await host.ConfigureAwait(false);
        return new HardwareReport
        {
            Hostname = Readings.Text(Environment.MachineName) ?? "",
            OperatingSystem = machine.System,
            Cpu = machine.Cpu,
            Memory = machine.Memory,
            Disk = DiskOf(_dataDirectory),
            Devices = Merge(await gpus.ConfigureAwait(false)),
        };
    }

    /// <inheritdoc/>
    public async Task<LoadReport> DetectLoadAsync(CancellationToken cancellationToken)
    {
        IReadOnlyList<GpuLoad>[] loads = await AskAllAsync((probe, token) => probe.DetectLoadAsync(token), cancellationToken).ConfigureAwait(false);
        return new LoadReport(MeasureCpuLoad(), [.. loads.SelectMany(load => load).DistinctBy(load => load.DeviceId).Take(Readings.MaxDevices)]);
    }

    /// <summary>
    /// A device that two sources know is taken from the first. They know it by its address; a source without addresses (WMI) only
    /// counts for vendors that no earlier source has spoken for.
    /// </summary>
    internal static IReadOnlyList<GpuDevice> Merge(IReadOnlyList<IReadOnlyList<GpuDevice>> sources)
    {
        var merged = new List<GpuDevice>();
        foreach (IReadOnlyList<GpuDevice> source in sources)
        {
            GpuDevice[] fresh = [.. source.Where(device => !merged.Any(known =>
                known.Vendor == device.Vendor && (device.PciBusId is null || known.PciBusId == device.PciBusId)))];
            merged.AddRange(fresh);
        }

        return
        [
            .. merged
                .DistinctBy(device => device.Id)
                .OrderBy(device => device.PciBusId ?? device.Id, StringComparer.Ordinal)
                .Take(Readings.MaxDevices),
        ];
    }

    private static DiskInfo DiskOf(string directory)
    {
        // Before the first start the directory may not exist; the volume is then that of the nearest one that does.
        string? existing = Path.GetFullPath(directory);
        while (existing is not null && !Directory.Exists(existing))
        {
            existing = Path.GetDirectoryName(existing);
        }

        try
        {
            var drive = new DriveInfo(existing ?? directory);
            return new DiskInfo(directory, Readings.Bytes((long?)drive.TotalSize), Readings.Bytes((long?)drive.AvailableFreeSpace));
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ArgumentException)
        {
            return new DiskInfo(directory, null, null);
        }
    }

    private double? MeasureCpuLoad()
    {
        lock (_cpuTimesLock)
        {
            CpuTimes? now = _host.ReadCpuTimes();
            double? load = now is { } current && _lastCpuTimes is { } last ? current.LoadSince(last) : null;
            _lastCpuTimes = now;
            return load;
        }
    }

    private async Task<HostInfo> AskHostAsync(CancellationToken cancellationToken)
    {
        try
        {
            return await _host.DetectAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is not OperationCanceledException)
        {
            LogProbeFailed(exception, _host.GetType().Name);
            return HostInfo.Unknown;
        }
    }

    private Task<IReadOnlyList<T>[]> AskAllAsync<T>(Func<IGpuProbe, CancellationToken, Task<IReadOnlyList<T>>> ask, CancellationToken cancellationToken) =>
        Task.WhenAll(_gpus.Select(probe => AskAsync(probe, ask, cancellationToken)));

    private async Task<IReadOnlyList<T>> AskAsync<T>(
        IGpuProbe probe, Func<IGpuProbe, CancellationToken, Task<IReadOnlyList<T>>> ask, CancellationToken cancellationToken)
    {
        try
        {
            return await ask(probe, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is not OperationCanceledException)
        {
            // A probe should not throw, but drivers are many: a node must not stay away because one of its sources is broken.
            LogProbeFailed(exception, probe.GetType().Name);
            return [];
        }
    }

    [LoggerMessage(EventId = 3100, Level = LogLevel.Warning, Message = "Hardware source {Source} failed; its devices are left out.")]
    private partial void LogProbeFailed(Exception exception, string source);
}
