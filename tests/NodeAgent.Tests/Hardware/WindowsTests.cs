using Federation.NodeAgent.Hardware;
using Federation.NodeAgent.Hardware.Windows;

namespace Federation.NodeAgent.Tests.Hardware;

public sealed class WindowsTests
{
    [Fact]
    public async Task WMI_s_answer_is_read()
    {
        WindowsInventory inventory = Inventory("rtx-4080");

        HostInfo host = await new WindowsHost(inventory).DetectAsync(default);

        Assert.Equal(new OperatingSystemInfo("windows", "Microsoft Windows 11 Pro", "10.0.22631", HostInfo.Architecture), host.System);
        Assert.Equal("13th Gen Intel(R) Core(TM) i9-13900K", host.Cpu.Model);
        Assert.Equal(24, host.Cpu.PhysicalCores);
        Assert.Equal(32, host.Cpu.LogicalCores);
    }

    [Fact]
    public async Task GPU_memory_comes_from_the_registry_for_WMI_stops_at_four_gigabytes()
    {
        IReadOnlyList<GpuDevice> devices = await new WindowsGpuProbe(Inventory("rtx-4080")).DetectAsync(default);

        Assert.Equal(
            [
                new GpuDevice
                {
                    Id = @"PCI\VEN_8086&DEV_A780&SUBSYS_86941043&REV_04\3&11583659&0&10",
                    Vendor = "intel",
                    Name = "Intel(R) UHD Graphics 770",
                    DriverVersion = "31.0.101.4502",
                    MemoryTotalBytes = 134217728,
                },
                new GpuDevice
                {
                    Id = @"PCI\VEN_10DE&DEV_2704&SUBSYS_88CA1043&REV_A1\4&2283F625&0&0008",
                    Vendor = "nvidia",
                    Name = "NVIDIA GeForce RTX 4080",
                    DriverVersion = "31.0.15.5222",
                    MemoryTotalBytes = 17171480576,
                },
            ],
            devices);
    }

    [Fact]
    public async Task A_list_of_one_may_come_without_the_list()
    {
        WindowsInventory inventory = Inventory("rx-7900-xtx");
        GpuDevice device = Assert.Single(await new WindowsGpuProbe(inventory).DetectAsync(default));

        Assert.Equal("amd", device.Vendor);
        Assert.Equal(25753026560, device.MemoryTotalBytes);
        Assert.Equal(8, (await inventory.ReadAsync(default)).PhysicalCores);
    }

    [Fact]
    public async Task Without_the_registry_the_capped_figure_is_unknown_and_a_small_one_is_believed()
    {
        WindowsInventory inventory = Inventory("two-sockets-no-registry");
        Assert.Equal([null, 536870912L], (await inventory.ReadAsync(default)).Devices.Select(device => device.MemoryTotalBytes));
        Assert.Equal(64, (await inventory.ReadAsync(default)).PhysicalCores);
        Assert.Equal(128, (await inventory.ReadAsync(default)).LogicalCores);
    }

    [Fact]
    public async Task WMI_is_asked_once_for_everyone()
    {
        var commands = new ScriptedCommands().Prints("powershell", Recording.Text("windows/rtx-4080.json"));
        var inventory = new WindowsInventory(commands);

        await Task.WhenAll(new WindowsHost(inventory).DetectAsync(default), new WindowsGpuProbe(inventory).DetectAsync(default));

        Assert.Single(commands.Calls);
    }

    [Fact]
    public async Task WMI_that_did_not_answer_is_asked_again()
    {
        var commands = new ScriptedCommands();
        var inventory = new WindowsInventory(commands);
        Assert.Empty((await inventory.ReadAsync(default)).Devices);

        commands.Prints("powershell", Recording.Text("windows/rtx-4080.json"));

        Assert.Equal(2, (await inventory.ReadAsync(default)).Devices.Count);
    }

    private static WindowsInventory Inventory(string recording) =>
        new(new ScriptedCommands().Prints("powershell", "\uFEFF" + Recording.Text($"windows/{recording}.json")));
}
