using System.Collections.Immutable;
using System.IO.Pipelines;
using System.Text;
using Federation.NodeAgent.Engines.Builtin.Gguf;
using Federation.NodeAgent.Engines.Builtin.Requests;
using Federation.NodeAgent.Engines.Builtin.Sampling;
using Federation.Protocol.OpenAi;
using Federation.Protocol.Verification;
using Microsoft.Extensions.Logging;

namespace Federation.NodeAgent.Engines.Builtin;

/// <summary>
/// A small engine of our own: runs GGUF models of the llama architecture on the CPU, so that a fresh machine has something real to serve and
/// verification has log-probabilities. For large models and GPUs there are Ollama and the OpenAI-compatible servers.
/// </summary>
public sealed partial class BuiltinEngine : IScoringEngine
{
    private const string EngineVersion = "1";

    private readonly BuiltinOptions _options;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly Random _random;
    private readonly Lock _randomTurn = new();
    private readonly CancellationTokenSource _stopping = new();
    private readonly ModelShelf _shelf;
    private readonly SlotQueue _slots;
    private readonly ComputeThreads _threads;
    private readonly RequestReader _requests;

    /// <param name="options">Folders and bounds.</param>
    /// <param name="time">For <c>created</c> and for unloading idle models.</param>
    /// <param name="random">Draws ids, and seeds where a client gives none. Only the engine uses it from then on.</param>
    /// <param name="logger">Models that come, go or cannot be read, and generations that failed. Never prompts or answers.</param>
    /// <exception cref="ArgumentException">An option is out of its range.</exception>
    public BuiltinEngine(BuiltinOptions options, TimeProvider time, Random random, ILogger<BuiltinEngine> logger)
    {
        options.Validate();
        (_options, _time, _random, _logger) = (options, time, random, logger);
        _shelf = new ModelShelf(options, time, logger);
        _slots = new SlotQueue(options.Slots, options.QueueMax);
        _threads = new ComputeThreads(options.Threads);
        _requests = new RequestReader(options.ChoicesMax);
    }

    /// <inheritdoc/>
    public string Name => "builtin";

    /// <inheritdoc/>
    public string Kind => "builtin";

    /// <inheritdoc/>
    public int Slots => _options.Slots;

    /// <inheritdoc/>
    public ImmutableArray<JobKind> Continues { get; } = [JobKind.Chat, JobKind.Completion];

    /// <inheritdoc/>
    public async Task<EngineInventory?> GetInventoryAsync(CancellationToken cancellationToken) =>
        new(EngineVersion, await _shelf.ScanAsync(cancellationToken).ConfigureAwait(false));

    /// <inheritdoc/>
    public async Task<EngineResponse> SendAsync(EngineRequest request, CancellationToken cancellationToken)
    {
        try
        {
            if (request.Kind == JobKind.Embedding)
            {
                throw new OpenAiErrorException(OpenAiError.Invalid(
                    $"The model {request.Model} does not support embeddings.", "model", "unsupported_operation"));
            }

            return await StartAsync(_requests.Read(request.Kind, request.Body), request.Model, cancellationToken).ConfigureAwait(false);
        }
        catch (OpenAiErrorException e)
        {
            return new WholeResponse(e.Error.Status, e.Error.ToJson());
        }
    }

    /// <summary>The builtin engine has the files in its folders and fetches none.</summary>
    /// <exception cref="NotSupportedException">Always.</exception>
    public IAsyncEnumerable<PullStep> PullAsync(string model, CancellationToken cancellationToken) =>
        throw new NotSupportedException("The builtin engine fetches no models; put a GGUF file into one of its folders.");

    /// <inheritdoc/>
    public async Task<ScoreAnswer> ScoreAsync(ScoreRequest request, CancellationToken cancellationToken)
    {
        try
        {
            var kind = JobKinds.TryParse(request.Kind, out var word) ? word : throw new ScoringException($"A {request.Kind} cannot be scored.");
            var asked = _requests.Read(kind, Encoding.UTF8.GetBytes(request.Request.GetRawText()));
            if (request.Sampler is { } sampler)
            {
                asked = asked with { Sampling = Settings(sampler) };
            }

            using var slot = await EnterAsync(cancellationToken).ConfigureAwait(false);
            using var loan = await BorrowAsync(request.Model, cancellationToken).ConfigureAwait(false);
            return Prompts.Encode(loan.Model, asked) is [var prompt]
                ? await ScoreAsync(loan.Model, new TextScorer(loan.Model, asked, request, prompt), cancellationToken).ConfigureAwait(false)
                : throw new ScoringException("An answer to several prompts cannot be scored as one.");
        }
        catch (Exception e) when (e is OpenAiErrorException or BrokenModelException)
        {
            throw new ScoringException(e.Message, e);
        }
    }

