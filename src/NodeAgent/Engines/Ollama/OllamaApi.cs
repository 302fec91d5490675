using System.Text.Json;
using System.Text.Json.Serialization;

namespace Federation.NodeAgent.Engines.Ollama;

/// <summary><c>GET /api/version</c>.</summary>
internal sealed record OllamaVersion(string? Version);

/// <summary><c>GET /api/tags</c> (all models) and <c>GET /api/ps</c> (those in memory).</summary>
internal sealed record OllamaModels(IReadOnlyList<OllamaModel>? Models);

/// <summary>One model of either list.</summary>
/// <param name="Name">With its tag ("llama3.2:latest").</param>
/// <param name="Digest">Of the manifest: 64 hexadecimal digits.</param>
/// <param name="Size">Bytes.</param>
/// <param name="RemoteHost">Where the model really runs, if not here: one of Ollama's cloud.</param>
/// <param name="Details">Null in old versions.</param>
internal sealed record OllamaModel(
    string? Name,
    string? Digest,
    long? Size,
    [property: JsonPropertyName("remote_host")] string? RemoteHost,
    OllamaDetails? Details);

/// <summary>Of a model.</summary>
internal sealed record OllamaDetails([property: JsonPropertyName("quantization_level")] string? QuantizationLevel);

/// <summary>What <c>POST /api/show</c> and <c>POST /api/pull</c> are asked.</summary>
internal sealed record OllamaQuestion(string Model);

/// <summary>The answer of <c>POST /api/show</c>.</summary>
/// <param name="Capabilities">"completion", "embedding", "tools", "vision"…; null in old versions.</param>
/// <param name="ModelInfo">The file's metadata, by GGUF's names.</param>
internal sealed record OllamaShow(
    IReadOnlyList<string>? Capabilities,
    [property: JsonPropertyName("model_info")] IReadOnlyDictionary<string, JsonElement>? ModelInfo);

/// <summary>A line of <c>POST /api/pull</c>.</summary>
internal sealed record OllamaPullLine(string? Status, long? Completed, long? Total, string? Error);

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(OllamaVersion))]
[JsonSerializable(typeof(OllamaModels))]
[JsonSerializable(typeof(OllamaQuestion))]
[JsonSerializable(typeof(OllamaShow))]
[JsonSerializable(typeof(OllamaPullLine))]
internal sealed partial class OllamaJson : JsonSerializerContext;
