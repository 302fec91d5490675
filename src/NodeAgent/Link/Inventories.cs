using Federation.NodeAgent.Engines;
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

/// <summary>What the engines have, as the node link carries it.</summary>
internal static class Inventories
{
    /// <summary>All engines that are there, with the models the contributor allows.</summary>
    public static Inventory Of(EngineSnapshot snapshot, ModelFilter allowed)
    {
        var inventory = new Inventory();
        foreach (var (engine, has) in snapshot.Engines)
        {
            var message = new Engine { Name = engine.Name, Kind = engine.Kind, Version = has.Version, Slots = (uint)engine.Slots };
            message.Models.AddRange(has.Models.Where(allowed.Allows).Select(Of));
            inventory.Engines.Add(message);
        }
        return inventory;
    }

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
