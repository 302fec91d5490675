using System.Text.Json.Serialization;

namespace Federation.NodeAgent.Configuration;

// The properties have setters because the source-generated deserializer gives init-only ones no chance to keep their defaults.

/// <summary>
/// The settings of a node, as its owner writes them in <c>config.json</c>. What is missing has the default given here.
/// <see cref="AgentConfigFile"/> reads, checks and writes it.
/// </summary>
public sealed record AgentConfig
{
    /// <summary>The hub that this node works for: an absolute <c>https</c> URL. Null until the node has joined one.</summary>
    public string? HubUrl { get; set; }

    /// <summary>Allows a <see cref="HubUrl"/> without TLS beyond this machine. Anyone on the way can then read prompts and answers.</summary>
    public bool AllowInsecureHub { get; set; }

    /// <summary>The identity that the hub showed at enrolment, <c>hb_…</c>; another one at the same URL is refused. Null: not pinned.</summary>
    public string? HubId { get; set; }

    /// <summary>The id that the hub gave at enrolment, <c>nd_…</c>.</summary>
    public string? NodeId { get; set; }

    /// <summary>The account that owns what the node earns.</summary>
    public string? AccountId { get; set; }

    /// <summary>How the node is called in consoles, 1 to 64 characters. Null: the machine's name.</summary>
    public string? DisplayName { get; set; }

    /// <summary>What the owner allows.</summary>
    public PolicyConfig Policy { get; set; } = new();

    /// <summary>What runs models on this node.</summary>
    public EnginesConfig Engines { get; set; } = new();

    /// <summary>Whether the node has joined a hub.</summary>
    [JsonIgnore]
    public bool IsEnrolled => HubUrl is not null && NodeId is not null;
}

/// <summary>What the owner allows. Null means no limit.</summary>
public sealed record PolicyConfig
{
    /// <summary>The node takes no work until its owner says so.</summary>
    public bool Paused { get; set; }

    /// <summary>When the node works, local time: <c>18:00-02:00</c>.</summary>
    public string? Schedule { get; set; }

    /// <summary>How long it works per day at most, hours of running leases since midnight, local time: above 0, up to 24.</summary>
    public double? HoursPerDay { get; set; }

    /// <summary>The only models that it serves; empty: all that its engines have.</summary>
    public IReadOnlyList<string> AllowedModels { get; set; } = [];

    /// <summary>A GPU at or above this takes no new work, °C: 30 to 120.</summary>
    public double? MaxTemperatureCelsius { get; set; }

    /// <summary>A model whose weights are larger is not served, GiB: above 0.</summary>
    public double? VramLimitGib { get; set; }

    /// <summary><see cref="Schedule"/>, read; null without one.</summary>
    [JsonIgnore]
    public DailySchedule? DailySchedule =>
        Configuration.DailySchedule.TryParse(Schedule, out DailySchedule schedule) ? schedule : null;
}

/// <summary>What runs models on this node.</summary>
public sealed record EnginesConfig
{
    /// <summary>Ollama on this machine or near it.</summary>
    public OllamaEngineConfig Ollama { get; set; } = new();

    /// <summary>Any servers that speak the OpenAI API: llama-server, vLLM, LM Studio, MLX…</summary>
    [JsonPropertyName("openai")]
    public IReadOnlyList<OpenAiEngineConfig> OpenAi { get; set; } = [];

    /// <summary>The agent's own engine.</summary>
    public BuiltinEngineConfig Builtin { get; set; } = new();
}

/// <summary>Ollama.</summary>
public sealed record OllamaEngineConfig
{
    /// <summary>Use it whenever it answers.</summary>
    public bool Enabled { get; set; } = true;

    /// <summary>Where it listens. Null: <c>OLLAMA_HOST</c>, else its default port on this machine.</summary>
    public string? Url { get; set; }

    /// <summary>Requests at once, 1 to 1024. Null: the agent asks Ollama's own settings.</summary>
    public int? Slots { get; set; }
}

/// <summary>A server that speaks the OpenAI API.</summary>
public sealed record OpenAiEngineConfig
{
    /// <summary>What the hub and the owner call it: 1 to 32 of <c>a-z 0-9 . _ -</c>, unique on the node.</summary>
    public string Name { get; set; } = "";

    /// <summary>Its base URL, the part before <c>/chat/completions</c>: <c>http://127.0.0.1:8080/v1</c>.</summary>
    public string Url { get; set; } = "";

    /// <summary>Sent as bearer token. Null: none.</summary>
    public string? ApiKey { get; set; }

    /// <summary>Requests at once, 1 to 1024.</summary>
    public int Slots { get; set; } = 1;

    /// <summary>Whether it goes on with an assistant's message at the end of a chat. Null: llama-server, vLLM and SGLang do.</summary>
    public bool? Continues { get; set; }

    /// <summary>Without the key: this ends in logs.</summary>
    public override string ToString() => $"{Name} at {Url} ({Slots} slots)";
}

/// <summary>The agent's own engine.</summary>
public sealed record BuiltinEngineConfig
{
    /// <summary>Serve the models found in <see cref="ModelsDirectory"/>.</summary>
    public bool Enabled { get; set; } = true;

    /// <summary>Where the GGUF files are; a relative path counts from the configuration's directory. Null: <c>models</c> there.</summary>
    public string? ModelsDirectory { get; set; }

    /// <summary>Requests at once, 1 to 1024. Null: one per processor.</summary>
    public int? Slots { get; set; }
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    ReadCommentHandling = System.Text.Json.JsonCommentHandling.Skip,
    AllowTrailingCommas = true,
    RespectNullableAnnotations = true,
    WriteIndented = true)]
[JsonSerializable(typeof(AgentConfig))]
internal sealed partial class AgentConfigJson : JsonSerializerContext;
