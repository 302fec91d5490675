using System.Runtime.InteropServices;
using Federation.NodeAgent.Engines;
using Federation.NodeAgent.Hardware;
using Federation.Protocol.OpenAi;
using Federation.Protocol.V1;

namespace Federation.NodeAgent.Link;

/// <summary>Which models the contributor lets the node serve.</summary>
/// <param name="Names">The only ones; empty: all.</param>
/// <param name="VramLimitGib">A model whose weights alone are larger, GiB, is not served; <see langword="null"/>: no limit.</param>
internal sealed record ModelFilter(IReadOnlyList<string> Names, double? VramLimitGib)
{
    private const double BytesPerGib = 1L << 30;

    public bool Allows(EngineModel model)
        => (Names.Count == 0 || Names.Contains(model.Name)) && (VramLimitGib is not { } limit || (model.SizeBytes ?? 0) <= limit * BytesPerGib);

    /// <summary>The same models; a record alone would compare the lists as references.</summary>
    public bool Equals(ModelFilter? other) => other is not null && VramLimitGib.Equals(other.VramLimitGib) && Names.SequenceEqual(other.Names);

    public override int GetHashCode() => HashCode.Combine(Names.Count, VramLimitGib);
}

/// <summary>What the engines have and run on, as the node link carries it.</summary>
/// <param name="agentVersion">The build of <c>builtin</c>, which is a part of the agent.</param>
/// <param name="hardware">Where the other engines calculate, as far as can be told from outside: on the machine's largest GPU.</param>
internal sealed class Inventories(string agentVersion, Protocol.V1.Hardware hardware)
{
    private readonly (string Backend, string Architecture) _processor = ("cpu", RuntimeInformation.ProcessArchitecture.ToString().ToLowerInvariant());
    private readonly (string Backend, string Architecture) _largest = Largest(hardware);

    /// <summary>All engines that are there, with the models the contributor allows.</summary>
    public Inventory Of(EngineSnapshot snapshot, ModelFilter allowed)
    {
        var inventory = new Inventory();
        foreach (var (engine, has) in snapshot.Engines)
        {
            var isBuiltin = engine.Kind == "builtin";
            var (backend, architecture) = isBuiltin ? _processor : _largest;
            var message = new Engine
            {
                Name = engine.Name,
                Kind = engine.Kind,
                Version = isBuiltin ? agentVersion : has.Version,
                Slots = (uint)engine.Slots,
                Backend = backend,
                Architecture = architecture,
            };
            message.Continues.AddRange(engine.Continues.Select(kind => kind.Word()));
            message.Models.AddRange(has.Models.Where(allowed.Allows).Select(Of));
            inventory.Engines.Add(message);
        }
        return inventory;
    }

    private static (string Backend, string Architecture) Largest(Protocol.V1.Hardware hardware) => hardware.Devices.MaxBy(device => device.MemoryTotalBytes) switch
    {
        null => ("cpu", hardware.Os?.Architecture ?? string.Empty),
        { Vendor: GpuVendors.Nvidia } card => ("cuda", card.HasComputeCapability ? $"sm_{card.ComputeCapability.Replace(".", string.Empty, StringComparison.Ordinal)}" : string.Empty),
        { Vendor: GpuVendors.Amd } card => ("rocm", card.ComputeCapability),
        { Vendor: GpuVendors.Apple } card => ("metal", card.Name),
        // Engines differ in what they do with others: not known is its own class.
        _ => (string.Empty, string.Empty),
    };

    private static Model Of(EngineModel model)
    {
        var message = new Model
        {
            Name = model.Name,
            Digest = model.Digest ?? string.Empty,
            SizeBytes = (ulong)(model.SizeBytes ?? 0),
            Loaded = model.Loaded,
            ContextLength = (uint)(model.ContextLength ?? 0),
            Quantization = model.Quantization ?? string.Empty,
        };
        message.Capabilities.AddRange(model.Capabilities);
        return message;
    }
}
