using System.Collections.Immutable;
using System.Text.Json.Serialization;
using Federation.Contracts.Hubs;
using Federation.Contracts.Nodes;
using Federation.Protocol.OpenAi;
using Federation.Silo.Models;
using Federation.Silo.Providers;

namespace Federation.Silo.Apis.Ollama;

/// <summary>A model as Ollama lists it.</summary>
internal sealed record OllamaModelJson(string Name, string Model, DateTimeOffset ModifiedAt, long Size, string Digest, OllamaDetailsJson Details)
{
    /// <summary>Only in the list of loaded models; the hub never unloads, its nodes do.</summary>
    public DateTimeOffset? ExpiresAt { get; init; }

    /// <summary>Only in the list of loaded models, bytes.</summary>
    public long? SizeVram { get; init; }

    public int? ContextLength { get; init; }

    /// <summary>The provider that is asked first, of a cloud's model.</summary>
    public string? RemoteHost { get; init; }

    /// <summary>Its name there, of a cloud's model.</summary>
    public string? RemoteModel { get; init; }
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

    /// <summary>Models that can be asked now: each as one of its nodes has it, and those of clouds, of which only the name is known, as Ollama lists its own cloud's.</summary>
    public static OllamaListJson Tags(ListedModels models) => new([.. models.OfNodes.Where(model => model.Nodes > 0).Select(model => Of(model, ReportsOf(models.Directory, model.Name).FirstOrDefault())).Concat(models.OfClouds.Select(Of))]);

    /// <summary>Models that a node has in memory.</summary>
    public static OllamaListJson Running(ListedModels models) => new([.. models.OfNodes
        .Select(model => (model, report: ReportsOf(models.Directory, model.Name).FirstOrDefault(report => report.Loaded)))
        .Where(pair => pair.report is not null)
        .Select(pair => Of(pair.model, pair.report) with { ExpiresAt = DateTimeOffset.MaxValue, SizeVram = pair.report!.SizeBytes, ContextLength = pair.model.ContextLength })]);

    /// <summary>What is known of one model.</summary>
    public static OllamaShowJson Show(HubDirectory directory, KnownModel model)
    {
        var info = new Dictionary<string, object> { ["general.architecture"] = Architecture };
        if (model.ContextLength > 0) info[$"{Architecture}.context_length"] = model.ContextLength;
        return new OllamaShowJson(new OllamaDetailsJson(ReportsOf(directory, model.Name).FirstOrDefault()?.Quantization ?? string.Empty), info, CapabilitiesOf(model.Capabilities), model.FirstSeen);
    }

    /// <summary>What is known of a cloud's model.</summary>
    public static OllamaShowJson Show(ListedCloudModel model)
        => new(new OllamaDetailsJson(string.Empty), new Dictionary<string, object> { ["general.architecture"] = Architecture }, CapabilitiesOf(model.Capabilities), DateTimeOffset.UnixEpoch);

    /// <summary>Ollama's word for what answers with text is "completion", whether it chats or not.</summary>
    private static ImmutableArray<string> CapabilitiesOf(ImmutableArray<string> known) =>
    [
        .. known.Contains(JobKind.Chat.Word()) || known.Contains(JobKind.Completion.Word()) || known.IsEmpty ? ["completion"] : Array.Empty<string>(),
        .. known.Where(word => word is "embedding" or "tools" or "vision" or "thinking"),
    ];

    private static OllamaModelJson Of(KnownModel model, ModelReport? report)
        => new(model.Name, model.Name, model.FirstSeen, report?.SizeBytes ?? 0, Bare(model.Digests.FirstOrDefault() ?? string.Empty), new OllamaDetailsJson(report?.Quantization ?? string.Empty));

    private static OllamaModelJson Of(ListedCloudModel model) => new(model.Name, model.Name, DateTimeOffset.UnixEpoch, 0, string.Empty, new OllamaDetailsJson(string.Empty)) { RemoteHost = model.Routes[0].Provider.Name, RemoteModel = model.Routes[0].Theirs };

    private static string Bare(string digest) => digest.StartsWith("sha256:", StringComparison.Ordinal) ? digest["sha256:".Length..] : digest;

    private static IEnumerable<ModelReport> ReportsOf(HubDirectory directory, string name) => directory.Nodes
        .SelectMany(node => (node.Report?.Engines ?? []).SelectMany(engine => engine.Models))
        .Where(report => report.Name == name)
        .OrderByDescending(report => report.Loaded);
}
