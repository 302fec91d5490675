using Federation.NodeAgent.Hardware;
using Federation.NodeAgent.Hardware.Apple;
using Federation.NodeAgent.Hardware.Linux;
using Federation.NodeAgent.Hardware.Nvidia;
using Federation.NodeAgent.Hardware.Windows;
using Microsoft.Extensions.Logging.Abstractions;

namespace Federation.NodeAgent.Tests.Hardware;

public sealed class HardwareDetectorTests
{
    private static readonly GpuDevice _nvidia = new() { Id = "GPU-1", Vendor = "nvidia", PciBusId = "0000:01:00.0", Name = "NVML" };

    [Fact]
    public void A_device_that_two_sources_know_is_the_first_one_s()
    {
        GpuDevice again = _nvidia with { Id = "0000:01:00.0", Name = "sysfs" };
        GpuDevice other = _nvidia with { Id = "0000:02:00.0", PciBusId = "0000:02:00.0", Name = "nouveau" };
        GpuDevice amd = new() { Id = "GPU-9", Vendor = "amd", PciBusId = "0000:00:03.0" };

        Assert.Equal([amd, _nvidia, other], HardwareDetector.Merge([[_nvidia], [again, other, amd]]));
    }

    [Fact]
    public void A_source_without_addresses_counts_only_for_vendors_that_nobody_spoke_for()
    {
        GpuDevice wmi = new() { Id = "PCI\\VEN_10DE", Vendor = "nvidia", Name = "WMI" };
        GpuDevice intel = new() { Id = "PCI\\VEN_8086", Vendor = "intel" };
        GpuDevice second = new() { Id = "PCI\\VEN_8086&1", Vendor = "intel" };

        Assert.Equal([_nvidia, intel, second], HardwareDetector.Merge([[_nvidia], [wmi, intel, second]]));
        Assert.Equal([wmi], HardwareDetector.Merge([[], [wmi]]));
    }

    [Fact]
    public async Task A_source_that_throws_is_left_out()
    {
        var detector = new HardwareDetector(
            new BrokenHost(), [new BrokenProbe(), new FixedProbe(_nvidia)], Path.GetTempPath(), NullLogger<HardwareDetector>.Instance);

        HardwareReport report = await detector.DetectAsync(default);

        Assert.Equal([_nvidia], report.Devices);
        Assert.Null(report.Cpu.Model);
        Assert.Equal([new GpuLoad("GPU-1") { Utilisation = 0.5 }], (await detector.DetectLoadAsync(default)).Devices);
    }

