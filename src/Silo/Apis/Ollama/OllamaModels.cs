using System.Collections.Immutable;
using System.Text.Json.Serialization;
using Federation.Contracts.Hubs;
using Federation.Contracts.Nodes;
using Federation.Protocol.OpenAi;

namespace Federation.Silo.Apis.Ollama;

/// <summary>A model as Ollama lists it.</summary>
internal sealed record OllamaModelJson(string Name, string Model, DateTimeOffset ModifiedAt, long Size, string Digest, OllamaDetailsJson Details)
{
    /// <summary>Only in the list of loaded models; the hub never unloads, its nodes do.</summary>
    public DateTimeOffset? ExpiresAt { get; init; }

    /// <summary>Only in the list of loaded models, bytes.</summary>
    public long? SizeVram { get; init; }

    public int? ContextLength { get; init; }
}

/// <summary>What a hub knows of a model's making: its quantisation, where a node tells.</summary>
internal sealed record OllamaDetailsJson(string QuantizationLevel)
{
    public string ParentModel { get; } = string.Empty;

    public string Format { get; } = "gguf";

    public string Family { get; } = OllamaModels.Architecture;

    public ImmutableArray<string> Families { get; } = [OllamaModels.Architecture];

    public string ParameterSize { get; } = string.Empty;
}

/// <summary>Answer of <c>/api/tags</c> and <c>/api/ps</c>.</summary>
internal sealed record OllamaListJson(IReadOnlyList<OllamaModelJson> Models);

/// <summary>Answer of <c>/api/show</c>.</summary>
internal sealed record OllamaShowJson(OllamaDetailsJson Details, IReadOnlyDictionary<string, object> ModelInfo, IReadOnlyList<string> Capabilities, DateTimeOffset ModifiedAt)
{
    public string License { get; } = string.Empty;

    public string Modelfile { get; } = string.Empty;

    public string Parameters { get; } = string.Empty;

    public string Template { get; } = string.Empty;
}

/// <summary>Answer of <c>/api/version</c>.</summary>
internal sealed record OllamaVersionJson([property: JsonPropertyName("version")] string Version);

/// <summary>The hub's models in Ollama's words. Pure.</summary>
internal static class OllamaModels
{
    /// <summary>Under this name the metadata stands that Ollama has under a model's architecture, which no node tells.</summary>
    public const string Architecture = "federation";

    /// <summary>Models that can be asked now, each as one of its nodes has it.</summary>
    public static OllamaListJson Tags(HubDirectory directory) => new([.. directory.Models.Where(model => model.Nodes > 0).Select(model => Of(model, ReportsOf(directory, model.Name).FirstOrDefault()))]);

    /// <summary>Models that a node has in memory.</summary>
    public static OllamaListJson Running(HubDirectory directory) => new([.. directory.Models
        .Select(model => (model, report: ReportsOf(directory, model.Name).FirstOrDefault(report => report.Loaded)))
        .Where(pair => pair.report is not null)
        .Select(pair => Of(pair.model, pair.report) with { ExpiresAt = DateTimeOffset.MaxValue, SizeVram = pair.report!.SizeBytes, ContextLength = pair.model.ContextLength })]);

    /// <summary>What is known of one model.</summary>
    public static OllamaShowJson Show(HubDirectory directory, KnownModel model)
    {
        var info = new Dictionary<string, object> { ["general.architecture"] = Architecture };
        if (model.ContextLength > 0) info[$"{Architecture}.context_length"] = model.ContextLength;
        return new OllamaShowJson(new OllamaDetailsJson(ReportsOf(directory, model.Name).FirstOrDefault()?.Quantization ?? string.Empty), info, CapabilitiesOf(model), model.FirstSeen);
    }

    /// <summary>Ollama's word for what answers with text is "completion", whether it chats or not.</summary>
    private static ImmutableArray<string> CapabilitiesOf(KnownModel model) =>
    [
        .. model.Capabilities.Contains(JobKind.Chat.Word()) || model.Capabilities.Contains(JobKind.Completion.Word()) || model.Capabilities.IsEmpty ? ["completion"] : Array.Empty<string>(),
        .. model.Capabilities.Where(word => word is "embedding" or "tools" or "vision" or "thinking"),
    ];

    private static OllamaModelJson Of(KnownModel model, ModelReport? report)
        => new(model.Name, model.Name, model.FirstSeen, report?.SizeBytes ?? 0, Bare(model.Digests.FirstOrDefault() ?? string.Empty), new OllamaDetailsJson(report?.Quantization ?? string.Empty));

    private static string Bare(string digest) => digest.StartsWith("sha256:", StringComparison.Ordinal) ? digest["sha256:".Length..] : digest;

    private static IEnumerable<ModelReport> ReportsOf(HubDirectory directory, string name) => directory.Nodes
        .SelectMany(node => (node.Report?.Engines ?? []).SelectMany(engine => engine.Models))
        .Where(report => report.Name == name)
        .OrderByDescending(report => report.Loaded);
}
