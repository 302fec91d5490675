using System.Runtime.InteropServices;
using Federation.NodeAgent.Engines;
using Federation.NodeAgent.Link;
using Federation.NodeAgent.Tests.Engines;
using Federation.Protocol.V1;
using OperatingSystem = Federation.Protocol.V1.OperatingSystem;

namespace Federation.NodeAgent.Tests.Link;

/// <summary>What an engine runs on decides whose answers its own compare with.</summary>
public sealed class InventoriesTests
{
    public static TheoryData<string, string, Protocol.V1.Hardware> Machines() => new()
    {
        { "cpu", "arm64", new Protocol.V1.Hardware { Os = new OperatingSystem { Architecture = "arm64" } } },
        { "cpu", "", new Protocol.V1.Hardware() },
        { "cuda", "sm_89", Of(new Device { Vendor = "nvidia", ComputeCapability = "8.9" }) },
        { "cuda", "", Of(new Device { Vendor = "nvidia" }) },
        { "rocm", "gfx1100", Of(new Device { Vendor = "amd", ComputeCapability = "gfx1100" }) },
        { "metal", "Apple M3 Max", Of(new Device { Vendor = "apple", Name = "Apple M3 Max" }) },
        { "", "", Of(new Device { Vendor = "intel", Name = "Arc" }) },
        {
            "cuda", "sm_120",
            Of(new Device { Vendor = "amd", ComputeCapability = "gfx1036", MemoryTotalBytes = 1 << 30 }, new Device { Vendor = "nvidia", ComputeCapability = "12.0", MemoryTotalBytes = 32UL << 30 })
        },
    };

    [Theory]
    [MemberData(nameof(Machines))]
    public void An_engine_calculates_on_the_largest_card(string backend, string architecture, Protocol.V1.Hardware machine)
    {
        var inventory = new Inventories("1.2.3", machine).Of(new EngineSnapshot(1, [new EngineState(new ManualEngine("vllm"), new EngineInventory("0.9", []))]), new ModelFilter([], null));
        var engine = Assert.Single(inventory.Engines);
        Assert.Equal(("0.9", backend, architecture), (engine.Version, engine.Backend, engine.Architecture));
    }

    [Fact]
    public void The_builtin_engine_is_the_agent_on_the_processor()
    {
        var machine = Of(new Device { Vendor = "nvidia", ComputeCapability = "8.9" });
        var builtin = new ManualEngine("builtin") { Kind = "builtin" };
        var engine = Assert.Single(new Inventories("1.2.3", machine).Of(new EngineSnapshot(1, [new EngineState(builtin, new EngineInventory("1", []))]), new ModelFilter([], null)).Engines);
        Assert.Equal(("1.2.3", "cpu", RuntimeInformation.ProcessArchitecture.ToString().ToLowerInvariant()), (engine.Version, engine.Backend, engine.Architecture));
    }

    private static Protocol.V1.Hardware Of(params Device[] devices)
    {
        var machine = new Protocol.V1.Hardware();
        machine.Devices.AddRange(devices);
        return machine;
    }
}
