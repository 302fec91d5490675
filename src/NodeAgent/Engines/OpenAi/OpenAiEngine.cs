using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Json.Serialization;
using Federation.NodeAgent.Engines.Scoring;
using Federation.Protocol.OpenAi;
using Federation.Protocol.Verification;

namespace Federation.NodeAgent.Engines.OpenAi;

/// <summary>Any server that speaks OpenAI's protocol.</summary>
public sealed class OpenAiEngine : IScoringEngine
{
    private readonly OpenAiOptions _options;
    private readonly OpenAiEndpoint _endpoint;
    private readonly InventoryCalls _calls;
    private readonly OpenAiProbes _probes;
    private readonly string _modelsPath;
    private volatile bool _continues;

    /// <exception cref="ArgumentException">The URL is not absolute http or https, or an option is out of its range.</exception>
    public OpenAiEngine(OpenAiOptions options, TimeProvider time)
    {
        ArgumentException.ThrowIfNullOrEmpty(options.Name);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Slots, 1);
        if (!options.Url.IsAbsoluteUri || options.Url.Scheme is not ("http" or "https"))
        {
            throw new ArgumentException($"The URL of engine {options.Name} must begin with http:// or https://.", nameof(options));
        }

        _options = options;
        var hasPath = options.Url.AbsolutePath.Trim('/').Length > 0;
        _modelsPath = hasPath ? "/models" : "/v1/models";
        _endpoint = new OpenAiEndpoint(new Uri(options.Url.GetLeftPart(UriPartial.Path)), hasPath ? "" : "/v1", options.ApiKey);
        _calls = new InventoryCalls(_endpoint, options.InventoryTimeout, time);
        _probes = new OpenAiProbes(new ProbeCalls(_endpoint), hasPath ? "" : "/v1");
    }

    /// <inheritdoc/>
    public string Name => _options.Name;

    /// <inheritdoc/>
    public string Kind => "openai";

    /// <inheritdoc/>
    public int Slots => _options.Slots;

    /// <summary>Servers that are known to go on with an assistant's message, by the name they give as a model's owner, or all as the contributor says: another one would begin a second answer.</summary>
    public ImmutableArray<JobKind> Continues => _options.Continues ?? _continues ? [JobKind.Chat, JobKind.Completion] : [];

    /// <inheritdoc/>
    public async Task<EngineInventory?> GetInventoryAsync(CancellationToken cancellationToken)
    {
        var list = await _calls.GetAsync(_modelsPath, OpenAiJson.Default.ModelList, cancellationToken).ConfigureAwait(false);
        if (list is null) return null;
        _continues = list.Data.Count > 0 && list.Data.All(model => model.OwnedBy is "llamacpp" or "vllm" or "sglang");
        return new EngineInventory("", [.. list.Data.Where(model => model.Id.Length > 0).DistinctBy(model => model.Id).OrderBy(model => model.Id, StringComparer.Ordinal).Select(Model)]);
    }

    /// <inheritdoc/>
    public Task<EngineResponse> SendAsync(EngineRequest request, CancellationToken cancellationToken) =>
        _endpoint.SendAsync(request, cancellationToken);

    /// <inheritdoc/>
    public Task<ScoreAnswer> ScoreAsync(ScoreRequest request, CancellationToken cancellationToken) => _probes.ScoreAsync(request, cancellationToken);

    /// <summary>The protocol has no way to fetch models.</summary>
    /// <exception cref="NotSupportedException">Always.</exception>
    public IAsyncEnumerable<PullStep> PullAsync(string model, CancellationToken cancellationToken) =>
        throw new NotSupportedException($"The engine {Name} cannot be asked to fetch models.");

    /// <inheritdoc/>
    public ValueTask DisposeAsync()
    {
        _endpoint.Dispose();
        return ValueTask.CompletedTask;
    }

    private EngineModel Model(ModelEntry entry) => new(
        entry.Id,
        Digest: null,
        entry.Meta?.Size is > 0 and var size ? size : null,
        Loaded: true,
        entry.MaxModelLength is > 0 and <= int.MaxValue and var length ? (int)length : null,
        Capabilities(entry.Id),
        Quantization: null);

    private ImmutableArray<string> Capabilities(string model) =>
        !_options.Capabilities.IsDefaultOrEmpty ? _options.Capabilities
        : model.Contains("embed", StringComparison.OrdinalIgnoreCase) ? [JobKind.Embedding.Word()]
        : [JobKind.Chat.Word(), JobKind.Completion.Word()];
}

/// <summary><c>GET /v1/models</c>.</summary>
internal sealed record ModelList([property: JsonRequired] IReadOnlyList<ModelEntry> Data);

/// <summary>One model of the list. <paramref name="MaxModelLength"/> is vLLM's, <paramref name="Meta"/> llama-server's; servers name themselves in <paramref name="OwnedBy"/>.</summary>
internal sealed record ModelEntry(
    [property: JsonRequired] string Id,
    [property: JsonPropertyName("owned_by")] string? OwnedBy,
    [property: JsonPropertyName("max_model_len")] long? MaxModelLength,
    ModelMeta? Meta);

/// <summary>What llama-server knows of the file.</summary>
internal sealed record ModelMeta(long? Size);

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, RespectNullableAnnotations = true)]
[JsonSerializable(typeof(ModelList))]
internal sealed partial class OpenAiJson : JsonSerializerContext;
