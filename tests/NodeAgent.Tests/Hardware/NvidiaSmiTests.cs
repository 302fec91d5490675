using Federation.NodeAgent.Hardware;
using Federation.NodeAgent.Hardware.Nvidia;

namespace Federation.NodeAgent.Tests.Hardware;

public sealed class NvidiaSmiTests
{
    private const long Mebibyte = 1 << 20;

    [Theory]
    [InlineData("rtx-3060", "NVIDIA GeForce RTX 3060", 12288, 402, 38, 14.62, 170, 0.03, "8.6", "0000:01:00.0", "550.120")]
    [InlineData("rtx-3080", "NVIDIA GeForce RTX 3080", 10240, 1, 45, 31.09, 320, 0, "8.6", "0000:0a:00.0", "535.183.01")]
    [InlineData("rtx-4080", "NVIDIA GeForce RTX 4080", 16376, 822, 36, 12.41, 320, 0.01, "8.9", "0000:01:00.0", "560.35.03")]
    [InlineData("rtx-4090", "NVIDIA GeForce RTX 4090", 24564, 18211, 67, 398.75, 450, 0.99, "8.9", "0000:01:00.0", "550.54.14")]
    [InlineData("a100-40gb", "NVIDIA A100-SXM4-40GB", 40960, 4, 31, 54.18, 400, 0, "8.0", "0000:07:00.0", "535.161.08")]
    public async Task A_card_is_read_in_full(
        string recording, string name, long totalMebibytes, long usedMebibytes, double celsius, double watts, double limit, double utilisation,
        string capability, string address, string driver)
    {
        GpuDevice device = Assert.Single(await DetectAsync($"nvidia-smi/{recording}.csv"));

        Assert.Equal(
            new GpuDevice
            {
                Id = device.Uuid!,
                Vendor = "nvidia",
                Name = name,
                Uuid = device.Uuid,
                DriverVersion = driver,
                CudaVersion = "12.4",
                MemoryTotalBytes = totalMebibytes * Mebibyte,
                MemoryUsedBytes = usedMebibytes * Mebibyte,
                TemperatureCelsius = celsius,
                PowerWatts = watts,
                PowerLimitWatts = limit,
                Utilisation = utilisation,
                ComputeCapability = capability,
                PciBusId = address,
            },
            device);
        Assert.StartsWith("GPU-", device.Uuid, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_card_cut_into_instances_has_no_utilisation_and_its_neighbour_has()
    {
        IReadOnlyList<GpuDevice> devices = await DetectAsync("nvidia-smi/a100-80gb-mig.csv");

        Assert.Equal([81920 * Mebibyte, 81920 * Mebibyte], devices.Select(device => device.MemoryTotalBytes));
        Assert.Equal([null, 1.0], devices.Select(device => device.Utilisation));
        Assert.Equal(["0000:47:00.0", "0000:4e:00.0"], devices.Select(device => device.PciBusId));
    }

    [Fact]
    public async Task A_laptop_without_a_power_limit_has_none()
    {
        GpuDevice device = Assert.Single(await DetectAsync("nvidia-smi/laptop.csv"));
        Assert.Null(device.PowerLimitWatts);
        Assert.Equal(4.35, device.PowerWatts);
        Assert.Equal(0, device.MemoryUsedBytes);
    }

    [Fact]
    public async Task A_broken_card_is_still_there_with_what_is_known()
    {
        IReadOnlyList<GpuDevice> devices = await DetectAsync("nvidia-smi/mixed.csv");

        Assert.Equal(["NVIDIA GeForce RTX 4090", "NVIDIA GeForce RTX 3060", null], devices.Select(device => device.Name));
        Assert.Equal(
            new GpuDevice
            {
                Id = "GPU-aa17c3d8-e94b-05f2-bd60-8c21f75e3a49",
                Uuid = "GPU-aa17c3d8-e94b-05f2-bd60-8c21f75e3a49",
                Vendor = "nvidia",
                DriverVersion = "550.120",
                CudaVersion = "12.4",
                PciBusId = "0001:41:00.0",
            },
            devices[2]);
    }

    [Fact]
    public async Task A_card_that_shares_the_machine_s_memory_has_no_figure_of_its_own()
    {
        GpuDevice device = Assert.Single(await DetectAsync("nvidia-smi/unified.csv"));
        Assert.Null(device.MemoryTotalBytes);
        Assert.Null(device.MemoryUsedBytes);
        Assert.Equal("000f:01:00.0", device.PciBusId);
    }

    [Fact]
    public async Task An_old_driver_is_asked_again_without_the_column_that_it_does_not_know()
    {
        var commands = new ScriptedCommands()
            .Prints("nvidia-smi", "Field \"compute_cap\" is not a valid field to query.\n\n", exitCode: 2, when: arguments => arguments[0].Contains("compute_cap", StringComparison.Ordinal))
            .Prints("nvidia-smi", Recording.Text("nvidia-smi/old-driver.csv"), when: arguments => arguments[0].StartsWith("--query-gpu", StringComparison.Ordinal));

        GpuDevice device = Assert.Single(await new NvidiaSmi(commands).DetectAsync(default));

        Assert.Equal("GeForce GTX 1060 3GB", device.Name);
        Assert.Equal(3019 * Mebibyte, device.MemoryTotalBytes);
        Assert.Null(device.ComputeCapability);
        Assert.Null(device.PowerWatts);
        Assert.Null(device.Utilisation);
        Assert.Null(device.CudaVersion);
    }

    [Theory]
    [InlineData("no-driver.txt", 9)]
    [InlineData("no-devices.txt", 6)]
    [InlineData("no-devices.txt", 0)]
    public async Task A_message_is_no_device(string recording, int exitCode)
    {
        var commands = new ScriptedCommands().Prints("nvidia-smi", Recording.Text($"nvidia-smi/{recording}"), exitCode);
        Assert.Empty(await new NvidiaSmi(commands).DetectAsync(default));
        Assert.Empty(await new NvidiaSmi(commands).DetectLoadAsync(default));
    }

    [Fact]
    public async Task Without_the_tool_there_are_no_devices() =>
        Assert.Empty(await new NvidiaSmi(new ScriptedCommands()).DetectAsync(default));

    [Fact]
    public async Task A_load_names_the_same_device()
    {
        var commands = new ScriptedCommands().Prints(
            "nvidia-smi", "0, GPU-5c8e2b90-4d17-63fa-b8c5-91e0a7d3f624, 00000000:01:00.0, 18211, 67, 398.75, 99\n1, [N/A], 00000000:04:00.0, 3, 37, [N/A], [N/A]\n");

        Assert.Equal(
            [
                new GpuLoad("GPU-5c8e2b90-4d17-63fa-b8c5-91e0a7d3f624") { MemoryUsedBytes = 18211 * Mebibyte, TemperatureCelsius = 67, PowerWatts = 398.75, Utilisation = 0.99 },
                new GpuLoad("0000:04:00.0") { MemoryUsedBytes = 3 * Mebibyte, TemperatureCelsius = 37 },
            ],
            await new NvidiaSmi(commands).DetectLoadAsync(default));
    }

    [Theory]
    [InlineData("<cuda_version>12.4</cuda_version>", "12.4")]
    [InlineData("<cuda_version>N/A</cuda_version>", null)]
    [InlineData("<cuda_version>Not Found</cuda_version>", null)]
    [InlineData("<cuda_version>12.4", null)]
    [InlineData("", null)]
    public void The_cuda_version_is_found_or_unknown(string xml, string? expected) => Assert.Equal(expected, NvidiaSmi.ParseCudaVersion(xml));

    private static Task<IReadOnlyList<GpuDevice>> DetectAsync(string recording) => new NvidiaSmi(new ScriptedCommands()
        .Prints("nvidia-smi", Recording.Text(recording), when: arguments => arguments[0].StartsWith("--query-gpu=index,uuid,pci.bus_id", StringComparison.Ordinal))
        .Prints("nvidia-smi", Recording.Text("nvidia-smi/query.xml"), when: arguments => arguments is ["-q", "-x"]))
        .DetectAsync(default);
}
