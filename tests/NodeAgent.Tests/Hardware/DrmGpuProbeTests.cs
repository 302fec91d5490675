using Federation.NodeAgent.Hardware;
using Federation.NodeAgent.Hardware.Linux;

namespace Federation.NodeAgent.Tests.Hardware;

public sealed class DrmGpuProbeTests
{
    private const string Desktop = "linux/ryzen-rx-7900-xtx";

    [Fact]
    public async Task An_AMD_card_is_read_from_sysfs()
    {
        IReadOnlyList<GpuDevice> devices = await Probe(Desktop, new ScriptedCommands()).DetectAsync(default);

        Assert.Equal(2, devices.Count);
        Assert.Equal(
            new GpuDevice
            {
                Id = "GPU-9d4a1f37c2e805b6",
                Vendor = "amd",
                Name = "AMD Radeon RX 7900 XTX",
                Uuid = "GPU-9d4a1f37c2e805b6",
                MemoryTotalBytes = 25753026560,
                MemoryUsedBytes = 1287659520,
                TemperatureCelsius = 46,
                PowerWatts = 28,
                PowerLimitWatts = 339,
                Utilisation = 0.03,
                PciBusId = "0000:03:00.0",
            },
            devices[1]);
    }

    [Fact]
    public async Task A_sleeping_GPU_is_not_woken_up()
    {
        GpuDevice sleeping = (await Probe(Desktop, new ScriptedCommands()).DetectAsync(default))[0];

        Assert.Equal("Raphael", sleeping.Name);
        Assert.Equal("0000:0c:00.0", sleeping.Id);
        Assert.Equal(536870912, sleeping.MemoryTotalBytes);
        Assert.Null(sleeping.MemoryUsedBytes);
        Assert.Null(sleeping.Utilisation);
    }

    [Fact]
    public async Task The_tool_fills_in_what_the_kernel_does_not_say()
    {
        var commands = new ScriptedCommands().Prints("rocm-smi", Recording.Text("rocm-smi/rx-7900-xtx.json"));

        IReadOnlyList<GpuDevice> devices = await Probe(Desktop, commands).DetectAsync(default);

        Assert.Equal(2, devices.Count);
        Assert.Equal("AMD Radeon RX 7900 XTX", devices[1].Name);
        Assert.Equal("6.8.5", devices[1].DriverVersion);
        Assert.Equal("gfx1100", devices[1].ComputeCapability);
        Assert.Null(devices[0].DriverVersion);
    }

    [Fact]
    public async Task A_load_names_the_same_devices_and_starts_no_program()
    {
        var commands = new ScriptedCommands().Prints("rocm-smi", Recording.Text("rocm-smi/rx-7900-xtx.json"));

        Assert.Equal(
            [
                new GpuLoad("0000:0c:00.0"),
                new GpuLoad("GPU-9d4a1f37c2e805b6") { TemperatureCelsius = 46, PowerWatts = 28, Utilisation = 0.03, MemoryUsedBytes = 1287659520 },
            ],
            await Probe(Desktop, commands).DetectLoadAsync(default));
        Assert.Empty(commands.Calls);
    }

    [Fact]
    public async Task Other_vendors_are_named_and_displays_without_a_GPU_are_not()
    {
        IReadOnlyList<GpuDevice> devices = await Probe("linux/intel-and-nouveau", new ScriptedCommands()).DetectAsync(default);

        Assert.Equal(
            [
                new GpuDevice
                {
                    Id = "0000:00:02.0", PciBusId = "0000:00:02.0", Vendor = "intel", Name = "Raptor Lake-S GT1 [UHD Graphics 770]", UnifiedMemory = true,
                },
                new GpuDevice { Id = "0000:01:00.0", PciBusId = "0000:01:00.0", Vendor = "nvidia", Name = "AD102 [GeForce RTX 4090]" },
            ],
            devices);
    }

    [Fact]
    public async Task Without_graphics_the_tool_alone_is_believed()
    {
        var commands = new ScriptedCommands().Prints("rocm-smi", Recording.Text("rocm-smi/mi250x.json"), exitCode: 2);

        IReadOnlyList<GpuDevice> devices = await Probe("linux/arm-server", commands).DetectAsync(default);

        Assert.Equal(
            [
                new GpuDevice
                {
                    Id = "GPU-7f3c0a95d1e8264b",
                    Uuid = "GPU-7f3c0a95d1e8264b",
                    Vendor = "amd",
                    Name = "AMD INSTINCT MI250X",
                    DriverVersion = "5.16.9.22.20",
                    MemoryTotalBytes = 68702699520,
                    MemoryUsedBytes = 11735040,
                    TemperatureCelsius = 40,
                    PowerWatts = 92,
                    PowerLimitWatts = 560,
                    Utilisation = 0,
                    PciBusId = "0000:c1:00.0",
                },
                new GpuDevice
                {
                    Id = "0000:c6:00.0",
                    Vendor = "amd",
                    Name = "AMD INSTINCT MI250X",
                    DriverVersion = "5.16.9.22.20",
                    MemoryTotalBytes = 68702699520,
                    MemoryUsedBytes = 11735040,
                    Utilisation = 0,
                    PciBusId = "0000:c6:00.0",
                },
            ],
            devices);
    }

    private static DrmGpuProbe Probe(string recording, ScriptedCommands commands) =>
        new(new SystemFiles(Recording.Path(recording)), new RocmSmi(commands));
}
