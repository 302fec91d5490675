using Federation.NodeAgent.Hardware;
using Federation.NodeAgent.Hardware.Apple;

namespace Federation.NodeAgent.Tests.Hardware;

public sealed class AppleTests
{
    [Theory]
    [InlineData("m2-ultra", "Apple M2 Ultra", 24, 192L << 30, "14.4.1")]
    [InlineData("m3-max", "Apple M3 Max", 16, 128L << 30, "15.3")]
    public async Task A_Mac_is_read_and_its_GPU_shares_its_memory(string recording, string chip, int cores, long memory, string version)
    {
        ScriptedCommands commands = Mac(recording);

        HostInfo host = await new AppleHost(commands).DetectAsync(default);
        GpuDevice device = Assert.Single(await new AppleGpuProbe(commands).DetectAsync(default));

        Assert.Equal(new OperatingSystemInfo("macos", "macOS", version, HostInfo.Architecture), host.System);
        Assert.Equal(chip, host.Cpu.Model);
        Assert.Equal(cores, host.Cpu.PhysicalCores);
        Assert.Equal(cores, host.Cpu.LogicalCores);
        Assert.Equal(["bf16", "dotprod", "fp16", "i8mm", "neon"], host.Cpu.Features);
        Assert.Equal(memory, host.Memory.TotalBytes);
        Assert.Equal(new GpuDevice { Id = "apple-0", Vendor = "apple", Name = chip, UnifiedMemory = true, MemoryTotalBytes = memory }, device);
    }

    [Fact]
    public async Task How_busy_the_GPU_is_comes_from_its_driver()
    {
        ScriptedCommands commands = Mac("m3-max").Prints("ioreg", Recording.Text("apple/m3-max.ioreg.txt"));
        var probe = new AppleGpuProbe(commands);

        GpuDevice device = Assert.Single(await probe.DetectAsync(default));
        commands.Calls.Clear();
        GpuLoad load = Assert.Single(await probe.DetectLoadAsync(default));

        Assert.Equal(0.37, device.Utilisation);
        Assert.Equal(9663676416, device.MemoryUsedBytes);
        Assert.Equal(new GpuLoad("apple-0") { Utilisation = 0.37, MemoryUsedBytes = 9663676416 }, load);
        Assert.StartsWith("ioreg ", Assert.Single(commands.Calls), StringComparison.Ordinal); // system_profiler takes seconds
    }

    [Fact]
    public void Available_memory_is_free_inactive_and_speculative_pages() =>
        Assert.Equal((1507328L + 2621440 + 65536) * 16384, AppleHost.ParseAvailableMemory(Recording.Text("apple/m3-max.vm_stat.txt")));

    [Fact]
    public async Task An_Intel_Mac_has_two_GPUs_of_which_one_shares_memory()
    {
        ScriptedCommands commands = Mac("intel-mac").Prints("ioreg", Recording.Text("apple/m3-max.ioreg.txt"));

        HostInfo host = await new AppleHost(commands).DetectAsync(default);
        IReadOnlyList<GpuDevice> devices = await new AppleGpuProbe(commands).DetectAsync(default);

        Assert.Equal(["avx", "avx2", "f16c", "fma", "sse4.2"], host.Cpu.Features);
        Assert.Equal(8, host.Cpu.PhysicalCores);
        Assert.Equal(16, host.Cpu.LogicalCores);
        Assert.Equal(
            [
                new GpuDevice { Id = "intel-0", Vendor = "intel", Name = "Intel UHD Graphics 630", UnifiedMemory = true, MemoryTotalBytes = 16L << 30 },
                new GpuDevice { Id = "amd-1", Vendor = "amd", Name = "AMD Radeon Pro 5500M", MemoryTotalBytes = 8L << 30 },
            ],
            devices); // whose figures ioreg prints is not known, so nobody gets them
    }

    [Fact]
    public async Task A_Mac_that_tells_nothing_is_unknown()
    {
        var commands = new ScriptedCommands();
        HostInfo host = await new AppleHost(commands).DetectAsync(default);

        Assert.Null(host.System.Version);
        Assert.Null(host.Cpu.Model);
        Assert.Equal(new MemoryInfo(null, null), host.Memory);
        Assert.Empty(await new AppleGpuProbe(commands).DetectAsync(default));
        Assert.Empty(await new AppleGpuProbe(commands).DetectLoadAsync(default));
    }

    private static ScriptedCommands Mac(string recording) => new ScriptedCommands()
        .Prints("sysctl", Recording.Text($"apple/{recording}.sysctl.txt"))
        .Prints("system_profiler", Recording.Text($"apple/{recording}.displays.json"));
}
