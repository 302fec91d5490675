using Federation.NodeAgent.Engines;
using Federation.Protocol.V1;

namespace Federation.NodeAgent.Link;

/// <summary>What the engines have, as the node link carries it.</summary>
internal static class Inventories
{
    /// <summary>All engines that are there, with the models the contributor allows; an empty list allows all.</summary>
    public static Inventory Of(EngineSnapshot snapshot, IReadOnlyList<string> allowedModels)
    {
        var inventory = new Inventory();
        foreach (var (engine, has) in snapshot.Engines)
        {
            var message = new Engine { Name = engine.Name, Kind = engine.Kind, Version = has.Version, Slots = (uint)engine.Slots };
            message.Models.AddRange(has.Models.Where(model => allowedModels.Count == 0 || allowedModels.Contains(model.Name)).Select(Of));
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
