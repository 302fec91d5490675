using Federation.Protocol.V1;
using Federation.Silo.Nodes;

namespace Federation.Silo.Tests.Nodes;

public sealed class ReportsTests
{
    private static readonly NodeLinkOptions Options = new() { MaxInventory = 10, MaxEnginesPerModel = 3, MaxSlots = 8, MaxModelBytes = 1_000_000 };

    [Fact]
    public void An_ordinary_inventory_is_in_order() => Assert.Null(Reports.WhyInvalid(Of(EngineOf("ollama", "llama3:8b", "qwen2"), EngineOf("vllm", "llama3:8b")), Options));

    [Fact]
    public void A_model_on_each_of_a_machines_accelerators_is_in_order() => Assert.Null(Reports.WhyInvalid(Of([.. Enumerable.Range(0, 3).Select(index => EngineOf($"gpu{index}", "llama"))]), Options));

    [Fact]
    public void A_node_without_engines_is_in_order() => Assert.Null(Reports.WhyInvalid(new Inventory(), Options));

    public static TheoryData<string, Inventory> Nonsense() => new()
    {
        { "more than 10 engines", Of([.. Enumerable.Range(0, 11).Select(index => EngineOf($"engine{index}"))]) },
        { "two engines of the same name", Of(EngineOf("ollama"), EngineOf("ollama")) },
        { "model llama on more than 3 engines", Of([.. Enumerable.Range(0, 4).Select(index => EngineOf($"engine{index}", "qwen" + index, "llama"))]) },
        { "an engine without a usable name", Of(EngineOf("")) },
        { "an engine without a usable name", Of(EngineOf(new string('x', 257))) },
        { "an engine without a usable name", Of(EngineOf("a\nb")) },
        { "more than 8 slots", Of(new Engine { Name = "ollama", Slots = 9 }) },
        { "more than 10 models", Of(EngineOf("ollama", [.. Enumerable.Range(0, 11).Select(index => $"model{index}")])) },
        { "more than 10 models", Of(EngineOf("ollama", [.. Enumerable.Range(0, 6).Select(index => $"model{index}")]), EngineOf("vllm", [.. Enumerable.Range(0, 6).Select(index => $"model{index}")])) },
        { "two models of the same name", Of(EngineOf("ollama", "llama", "llama")) },
        { "a model without a usable name", Of(EngineOf("ollama", "")) },
        { "a model without a usable name", Of(EngineOf("ollama", "llama\0")) },
        { "a model without a usable name", Of(EngineOf("ollama", new string('x', 257))) },
        { "an unusable digest", Of(With(model => model.Digest = "sha256:\0")) },
        { "an unusable digest", Of(With(model => model.Digest = new string('a', 257))) },
        { "larger than 1000000 bytes", Of(With(model => model.SizeBytes = 1_000_001)) },
        { "larger than 1000000 bytes", Of(With(model => model.SizeBytes = ulong.MaxValue)) },
        { "unusable capabilities", Of(With(model => model.Capabilities.Add(""))) },
        { "unusable capabilities", Of(With(model => model.Capabilities.AddRange(Enumerable.Repeat("chat", 17)))) },
        { "unusable capabilities", Of(With(model => model.Capabilities.Add("a\tb"))) },
    };

    [Theory]
    [MemberData(nameof(Nonsense))]
    public void Nonsense_is_named(string problem, Inventory inventory) => Assert.Contains(problem, Reports.WhyInvalid(inventory, Options), StringComparison.Ordinal);

    [Fact]
    public void A_hello_is_held_to_the_same_rules()
    {
        Assert.Null(Reports.WhyInvalid(new Hello(), Options));
        Assert.Contains("usable name", Reports.WhyInvalid(new Hello { Inventory = Of(EngineOf("")) }, Options), StringComparison.Ordinal);
        Assert.Contains("hardware report", Reports.WhyInvalid(new Hello { Hardware = new Hardware { Hostname = new string('x', 65 * 1024) } }, Options), StringComparison.Ordinal);
    }

