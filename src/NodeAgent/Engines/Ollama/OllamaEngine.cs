using System.Buffers;
using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Globalization;
using System.IO.Pipelines;
using System.Runtime.CompilerServices;
using System.Text.Json;
using Federation.NodeAgent.Engines.OpenAi;
using Federation.NodeAgent.Engines.Scoring;
using Federation.Protocol.OpenAi;
using Federation.Protocol.Verification;

namespace Federation.NodeAgent.Engines.Ollama;

/// <summary>The Ollama that a node offers.</summary>
public sealed record OllamaOptions
{
    /// <summary>Unique on the node. Default "ollama".</summary>
    public string Name { get; init; } = "ollama";

    /// <summary>Where it listens; see <see cref="OllamaAddress"/>.</summary>
    public Uri Address { get; init; } = OllamaAddress.Default;

    /// <summary>Requests it serves at once, its own <c>OLLAMA_NUM_PARALLEL</c>. Default 1, as Ollama's; 1 or more.</summary>
    public int Slots { get; init; } = 1;

    /// <summary>How long each call about its models may take. Default 5 s.</summary>
    public TimeSpan InventoryTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>As Ollama itself would read its environment on this machine.</summary>
    /// <param name="variable">Gives a variable's value, or null.</param>
    /// <exception cref="FormatException"><c>OLLAMA_HOST</c> is no address.</exception>
    public static OllamaOptions FromEnvironment(Func<string, string?> variable)
    {
        var parallel = int.TryParse(variable("OLLAMA_NUM_PARALLEL"), NumberStyles.None, CultureInfo.InvariantCulture, out var slots) ? slots : 0;
        return new OllamaOptions { Address = OllamaAddress.Parse(variable("OLLAMA_HOST")), Slots = Math.Clamp(parallel, 1, 1024) };
    }
}

/// <summary>Ollama: its own API says what it has and fetches models, its OpenAI-compatible one answers.</summary>
public sealed class OllamaEngine : IScoringEngine
{
    private const int PullLineBytesMax = 64 << 10;
    private const int DetailsMax = 1024;

    private readonly OllamaOptions _options;
    private readonly OpenAiEndpoint _endpoint;
    private readonly InventoryCalls _calls;
    private readonly OllamaProbes _probes;

    /// <summary>What never changes for a digest, so that a poll is two short calls.</summary>
    private readonly ConcurrentDictionary<string, Details> _details = new();
    private volatile string? _version;

