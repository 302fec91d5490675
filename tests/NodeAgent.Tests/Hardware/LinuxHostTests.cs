using Federation.NodeAgent.Hardware;
using Federation.NodeAgent.Hardware.Linux;

namespace Federation.NodeAgent.Tests.Hardware;

public sealed class LinuxHostTests
{
    [Fact]
    public async Task A_desktop_is_read()
    {
        HostInfo host = await Host("linux/ryzen-rx-7900-xtx").DetectAsync(default);

        Assert.Equal(new OperatingSystemInfo("linux", "Ubuntu", "24.04", HostInfo.Architecture), host.System);
        Assert.Equal("AMD Ryzen 7 7700X 8-Core Processor", host.Cpu.Model);
        Assert.Equal(8, host.Cpu.PhysicalCores);
        Assert.Equal(16, host.Cpu.LogicalCores);
        Assert.Equal(
            ["avx", "avx2", "avx512bf16", "avx512bw", "avx512f", "avx512vl", "avx512vnni", "f16c", "fma", "sse4.2"], host.Cpu.Features);
        Assert.Equal(new MemoryInfo(65011712L * 1024, 58720256L * 1024), host.Memory);
    }

    [Fact]
    public async Task A_container_on_an_ARM_server_has_the_memory_that_it_may_use()
    {
        HostInfo host = await Host("linux/arm-server").DetectAsync(default);

        Assert.Equal("Alpine Linux", host.System.Name);
        Assert.Null(host.Cpu.Model);
        Assert.Equal(4, host.Cpu.PhysicalCores);
        Assert.Equal(4, host.Cpu.LogicalCores);
        Assert.Equal(["bf16", "dotprod", "fp16", "i8mm", "neon", "sve"], host.Cpu.Features);
        Assert.Equal(new MemoryInfo(8L << 30, 6L << 30), host.Memory);
    }

    [Fact]
    public async Task A_machine_that_tells_nothing_is_unknown()
    {
        HostInfo host = await Host("linux/none").DetectAsync(default);

        Assert.Equal(new OperatingSystemInfo("linux", null, null, HostInfo.Architecture), host.System);
        Assert.Equivalent(new CpuInfo(null, null, null, []), host.Cpu, strict: true);
        Assert.Equal(new MemoryInfo(null, null), host.Memory);
        Assert.Null(Host("linux/none").ReadCpuTimes());
    }

    [Fact]
    public void Two_sockets_with_the_same_core_numbers_are_counted_twice()
    {
        const string Text = """
            processor : 0
            physical id : 0
            core id : 0

            processor : 1
            physical id : 1
            core id : 0

            processor : 2
            physical id : 0
            core id : 0
            """;
        CpuInfo cpu = LinuxHost.ParseCpuInfo(Text);
        Assert.Equal(2, cpu.PhysicalCores);
        Assert.Equal(3, cpu.LogicalCores);
    }

    [Fact]
    public void Cpu_time_is_what_was_not_idle()
    {
        CpuTimes times = Host("linux/ryzen-rx-7900-xtx").ReadCpuTimes()!.Value;
        Assert.Equal(new CpuTimes(Busy: 1600, Total: 10_000), times);
        Assert.Equal(0.25, new CpuTimes(1700, 10_400).LoadSince(times));
    }

    [Theory]
    [InlineData(1600, 10_000)] // no time has passed
    [InlineData(1500, 10_400)] // the counter went back
    [InlineData(2600, 10_400)] // more work than time
    public void A_load_that_cannot_be_is_unknown(ulong busy, ulong total) =>
        Assert.Null(new CpuTimes(busy, total).LoadSince(new CpuTimes(1600, 10_000)));

    private static LinuxHost Host(string recording) => new(new SystemFiles(Recording.Path(recording)));
}
