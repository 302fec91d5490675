using Federation.NodeAgent.Hardware;
using Federation.NodeAgent.Hardware.Nvidia;

namespace Federation.NodeAgent.Tests.Hardware;

public sealed class NvidiaGpuProbeTests
{
    [Fact]
    public async Task The_library_is_asked_and_the_tool_is_not()
    {
        var commands = new ScriptedCommands().Prints("nvidia-smi", Recording.Text("nvidia-smi/rtx-3060.csv"));
        var probe = new NvidiaGpuProbe(() => new FakeNvml(), new NvidiaSmi(commands), TimeProvider.System);

        GpuDevice device = Assert.Single(await probe.DetectAsync(default));
        GpuLoad load = Assert.Single(await probe.DetectLoadAsync(default));

        Assert.Equal(
            new GpuDevice
            {
                Id = "GPU-1",
                Vendor = "nvidia",
                Name = "NVIDIA A100-SXM4-80GB",
                Uuid = "GPU-1",
                DriverVersion = "550.90.07",
                CudaVersion = "12.4",
                MemoryTotalBytes = 80L << 30,
                MemoryUsedBytes = 1L << 30,
                TemperatureCelsius = 34,
                PowerWatts = 67.9,
                PowerLimitWatts = 500,
                Utilisation = 0.5,
                ComputeCapability = "8.0",
                PciBusId = "0000:47:00.0",
            },
            device);
        Assert.Equal(new GpuLoad("GPU-1") { TemperatureCelsius = 34, PowerWatts = 67.9, Utilisation = 0.5, MemoryUsedBytes = 1L << 30 }, load);
        Assert.Empty(commands.Calls);
    }

    [Fact]
    public async Task Without_the_library_the_tool_is_asked()
    {
        var commands = new ScriptedCommands().Prints("nvidia-smi", Recording.Text("nvidia-smi/rtx-3060.csv"));
        var probe = new NvidiaGpuProbe(() => null, new NvidiaSmi(commands), TimeProvider.System);
        Assert.Equal("NVIDIA GeForce RTX 3060", Assert.Single(await probe.DetectAsync(default)).Name);
    }

    [Fact]
    public async Task A_machine_without_such_cards_starts_no_program_at_each_heartbeat()
    {
        var commands = new ScriptedCommands();
        var probe = new NvidiaGpuProbe(() => null, new NvidiaSmi(commands), TimeProvider.System);
        Assert.Empty(await probe.DetectAsync(default));
        commands.Calls.Clear();

        Assert.Empty(await probe.DetectLoadAsync(default));

        Assert.Empty(commands.Calls);
    }

    [Fact]
    public async Task A_driver_that_starts_late_is_found_at_the_next_detection()
    {
        INvml? driver = null;
        var probe = new NvidiaGpuProbe(() => driver, new NvidiaSmi(new ScriptedCommands()), TimeProvider.System);
        Assert.Empty(await probe.DetectAsync(default));

        driver = new FakeNvml();

        Assert.Single(await probe.DetectAsync(default));
    }

    [Fact]
    public async Task Figures_beyond_any_machine_are_unknown()
    {
        var nvml = new FakeNvml { Celsius = 4_000_000, Watts = -1, Limit = 0, Percent = 101, Bytes = (0, null) };
        GpuDevice device = Assert.Single(await Probe(nvml).DetectAsync(default));

        Assert.Null(device.TemperatureCelsius);
        Assert.Null(device.PowerWatts);
        Assert.Null(device.PowerLimitWatts);
        Assert.Null(device.Utilisation);
        Assert.Null(device.MemoryTotalBytes);
        Assert.Null(device.MemoryUsedBytes);
    }

    [Fact]
    public async Task A_driver_that_hangs_costs_one_thread_and_no_answer()
    {
        using var release = new ManualResetEventSlim();
        var nvml = new FakeNvml();
        NvidiaGpuProbe probe = Probe(nvml);
        Assert.Single(await probe.DetectAsync(default));

        using var impatience = new CancellationTokenSource();
        nvml.Hang = release;
        Task<IReadOnlyList<GpuLoad>> stuck = probe.DetectLoadAsync(impatience.Token);
        int asked = nvml.Asked;

        Assert.Empty(await probe.DetectLoadAsync(default)); // at once: nobody waits behind the one that hangs
        await impatience.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => stuck);
        Assert.InRange(nvml.Asked, asked, asked + 1);

        release.Set();
    }

    private static NvidiaGpuProbe Probe(INvml nvml) => new(() => nvml, new NvidiaSmi(new ScriptedCommands()), TimeProvider.System);

    private sealed class FakeNvml : INvml
    {
        private int _asked;

        public double Celsius { get; init; } = 34;

        public double Watts { get; init; } = 67.9;

        public double Limit { get; init; } = 500;

        public double Percent { get; init; } = 50;

        public (long?, long?) Bytes { get; init; } = (80L << 30, 1L << 30);

        public ManualResetEventSlim? Hang { get; set; }

        public int Asked => Volatile.Read(ref _asked);

        public string? DriverVersion() => "550.90.07";

        public string? CudaVersion() => "12.4";

        public int DeviceCount()
        {
            Interlocked.Increment(ref _asked);
            Hang?.Wait();
            return 1;
        }

        public nint? Device(int index) => 1;

        public string? Name(nint device) => "NVIDIA A100-SXM4-80GB";

        public string? Uuid(nint device) => "GPU-1";

        public string? PciAddress(nint device) => "0000:47:00.0";

        public (long? Total, long? Used) Memory(nint device) => Bytes;

        public double? TemperatureCelsius(nint device) => Celsius;

        public double? PowerWatts(nint device) => Watts;

        public double? PowerLimitWatts(nint device) => Limit;

        public double? UtilisationPercent(nint device) => Percent;

        public string? ComputeCapability(nint device) => "8.0";
    }
}