    [Fact]
    public async Task A_cancelled_detection_throws()
    {
        var detector = new HardwareDetector(new BrokenHost(), [new FixedProbe(_nvidia)], "/", NullLogger<HardwareDetector>.Instance);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => detector.DetectAsync(new CancellationToken(canceled: true)));
    }

    [Fact]
    public async Task Cpu_load_is_measured_since_the_reading_before()
    {
        var host = new CountingHost();
        var detector = new HardwareDetector(host, [], "/", NullLogger<HardwareDetector>.Instance);

        host.Times = new CpuTimes(100, 1000);
        Assert.Null((await detector.DetectLoadAsync(default)).CpuLoad);
        host.Times = new CpuTimes(150, 1200);
        Assert.Equal(0.25, (await detector.DetectLoadAsync(default)).CpuLoad);
        host.Times = null;
        Assert.Null((await detector.DetectLoadAsync(default)).CpuLoad);
    }

    [Fact]
    public async Task The_disk_of_a_directory_that_is_not_there_yet_is_that_of_its_parent()
    {
        string missing = Path.Combine(Path.GetTempPath(), "federation-node-not-here", "yet");
        var detector = new HardwareDetector(new CountingHost(), [], missing, NullLogger<HardwareDetector>.Instance);

        DiskInfo disk = (await detector.DetectAsync(default)).Disk;

        Assert.Equal(missing, disk.Path);
        Assert.InRange(disk.FreeBytes!.Value, 0, disk.TotalBytes!.Value);
        Assert.True(disk.TotalBytes > 0);
    }

    [Fact]
    public async Task This_machine_is_detected_whatever_it_is()
    {
        HardwareDetector detector = HardwareDetector.ForThisMachine(Path.GetTempPath(), TimeProvider.System, NullLogger<HardwareDetector>.Instance);

        HardwareReport report = await detector.DetectAsync(default);
        LoadReport load = await detector.DetectLoadAsync(default);

        Assert.Contains(report.OperatingSystem.Family, new[] { "linux", "macos", "windows" });
        Assert.True(report.Memory.TotalBytes > 0);
        Assert.True(report.Cpu.LogicalCores > 0);
        Assert.Equal(report.Devices.Count, report.Devices.Select(device => device.Id).Distinct().Count());
        Assert.Subset(report.Devices.Select(device => device.Id).ToHashSet(), load.Devices.Select(device => device.DeviceId).ToHashSet());
    }

    [Fact]
    public void No_garbage_throws_and_none_gets_through()
    {
        const int Seed = 20260802;
        int inputs = 0;
        foreach (string text in Recording.Garbage(Seed))
        {
            inputs++;
            try
            {
                AssertClean(NvidiaSmi.ParseDevices(text, ["index", "uuid", "pci.bus_id", "driver_version", "memory.total", "memory.used", "temperature.gpu", "power.draw", "power.limit", "utilization.gpu", "compute_cap", "name"]));
                AssertClean(RocmSmi.Parse(text));
                AssertClean(AppleGpuProbe.ParseDisplays(text, machineMemory: null));
                AssertClean(WindowsInventory.Parse(text).Devices);
                NvidiaSmi.ParseCudaVersion(text);
                AppleGpuProbe.ParseStatistics(text);
                AppleHost.ParseAvailableMemory(text);
                AppleHost.ToHost(AppleHost.ParseSysctl(text), null, "x64");
                LinuxHost.ParseCpuInfo(text);
                LinuxHost.ParseCpuTimes(text);
                LinuxHost.ParseMemInfo(text);
                LinuxHost.ParseOsRelease(text, "x64");
                PciNames.FindPci(text.Split('\n'), 0x1002, 0x744c);
                PciNames.FindAmd(text.Split('\n'), 0x744c, 0xc8);
            }
            catch (Exception exception)
            {
                Assert.Fail($"seed {Seed}, input {inputs}: {exception}\n{text[..Math.Min(500, text.Length)]}");
            }
        }

        Assert.True(inputs > 500);
    }

    private static void AssertClean(IReadOnlyList<GpuDevice> devices)
    {
        Assert.InRange(devices.Count, 0, 64);
        Assert.All(devices, device =>
        {
            Assert.InRange(device.Id.Length, 1, 200);
            Assert.True(device.Utilisation is null or (>= 0 and <= 1));
            Assert.True(device.TemperatureCelsius is null or (>= -50 and <= 200));
            Assert.True(device.PowerWatts is null or (>= 0 and <= 20_000));
            Assert.True(device.MemoryTotalBytes is null or > 0);
            Assert.True(device.MemoryUsedBytes is null or >= 0);
            foreach (string? text in new[] { device.Id, device.Name, device.Uuid, device.DriverVersion, device.ComputeCapability, device.PciBusId })
            {
                Assert.True(text is null || (text.Length <= 200 && !text.Any(char.IsControl)), $"unclean: {text}");
            }
        });
    }

    private sealed class FixedProbe(params GpuDevice[] devices) : IGpuProbe
    {
        public Task<IReadOnlyList<GpuDevice>> DetectAsync(CancellationToken cancellationToken)
        {
            cancellationToken.ThrowIfCancellationRequested();
            return Task.FromResult<IReadOnlyList<GpuDevice>>(devices);
        }

        public Task<IReadOnlyList<GpuLoad>> DetectLoadAsync(CancellationToken cancellationToken) =>
            Task.FromResult<IReadOnlyList<GpuLoad>>([.. devices.Select(device => new GpuLoad(device.Id) { Utilisation = 0.5 })]);
    }

    private sealed class BrokenProbe : IGpuProbe
    {
        public Task<IReadOnlyList<GpuDevice>> DetectAsync(CancellationToken cancellationToken) => throw new InvalidOperationException("broken");

        public Task<IReadOnlyList<GpuLoad>> DetectLoadAsync(CancellationToken cancellationToken) => throw new InvalidOperationException("broken");
    }

    private sealed class BrokenHost : IHostProbe
    {
        public Task<HostInfo> DetectAsync(CancellationToken cancellationToken) => throw new InvalidOperationException("broken");

        public CpuTimes? ReadCpuTimes() => null;
    }

    private sealed class CountingHost : IHostProbe
    {
        public CpuTimes? Times { get; set; }

        public Task<HostInfo> DetectAsync(CancellationToken cancellationToken) => Task.FromResult(HostInfo.Unknown);

        public CpuTimes? ReadCpuTimes() => Times;
    }
}