    [Fact]
    public void What_a_node_says_is_taken_over_bounded_and_fit()
    {
        var engine = EngineOf("ollama");
        (engine.Kind, engine.Version, engine.Slots) = ("ol\nlama", new string('1', 1_000), 4);
        var model = new Model { Name = "llama3:8b", Digest = "sha256:aa", SizeBytes = 4_000, Loaded = true, ContextLength = uint.MaxValue, Quantization = "Q4\0" };
        model.Capabilities.Add("chat");
        engine.Models.Add(model);
        var report = Reports.Of(new Hello { AgentVersion = "1.0\n", Inventory = Of(engine), Policy = new Policy { Paused = true, PausedReason = "asleep\r" } });

        Assert.Equal(("1.0·", false, "asleep·", 0), (report.AgentVersion, report.AcceptsWork, report.WhyNot, report.RunningLeases));
        var taken = Assert.Single(report.Engines);
        Assert.Equal(("ol·lama", 256, 4), (taken.Kind, taken.Version.Length, taken.Slots));
        var known = Assert.Single(taken.Models);
        Assert.Equal(("llama3:8b", "sha256:aa", 4_000L, true, int.MaxValue, "Q4·"), (known.Name, known.Digest, known.SizeBytes, known.Loaded, known.ContextLength, known.Quantization));
        Assert.Equal("chat", Assert.Single(known.Capabilities));
    }

    [Fact]
    public void Answers_compare_within_weights_build_backend_architecture_and_parallel()
    {
        var engine = EngineOf("ollama", "llama3:8b");
        (engine.Kind, engine.Version, engine.Slots, engine.Backend, engine.Architecture) = ("ollama", "0.33.0", 4, "cuda", "sm_89");
        engine.Models[0].Digest = "sha256:aa";
        Assert.Equal("sha256:aa/ollama/0.33.0/cuda/sm_89/np4", ClassOf(engine));
        engine.Models[0].Digest = "";
        Assert.Equal("name:llama3:8b/ollama/0.33.0/cuda/sm_89/np4", ClassOf(engine));
        // The engine of our own works on each answer alone.
        (engine.Kind, engine.Backend, engine.Architecture) = ("builtin", "cpu", "x64");
        Assert.Equal("name:llama3:8b/builtin/0.33.0/cpu/x64/np1", ClassOf(engine));
        var taken = Assert.Single(Reports.Engines(Of(engine)));
        Assert.Equal(("cpu", "x64"), (taken.Backend, taken.Architecture));
    }

    [Fact]
    public void What_a_node_makes_long_in_a_class_is_named_by_its_hash_and_the_weights_stay()
    {
        var engine = EngineOf("ollama", "llama3:8b");
        engine.Version = new string('ü', 5_000);
        var first = ClassOf(engine);
        Assert.Matches("^name:llama3:8b/ollama/long:[0-9a-f]{64}///np1$", first);
        engine.Architecture = new string('x', 5_000);
        Assert.NotEqual(first, ClassOf(engine));
        engine.Models[0].Digest = new string('~', 200);
        (engine.Kind, engine.Backend) = (new string('k', 5_000), new string('b', 5_000));
        Assert.InRange(ClassOf(engine).Length, 1, 512);
    }

    private static string ClassOf(Engine engine) => Assert.Single(Assert.Single(Reports.Engines(Of(engine))).Models).DeterminismClass;

    [Fact]
    public void A_node_that_says_nothing_of_itself_accepts_work()
    {
        var report = Reports.Of(new Hello());
        Assert.Equal((true, "", 0), (report.AcceptsWork, report.WhyNot, report.Engines.Length));
    }

    [Fact]
    public void A_reason_without_a_pause_says_nothing()
        => Assert.Equal("", Reports.With(Reports.Of(new Hello()), new Policy { PausedReason = "old" }).WhyNot);

    private static Inventory Of(params Engine[] engines)
    {
        var inventory = new Inventory();
        inventory.Engines.AddRange(engines);
        return inventory;
    }

    private static Engine EngineOf(string name, params string[] models)
    {
        var engine = new Engine { Name = name, Kind = "ollama", Slots = 1 };
        engine.Models.AddRange(models.Select(model => new Model { Name = model }));
        return engine;
    }

    private static Engine With(Action<Model> change)
    {
        var engine = EngineOf("ollama", "llama");
        change(engine.Models[0]);
        return engine;
    }
}
