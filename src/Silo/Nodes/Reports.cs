using System.Collections.Immutable;
using System.Security.Cryptography;
using System.Text;
using Federation.Contracts.Nodes;
using Federation.Protocol.V1;
using Federation.Protocol.Verification;
using Google.Protobuf;

namespace Federation.Silo.Nodes;

/// <summary>Turns what a node says of itself into what grains pass around, after checking its size and sense.</summary>
internal static class Reports
{
    private const int NameMax = 256;
    private const int HardwareBytesMax = 64 * 1024;

    // Of a field of a class as it is spelled, a digest's 71 characters among them; longer ones, which no engine has of itself, are named by their hash. Receipts hold 512 characters.
    private const int ClassFieldMax = 80;

    /// <summary>The node's hello as a report.</summary>
    public static NodeReport Of(Hello hello) => With(
        new NodeReport(
            Printable.Of(hello.AgentVersion, 64),
            [.. (hello.Hardware ?? new Hardware()).ToByteArray()],
            Engines(hello.Inventory ?? new Inventory()),
            RunningLeases: 0,
            AcceptsWork: true,
            WhyNot: string.Empty,
            Pulls: []),
        hello.Policy ?? new Policy());

    /// <summary>The report with what the contributor allows now.</summary>
    public static NodeReport With(NodeReport report, Policy policy) => report with
    {
        AcceptsWork = !policy.Paused,
        WhyNot = policy.Paused ? Printable.Of(policy.PausedReason, 200) : string.Empty,
    };

    public static ImmutableArray<EngineReport> Engines(Inventory inventory) => [.. inventory.Engines.Select(engine => new EngineReport(
        engine.Name,
        Printable.Of(engine.Kind, NameMax),
        Printable.Of(engine.Version, NameMax),
        (int)engine.Slots,
        [.. engine.Models.Select(model => new ModelReport(
            model.Name,
            model.Digest,
            (long)Math.Min(model.SizeBytes, long.MaxValue),
            model.Loaded,
            (int)Math.Min(model.ContextLength, int.MaxValue),
            [.. model.Capabilities],
            Printable.Of(model.Quantization, NameMax)) { DeterminismClass = ClassOf(engine, model), Continues = [.. engine.Continues] })])
    {
        Backend = Printable.Of(engine.Backend, NameMax),
        Architecture = Printable.Of(engine.Architecture, NameMax),
    })];

    /// <summary>
    /// Whose answers compare with this engine's. All of it is the node's word: a wrong one puts it among others whose answers differ from its own. Nothing is remembered by it but by the weights, which
    /// are what verifiers must have too.
    /// </summary>
    private static string ClassOf(Engine engine, Model model)
    {
        // The engine of our own works on each answer alone, however many slots it has.
        var parallel = engine.Kind == "builtin" ? 1 : Math.Max(1, (int)engine.Slots);
        var weights = model.Digest.Length > 0 ? model.Digest : $"name:{model.Name}";
        return new DeterminismClass(Short(weights), Short(engine.Kind), Short(engine.Version), Short(engine.Backend), Short(engine.Architecture), parallel).ToCanonical();

        static string Short(string field) => DeterminismClass.Spell(field).Length <= ClassFieldMax ? field : $"long:{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(field)))}";
    }

    /// <summary>What is wrong with a hello; <see langword="null"/> when nothing is.</summary>
    public static string? WhyInvalid(Hello hello, NodeLinkOptions options)
        => hello.Hardware?.CalculateSize() > HardwareBytesMax
            ? $"the hardware report is larger than {HardwareBytesMax} bytes"
            : WhyInvalid(hello.Inventory ?? new Inventory(), options);

    /// <summary>What is wrong with an inventory; <see langword="null"/> when nothing is.</summary>
    public static string? WhyInvalid(Inventory inventory, NodeLinkOptions options)
    {
        if (inventory.Engines.Count > options.MaxInventory) return $"more than {options.MaxInventory} engines";
        if (inventory.Engines.Sum(engine => (long)engine.Models.Count) > options.MaxInventory) return $"more than {options.MaxInventory} models";
        if (inventory.Engines.Select(engine => engine.Name).Distinct(StringComparer.Ordinal).Count() != inventory.Engines.Count) return "two engines of the same name";
        foreach (var engine in inventory.Engines)
        {
            if (!IsName(engine.Name)) return "an engine without a usable name";
            if (engine.Continues.Count > 16 || engine.Continues.Any(kind => !IsName(kind))) return $"engine {engine.Name} continues unusable kinds";
            if (engine.Slots > options.MaxSlots) return $"engine {engine.Name} has more than {options.MaxSlots} slots";
            if (engine.Models.Select(model => model.Name).Distinct(StringComparer.Ordinal).Count() != engine.Models.Count) return $"engine {engine.Name} has two models of the same name";
            foreach (var model in engine.Models)
            {
                if (!IsName(model.Name)) return $"engine {engine.Name} has a model without a usable name";
                if (model.Digest.Length > 0 && !IsName(model.Digest)) return $"model {model.Name} has an unusable digest";
                if (model.SizeBytes > (ulong)options.MaxModelBytes) return $"model {model.Name} is larger than {options.MaxModelBytes} bytes";
                if (model.Capabilities.Count > 16 || model.Capabilities.Any(capability => !IsName(capability))) return $"model {model.Name} has unusable capabilities";
            }
        }
        var everywhere = inventory.Engines.SelectMany(engine => engine.Models).CountBy(model => model.Name, StringComparer.Ordinal).FirstOrDefault(model => model.Value > options.MaxEnginesPerModel).Key;
        return everywhere is null ? null : $"model {everywhere} on more than {options.MaxEnginesPerModel} engines";
    }

    private static bool IsName(string text) => text.Length is > 0 and <= NameMax && !text.Any(char.IsControl);
}