    /// <summary>Cancels what runs and waits, then lets go of threads and models.</summary>
    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync().ConfigureAwait(false);
        await _slots.DrainAsync().ConfigureAwait(false);
        _threads.Dispose();
        _shelf.Dispose();
        _slots.Dispose();
        _stopping.Dispose();
    }

    private async Task<EngineResponse> StartAsync(GenerationRequest request, string modelName, CancellationToken cancellationToken)
    {
        var slot = await EnterAsync(cancellationToken).ConfigureAwait(false);
        ModelShelf.Loan? loan = null;
        try
        {
            // A slot can come free because the engine stops; whoever gets it then must not begin.
            _stopping.Token.ThrowIfCancellationRequested();
            loan = await BorrowAsync(modelName, cancellationToken).ConfigureAwait(false);
            var prompts = Prompts.Encode(loan.Model, request);

            // The reader continues on the pool, never on a compute thread that has tokens to make.
            var pipe = new Pipe(new PipeOptions(
                pauseWriterThreshold: _options.BufferBytes, resumeWriterThreshold: Math.Max(1, _options.BufferBytes / 2), useSynchronizationContext: false));
            var cancellation = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _stopping.Token);
            var outcome = new GenerationOutcome();
            var generation = GenerateAsync(request, prompts, loan, slot, pipe.Writer, outcome, cancellation.Token);
            return new BuiltinResponse(request.Stream ? "text/event-stream" : "application/json", pipe.Reader, generation, outcome, cancellation);
        }
        catch
        {
            loan?.Dispose();
            slot.Dispose();
            throw;
        }
    }

    /// <summary>Owns the loan, the slot and the pipe's writing end from its call on. Never throws: what goes wrong, the pipe's reader sees.</summary>
    private async Task GenerateAsync(
        GenerationRequest request,
        List<int[]> prompts,
        ModelShelf.Loan loan,
        IDisposable slot,
        PipeWriter pipe,
        GenerationOutcome outcome,
        CancellationToken cancellationToken)
    {
        var model = loan.Model;
        var session = model.RentSession();
        Exception? failure = null;
        try
        {
            var (id, seed) = Draw(request);
            var head = new AnswerHead(id, _time.GetUtcNow().ToUnixTimeSeconds(), model.Card.Name, model.Card.Fingerprint);
            using var writer = new AnswerWriter(request, head, model.Tokenizer, pipe, prompts.Count * request.Choices);
            var generation = new Generation(model, request, session, writer, pipe, _threads, seed, outcome.Tokens, cancellationToken);
            outcome.Usage = await generation.RunAsync(prompts).ConfigureAwait(false);
            outcome.FinishReason = generation.FinishReason;
        }
        catch (OperationCanceledException e)
        {
            failure = e;
        }
        catch (Exception e)
        {
            LogGenerationFailed(e, model.Card.Name);
            failure = new IOException("the builtin engine failed in mid-answer", e);
        }
        finally
        {
            model.ReturnSession(session);
            loan.Dispose();
            slot.Dispose();

            // Last: who reads the end may send the next request at once, and finds the slot free.
            await pipe.CompleteAsync(failure).ConfigureAwait(false);
        }
    }

    private async Task<ScoreAnswer> ScoreAsync(LoadedModel model, TextScorer scorer, CancellationToken cancellationToken)
    {
        var session = model.RentSession();
        try
        {
            return await scorer.RunAsync(session, _threads, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            model.ReturnSession(session);
        }
    }

    private static SamplingSettings Settings(ScoreSampler sampler) => new()
    {
        Temperature = sampler.Temperature,
        TopK = sampler.TopK,
        TopP = sampler.TopP,
        MinP = sampler.MinP,
        PresencePenalty = sampler.PresencePenalty,
        FrequencyPenalty = sampler.FrequencyPenalty,
    };

    private async Task<IDisposable> EnterAsync(CancellationToken cancellationToken)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _stopping.Token);
        return await _slots.EnterAsync(either.Token).ConfigureAwait(false) ?? throw new OpenAiErrorException(new OpenAiError(
            429, "server_error", $"{_options.QueueMax} requests wait already; try again later.", Code: "engine_overloaded"));
    }

    private async Task<ModelShelf.Loan> BorrowAsync(string name, CancellationToken cancellationToken)
    {
        try
        {
            return await _shelf.BorrowAsync(name, cancellationToken).ConfigureAwait(false)
                ?? throw new OpenAiErrorException(new OpenAiError(
                    404, "invalid_request_error", $"The model {name} does not exist.", "model", "model_not_found"));
        }
        catch (ShelfFullException e)
        {
            throw new OpenAiErrorException(new OpenAiError(503, "server_error", $"{e.Message}; try again later.", Code: "engine_overloaded"));
        }
        catch (Exception e) when (e is GgufFormatException or IOException or UnauthorizedAccessException)
        {
            LogLoadFailed(e, name);
            throw new OpenAiErrorException(new OpenAiError(500, "server_error", $"The model {name} could not be loaded.", "model", "model_load_failed"));
        }
    }

    private (string Id, ulong Seed) Draw(GenerationRequest request)
    {
        lock (_randomTurn)
        {
            var id = (request.Kind == JobKind.Chat ? "chatcmpl-" : "cmpl-") + $"{_random.NextInt64():x16}";
            return (id, (ulong)(request.Seed ?? _random.NextInt64()));
        }
    }

    [LoggerMessage(2111, LogLevel.Error, "A generation with {Model} failed; its answer was cut off.")]
    private partial void LogGenerationFailed(Exception exception, string model);

    [LoggerMessage(2112, LogLevel.Error, "Model {Model} could not be loaded; the request was answered with an error.")]
    private partial void LogLoadFailed(Exception exception, string model);
}