    /// <exception cref="ArgumentOutOfRangeException">An option is out of its range.</exception>
    public OllamaEngine(OllamaOptions options, TimeProvider time)
    {
        ArgumentException.ThrowIfNullOrEmpty(options.Name);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Slots, 1);
        _options = options;
        _endpoint = new OpenAiEndpoint(options.Address, "/v1", key: null);
        _calls = new InventoryCalls(_endpoint, options.InventoryTimeout, time);
        _probes = new OllamaProbes(new ProbeCalls(_endpoint));
    }

    /// <inheritdoc/>
    public string Name => _options.Name;

    /// <inheritdoc/>
    public string Kind => "ollama";

    /// <inheritdoc/>
    public int Slots => _options.Slots;

    /// <summary>Chats: it goes on with an assistant's message at the end. Its completions put the whole prompt into the model's template, the answer's beginning with it.</summary>
    public ImmutableArray<JobKind> Continues { get; } = [JobKind.Chat];

    /// <inheritdoc/>
    public async Task<EngineInventory?> GetInventoryAsync(CancellationToken cancellationToken)
    {
        var tags = await _calls.GetAsync("/api/tags", OllamaJson.Default.OllamaModels, cancellationToken).ConfigureAwait(false);
        if (tags is null)
        {
            // Gone: when it is back it may be another version.
            _version = null;
            return null;
        }

        _version ??= (await _calls.GetAsync("/api/version", OllamaJson.Default.OllamaVersion, cancellationToken).ConfigureAwait(false))?.Version;
        var running = await _calls.GetAsync("/api/ps", OllamaJson.Default.OllamaModels, cancellationToken).ConfigureAwait(false);
        var loaded = (running?.Models ?? []).Select(model => model.Name).ToHashSet();
        var models = ImmutableArray.CreateBuilder<EngineModel>();
        foreach (var model in Local(tags))
        {
            models.Add(await DescribeAsync(model, loaded.Contains(model.Name), cancellationToken).ConfigureAwait(false));
        }

        return new EngineInventory(_version ?? "", models.ToImmutable());
    }

    /// <inheritdoc/>
    public Task<EngineResponse> SendAsync(EngineRequest request, CancellationToken cancellationToken) =>
        _endpoint.SendAsync(request with { Body = OllamaTokenLimit.Say(request.Body) }, cancellationToken);

    /// <inheritdoc/>
    public Task<ScoreAnswer> ScoreAsync(ScoreRequest request, CancellationToken cancellationToken) => _probes.ScoreAsync(request, cancellationToken);

    /// <inheritdoc/>
    public async IAsyncEnumerable<PullStep> PullAsync(string model, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        using var content = new ReadOnlyMemoryContent(Question(model));
        using var response = await _endpoint.SendAsync(HttpMethod.Post, "/api/pull", content, cancellationToken).ConfigureAwait(false);
        var stream = await response.Content.ReadAsStreamAsync(cancellationToken).ConfigureAwait(false);
        await using (stream.ConfigureAwait(false))
        {
            var isDone = false;
            await foreach (var line in LinesAsync(stream, cancellationToken).ConfigureAwait(false))
            {
                if (line.Error is { } error)
                {
                    throw new PullFailedException(error);
                }

                isDone |= line.Status == "success";
                yield return new PullStep(line.Status ?? "", line.Completed, line.Total);
            }

            if (!isDone)
            {
                throw new PullFailedException($"Ollama answered {(int)response.StatusCode} and ended before it said \"success\".");
            }
        }
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync()
    {
        _endpoint.Dispose();
        return ValueTask.CompletedTask;
    }

    /// <summary>Models that run on this machine, ordered by name.</summary>
    private static IEnumerable<OllamaModel> Local(OllamaModels tags) =>
        (tags.Models ?? [])
            .Where(model => !string.IsNullOrEmpty(model.Name) && string.IsNullOrEmpty(model.RemoteHost))
            .DistinctBy(model => model.Name)
            .OrderBy(model => model.Name, StringComparer.Ordinal);

    private async Task<EngineModel> DescribeAsync(OllamaModel model, bool isLoaded, CancellationToken cancellationToken)
    {
        var more = await DetailsAsync(model, cancellationToken).ConfigureAwait(false);
        return new EngineModel(
            model.Name!,
            string.IsNullOrEmpty(model.Digest) ? null : $"sha256:{model.Digest}",
            model.Size,
            isLoaded,
            more.ContextLength,
            more.Capabilities,
            string.IsNullOrEmpty(model.Details?.QuantizationLevel) ? null : model.Details.QuantizationLevel);
    }

    private async Task<Details> DetailsAsync(OllamaModel model, CancellationToken cancellationToken)
    {
        // One digest may go by several names, and what a name stands for may change: the digest is what counts.
        var key = string.IsNullOrEmpty(model.Digest) ? model.Name! : model.Digest;
        if (_details.TryGetValue(key, out var known))
        {
            return known;
        }

        var show = await _calls.PostAsync("/api/show", Question(model.Name!), OllamaJson.Default.OllamaShow, cancellationToken).ConfigureAwait(false);
        if (show is null)
        {
            return Details.Unknown;
        }

        if (_details.Count >= DetailsMax)
        {
            _details.Clear();
        }

        return _details[key] = Details.Of(show);
    }

    private static byte[] Question(string model) =>
        JsonSerializer.SerializeToUtf8Bytes(new OllamaQuestion(model), OllamaJson.Default.OllamaQuestion);

    private static async IAsyncEnumerable<OllamaPullLine> LinesAsync(Stream stream, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var reader = PipeReader.Create(stream);
        try
        {
            ReadResult result;
            do
            {
                result = await reader.ReadAsync(cancellationToken).ConfigureAwait(false);
                var buffer = result.Buffer;
                while (buffer.PositionOf((byte)'\n') is { } end)
                {
                    if (Parse(buffer.Slice(0, end)) is { } line)
                    {
                        yield return line;
                    }

                    buffer = buffer.Slice(buffer.GetPosition(1, end));
                }

                if (result.IsCompleted && Parse(buffer) is { } last)
                {
                    yield return last;
                }

                if (buffer.Length > PullLineBytesMax)
                {
                    throw new PullFailedException($"Ollama sent a line above {PullLineBytesMax} bytes.");
                }

                reader.AdvanceTo(buffer.Start, buffer.End);
            }
            while (!result.IsCompleted);
        }
        finally
        {
            await reader.CompleteAsync().ConfigureAwait(false);
        }
    }

    private static OllamaPullLine? Parse(ReadOnlySequence<byte> line)
    {
        if (line.IsEmpty)
        {
            return null;
        }

        try
        {
            var reader = new Utf8JsonReader(line);
            return JsonSerializer.Deserialize(ref reader, OllamaJson.Default.OllamaPullLine);
        }
        catch (JsonException)
        {
            throw new PullFailedException("Ollama answered with something that is not JSON.");
        }
    }

    private sealed record Details(int? ContextLength, ImmutableArray<string> Capabilities)
    {
        /// <summary>Until the model has been asked about.</summary>
        public static Details Unknown { get; } = new(null, [JobKind.Chat.Word(), JobKind.Completion.Word()]);

        public static Details Of(OllamaShow show) => new(ContextOf(show), [.. CapabilitiesOf(show)]);

        private static int? ContextOf(OllamaShow show) =>
            show.ModelInfo?.Where(pair => pair.Key.EndsWith(".context_length", StringComparison.Ordinal)).Select(pair => pair.Value).FirstOrDefault()
                is { ValueKind: JsonValueKind.Number } value && value.TryGetInt32(out var length) && length > 0 ? length : null;

        private static IEnumerable<string> CapabilitiesOf(OllamaShow show)
        {
            if (show.Capabilities is null || show.Capabilities.Contains("completion"))
            {
                yield return JobKind.Chat.Word();
                yield return JobKind.Completion.Word();
            }

            if (show.Capabilities is null)
            {
                // An old version, which does not tell.
                yield break;
            }

            if (show.Capabilities.Contains("embedding"))
            {
                yield return JobKind.Embedding.Word();
            }

            foreach (var feature in (string[])["tools", "vision"])
            {
                yield return show.Capabilities.Contains(feature) ? feature : $"no_{feature}";
            }

            if (show.Capabilities.Contains("thinking"))
            {
                yield return "thinking";
            }

            // Its OpenAI-compatible endpoint answers once, whatever n says, and hears nothing.
            yield return "no_choices";
            yield return "no_audio";
        }
    }
}
