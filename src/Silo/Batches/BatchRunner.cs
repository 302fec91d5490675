using System.Collections.Concurrent;
using System.Collections.Immutable;
using Federation.Protocol.OpenAi;
using Federation.Silo.Files;
using Federation.Silo.Gateway;
using Federation.Silo.Hosting;
using Federation.Silo.Hubs;
using Federation.Silo.Jobs;
using Federation.Silo.Pricing;
using Federation.Silo.Providers;
using Federation.Silo.Storage;
using Microsoft.Extensions.Options;
using static Federation.Silo.Storage.UnixTime;

namespace Federation.Silo.Batches;

/// <summary>
/// Works through batches: reads their lines, asks those that have no answer yet behind everybody who waits, and writes the files.
/// </summary>
/// <remarks>
/// An answer is on disk before its line counts as answered, and a line that has one is never asked again: a hub that is killed in the middle goes on where it was. A claim has a number, and answers of an
/// old claim are refused, so no line is in the output twice.
/// </remarks>
internal sealed partial class BatchRunner(
    BatchStore store, FileStore files, IBackgroundInference inference, HubDirectoryView directory, CloudRoutes clouds, HubDrain drain, IOptions<BatchOptions> options, IOptions<GatewayOptions> gateway, IOptions<PricingOptions> pricing, TimeProvider time, ILogger<BatchRunner> logger)
    : WakingService(options.Value.LookPeriod, time, logger)
{
    private const int ErrorsMax = 100;

    /// <summary>What a line has around its body, bytes.</summary>
    private const int LineOverheadBytes = 16 * 1024;

    private static readonly TimeSpan RetryPeriod = TimeSpan.FromSeconds(1);
    private static readonly byte[] LineBreak = "\n"u8.ToArray();

    private readonly BatchOptions _options = options.Value;
    private readonly string _owner = $"silo_{Guid.CreateVersion7():N}";
    private readonly ConcurrentDictionary<string, Run> _running = new(StringComparer.Ordinal);
    private long? _heldAt;

    /// <summary>Batches under way on this silo.</summary>
    public int Running => _running.Count;

    private int MaxLineBytes => (int)Math.Min(gateway.Value.MaxBodyBytes + LineOverheadBytes, int.MaxValue);

    public override async Task LookAsync(CancellationToken cancellationToken)
    {
        await HoldAsync(cancellationToken);
        await ForgetAsync(store.ForgetAsync, cancellationToken);
        var free = _options.MaxRunning - _running.Count;
        if (free <= 0 || drain.IsDraining) return;
        foreach (var batch in await store.ClaimAsync(_owner, free, cancellationToken)) Start(batch);
    }

    /// <summary>Completes when everything that was under way has ended.</summary>
    public Task WhenIdleAsync() => Task.WhenAll(_running.Values.Select(run => run.Task));

    protected override async Task StopWorkAsync()
    {
        foreach (var run in _running.Values) await run.Lost.CancelAsync();
        await WhenIdleAsync();
    }

    private async Task HoldAsync(CancellationToken cancellationToken)
    {
        if (_running.IsEmpty) return;
        var before = _running.ToArray();
        var renew = _heldAt is not { } heldAt || Time.GetElapsedTime(heldAt) >= _options.LeaseDuration / 3;
        var held = await store.HoldAsync(_owner, before.Select(run => run.Value.Batch), renew, cancellationToken);
        if (renew) _heldAt = Time.GetTimestamp();
        foreach (var (id, run) in before)
        {
            if (!held.TryGetValue(id, out var claim) || claim.Attempt != run.Batch.Attempt) await run.Lost.CancelAsync();
            else if (claim.State == BatchStates.Cancelling || IsLate(run.Batch)) await run.Over.CancelAsync();
            else if (run is { Waiting: > 0, Asking: 0 } && Time.GetElapsedTime(run.AnsweredAt) >= _options.StallAfter) await run.Stalled.CancelAsync();
        }
    }

    private bool IsLate(Batch batch) => Ms(Time.GetUtcNow()) >= batch.ExpiresAt;

    private void Start(Batch batch)
    {
        var run = new Run(batch) { AnsweredAt = Time.GetTimestamp() };
        _running[batch.Id] = run;
        run.Task = RunAsync(run);
    }

    private async Task RunAsync(Run run)
    {
        // Not in the middle of the look that claimed it.
        await Task.Yield();
        var batch = run.Batch;
        try
        {
            await WorkAsync(run);
        }
        catch (OperationCanceledException) when (run.Lost.IsCancellationRequested)
        {
            await TryReleaseAsync(batch);
        }
        catch (StorageException exception) when (exception.IsTransient)
        {
            // Once the database is back, whoever has the batch then goes on where this came to.
            LogAway(batch.Id, exception);
            await TryReleaseAsync(batch);
        }
        catch (Exception exception)
        {
            // Left to its lease, so that what goes wrong at once does not go wrong all the time.
            LogFailed(batch.Id, exception);
        }
        finally
        {
            // Only this run: the batch may have been claimed again meanwhile.
            _running.TryRemove(KeyValuePair.Create(batch.Id, run));
            Wake();
        }
    }

    private async Task WorkAsync(Run run)
    {
        var batch = run.Batch;
        if (batch.State == BatchStates.Validating)
        {
            if (IsLate(batch))
            {
                // Not read any more: whatever kept its lines from being read until now could keep it from ending.
                await FailAsync(batch, BatchStates.Expired, [new BatchError("batch_expired", "The requests could not be read before the completion window expired.", null, null)]);
                return;
            }
            if (await ValidateAsync(run) is not { } begun) return;
            batch = begun;
        }
        if (batch.State == BatchStates.InProgress && !IsLate(batch)) await AskAsync(batch, run);
        run.Lost.Token.ThrowIfCancellationRequested();
        if (run.Stalled.IsCancellationRequested && !run.Over.IsCancellationRequested)
        {
            LogStalled(batch.Id);
            await store.ReleaseAsync(batch, _options.MaxRetryDelay);
            return;
        }
        await WriteFilesAsync(batch, run);
    }

    // ----------------------------------------------------------------------------------------------------- 1. the lines

    /// <summary>Reads all lines before the first is asked; the batch as it goes on, null when it does not.</summary>
    private async Task<Batch?> ValidateAsync(Run run)
    {
        var (errors, names, models) = (new List<BatchError>(), new HashSet<string>(StringComparer.Ordinal), new Dictionary<string, long>(StringComparer.Ordinal));
        var total = 0L;
        await foreach (var line in LinesAsync(run.Batch, run.Lost.Token))
        {
            total++;
            if (WhyWrong(run.Batch, line, names, models) is { } error) errors.Add(error);
            if (total > _options.MaxLines) errors.Add(new BatchError("too_many_requests", $"The file has more than {_options.MaxLines} requests.", null, line.Number));
            if (models.Count > _options.MaxModels) errors.Add(new BatchError("too_many_models", $"The file names more than {_options.MaxModels} models.", "model", line.Number));
            if (errors.Count >= ErrorsMax || total > _options.MaxLines || models.Count > _options.MaxModels) break;
        }
        if (total == 0) errors.Add(new BatchError("empty_file", "The input file has no requests.", null, null));
        if (errors.Count > 0)
        {
            await FailAsync(run.Batch, BatchStates.Failed, errors);
            return null;
        }
        var (known, tokens) = (new List<string>(), new Dictionary<string, long>(StringComparer.Ordinal));
        foreach (var (model, count) in models)
        {
            var onNodes = await directory.FindModelAsync(model, run.Lost.Token);
            // What nobody knows is asked of no model, and anybody could think up names without end.
            if (onNodes is null && clouds.Find(model, run.Batch.Kind).IsEmpty) continue;
            known.Add(model);
            // Under one name, however its lines call it.
            var name = onNodes?.Name ?? model;
            tokens[name] = tokens.GetValueOrDefault(name) + count;
        }
        var (begun, refused) = await store.BeginAsync(run.Batch, total, known, tokens, CancellationToken.None);
        if (begun) return run.Batch with { State = BatchStates.InProgress, Total = total, Models = System.Text.Json.JsonSerializer.Serialize(known) };
        if (refused is null) await TryReleaseAsync(run.Batch);
        else await FailAsync(run.Batch, BatchStates.Failed, [refused]);
        return null;
    }

    private async Task FailAsync(Batch batch, string state, IEnumerable<BatchError> errors)
    {
        if (await store.FailAsync(batch, state, errors, CancellationToken.None)) LogEnded(batch.Id, state);
        // Cancelled meanwhile: the next look ends it.
        else await TryReleaseAsync(batch);
    }

    /// <param name="batch">Whose line it is.</param>
    /// <param name="line">The line.</param>
    /// <param name="names">Of the lines before, to which this one's is added.</param>
    /// <param name="models">What the prompts of the lines before come to, by model, to which this one's is added.</param>
    private BatchError? WhyWrong(Batch batch, FileLine line, HashSet<string> names, Dictionary<string, long> models)
    {
        if (line.IsTooLong) return new BatchError("request_too_large", "This line is longer than a request may be.", null, line.Number);
        var (request, problem) = BatchLine.Read(line.Bytes, line.Number, batch.Kind);
        if (request is null) return problem;
        models[request.Model] = models.GetValueOrDefault(request.Model) + PromptTokens(request, batch.Kind);
        return names.Add(request.CustomId) ? null : new BatchError("duplicate_custom_id", $"The 'custom_id' of this line was there before: {request.CustomId}", "custom_id", line.Number);
    }

    /// <summary>As it is priced. What cannot be priced is counted in bytes: its own answer will say what is wrong with it.</summary>
    private long PromptTokens(BatchLine request, JobKind kind)
        => RequestTokens.TryRead(request.Body.Span, kind, out var tokens, out _) ? tokens.EstimatedPrompt(pricing.Value) : request.Body.Length / pricing.Value.BytesPerToken;

    private IAsyncEnumerable<FileLine> LinesAsync(Batch batch, CancellationToken cancellationToken) => FileLines.ReadAsync(files.ReadAsync(batch.InputFileId, cancellationToken), MaxLineBytes);

    // --------------------------------------------------------------------------------------------------- 2. the answers

    private async Task AskAsync(Batch batch, Run run)
    {
        var answered = await store.AnsweredAsync(batch.Id, run.Lost.Token);
        var known = batch.KnownModels.ToImmutableHashSet(StringComparer.Ordinal);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(run.Lost.Token, run.Over.Token);
        try
        {
            await Parallel.ForEachAsync(
                LinesAsync(batch, either.Token).TakeWhile(_ => !run.Stalled.IsCancellationRequested).Where(line => !answered.Contains(line.Number)),
                new ParallelOptions { MaxDegreeOfParallelism = _options.Parallelism, CancellationToken = either.Token },
                async (line, gone) => await AskAsync(batch, run, line, known, gone));
        }
        catch (OperationCanceledException) when (run.Over.IsCancellationRequested && !run.Lost.IsCancellationRequested)
        {
            // Cancelled, or out of time: what has its answer is in the output all the same.
        }
    }

    private async Task AskAsync(Batch batch, Run run, FileLine line, ImmutableHashSet<string> known, CancellationToken gone)
    {
        var (request, problem) = BatchLine.Read(line.Bytes, line.Number, batch.Kind);
        if (request is null) throw new InvalidOperationException($"Line {line.Number} of batch {batch.Id} is not what it was when it was read first: {problem!.Message}");
        if (await AnswerAsync(batch, run, request, line.Number, known, gone) is not (var answer, var output)) return;
        run.AnsweredAt = Time.GetTimestamp();
        var written = new BatchAnswer(batch.Id, batch.Attempt, line.Number, answer.Verdict is not AttemptVerdict.Answered, output);
        while (true)
        {
            try
            {
                // What was answered is kept although the batch is over.
                if (!await store.AnswerAsync(written, run.Lost.Token))
                {
                    LogFenced(batch.Id, batch.Attempt, line.Number);
                    await run.Lost.CancelAsync();
                }
                return;
            }
            catch (StorageException exception) when (exception.IsTransient)
            {
                LogAway(batch.Id, exception);
                await Task.Delay(RetryPeriod, Time, run.Lost.Token);
            }
        }
    }

    /// <summary>Asks until there is an answer that stands; with its line of the output. Null where the batch has stalled: then it is asked at its next turn.</summary>
    private async Task<(BackgroundAnswer Answer, byte[] Output)?> AnswerAsync(Batch batch, Run run, BatchLine request, long line, ImmutableHashSet<string> known, CancellationToken gone)
    {
        if (RequestHead.TryRead(request.Body.Span, batch.Kind, out var head, out _) && head.Stream)
            return Refused(request, OpenAiError.BadRequest("A batch's answers come whole: leave 'stream' out.", "stream", "unsupported_parameter"));
        var failures = 0;
        for (var attempt = 1L; ; attempt++)
        {
            var (answer, output) = await TryAsync(run, request, line, gone);
            switch (answer.Verdict)
            {
                case AttemptVerdict.Answered or AttemptVerdict.Refused:
                case AttemptVerdict.Failed when ++failures >= _options.MaxFailures:
                // A model nobody knew from the beginning is a name that was mistyped; one that was known comes back.
                case AttemptVerdict.Later when answer.Status == 404 && !known.Contains(request.Model):
                // Used up is not busy: as with OpenAI, the line says so rather than wait for the account to be filled.
                case AttemptVerdict.Later when answer.Code == "insufficient_quota":
                    return (answer, output);
                case AttemptVerdict.Later or AttemptVerdict.Failed:
                    if (!await WaitAsync(run, Backoff.Wait(attempt, _options.RetryDelay, _options.MaxRetryDelay, answer.RetryAfter), gone)) return null;
                    break;
                default:
                    throw new InvalidOperationException($"Verdict {answer.Verdict} is not handled.");
            }
        }
    }

    /// <returns>False where there is nothing to wait for at this turn: the batch has stalled.</returns>
    private async Task<bool> WaitAsync(Run run, TimeSpan wait, CancellationToken gone)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(gone, run.Stalled.Token);
        run.OnWaiting(1);
        await Task.Delay(wait, Time, either.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        run.OnWaiting(-1);
        gone.ThrowIfCancellationRequested();
        return !run.Stalled.IsCancellationRequested;
    }

    /// <summary>Asks once. Whatever goes wrong with one line is a failure of that line's, not of the batch's; but a database that is away is away for all of them.</summary>
    private async Task<(BackgroundAnswer Answer, byte[] Output)> TryAsync(Run run, BatchLine request, long line, CancellationToken gone)
    {
        var batch = run.Batch;
        run.OnAsking(1);
        try
        {
            var answer = await inference.TryAsync(batch.Kind, request.Body, batch.KeyId, CallOrigin.Batch, batch.Terms, gone) ?? throw new OperationCanceledException(gone);
            return (answer, BatchLine.Output(request.CustomId, answer));
        }
        catch (Exception exception) when (!gone.IsCancellationRequested && exception is not StorageException { IsTransient: true })
        {
            LogLineFailed(batch.Id, line, exception);
            return Refused(request, OpenAiError.Internal());
        }
        finally
        {
            run.OnAsking(-1);
        }
    }

    private static (BackgroundAnswer Answer, byte[] Output) Refused(BatchLine request, OpenAiError error)
    {
        var answer = WholeAnswerSink.AnswerOf(string.Empty, error);
        return (answer, BatchLine.Output(request.CustomId, answer));
    }

    // ----------------------------------------------------------------------------------------------------- 3. the files

    private async Task WriteFilesAsync(Batch batch, Run run)
    {
        var lost = run.Lost.Token;
        // One that was cancelled is not finalized, but stays what it is until it has ended.
        var isCancelled = !await store.FinalizeAsync(batch, lost);
        await using var output = await BeginAsync(batch, lost);
        await foreach (var line in store.AnswersAsync(batch.Id, errors: false)) await WriteLineAsync(output, line, lost);
        await using var error = await BeginAsync(batch, lost);
        await foreach (var line in store.AnswersAsync(batch.Id, errors: true)) await WriteLineAsync(error, line, lost);
        var unanswered = batch.Total == 0 ? 0 : await WriteUnansweredAsync(batch, error, isCancelled, lost);
        await output.FlushAsync(lost);
        await error.FlushAsync(lost);
        var state = isCancelled ? BatchStates.Cancelled : unanswered > 0 ? BatchStates.Expired : BatchStates.Completed;
        if (await store.EndAsync(batch, state, output.Length > 0 ? output : null, error.Length > 0 ? error : null, lost)) LogEnded(batch.Id, state);
    }

    private async Task<long> WriteUnansweredAsync(Batch batch, FileWriter error, bool isCancelled, CancellationToken cancellationToken)
    {
        var (code, message) = isCancelled
            ? ("batch_cancelled", "This request was not executed: the batch was cancelled.")
            : ("batch_expired", "This request could not be executed before the completion window expired.");
        var answered = await store.AnsweredAsync(batch.Id, cancellationToken);
        var unanswered = 0L;
        await foreach (var line in LinesAsync(batch, cancellationToken))
        {
            if (answered.Contains(line.Number) || BatchLine.Read(line.Bytes, line.Number, batch.Kind).Line is not { } request) continue;
            await WriteLineAsync(error, BatchLine.Output(request.CustomId, code, message), cancellationToken);
            unanswered++;
        }
        return unanswered;
    }

    private async Task<FileWriter> BeginAsync(Batch batch, CancellationToken cancellationToken)
        => await files.BeginAsync(batch.AccountId, isBounded: false, cancellationToken) ?? throw new InvalidOperationException("A file that has no bound was refused.");

    private static async Task WriteLineAsync(FileWriter file, byte[] line, CancellationToken cancellationToken)
    {
        await file.WriteAsync(line, cancellationToken);
        await file.WriteAsync(LineBreak, cancellationToken);
    }

    private async Task TryReleaseAsync(Batch batch)
    {
        try
        {
            await store.ReleaseAsync(batch);
        }
        catch (StorageException exception) when (exception.IsTransient)
        {
            // Its lease ends by itself.
            LogAway(batch.Id, exception);
        }
    }

    private sealed class Run(Batch batch)
    {
        private long _answeredAt;
        private int _waiting;
        private int _asking;

        public Batch Batch => batch;

        /// <summary>When a line had its answer last, or the run began; a timestamp.</summary>
        public long AnsweredAt
        {
            get => Volatile.Read(ref _answeredAt);
            set => Volatile.Write(ref _answeredAt, value);
        }

        /// <summary>Lines that wait for their next attempt.</summary>
        public int Waiting => Volatile.Read(ref _waiting);

        /// <summary>Lines that are being answered.</summary>
        public int Asking => Volatile.Read(ref _asking);

        /// <summary>The batch is another's, or the hub stops: nothing more is written.</summary>
        public CancellationTokenSource Lost { get; } = new();

        /// <summary>The batch was cancelled, or its time is up: no more lines are asked, and the files are written.</summary>
        public CancellationTokenSource Over { get; } = new();

        /// <summary>Its lines only wait: no more are asked, those that wait are left for its next turn, and those being asked are its last.</summary>
        public CancellationTokenSource Stalled { get; } = new();

        public Task Task { get; set; } = Task.CompletedTask;

        public void OnWaiting(int lines) => Interlocked.Add(ref _waiting, lines);

        public void OnAsking(int lines) => Interlocked.Add(ref _asking, lines);
    }

    [LoggerMessage(4420, LogLevel.Information, "Batch {BatchId} has ended: {State}")]
    private partial void LogEnded(string batchId, string state);

    [LoggerMessage(4421, LogLevel.Information, "Batch {BatchId}: the answer to line {Line} came late and is refused: claim {Attempt} is lost")]
    private partial void LogFenced(string batchId, long attempt, long line);

    [LoggerMessage(4422, LogLevel.Warning, "Batch {BatchId}: the database is away; it goes on when that is back")]
    private partial void LogAway(string batchId, Exception exception);

    [LoggerMessage(4423, LogLevel.Error, "Batch {BatchId} cannot be worked on; tried again when its lease has ended")]
    private partial void LogFailed(string batchId, Exception exception);

    [LoggerMessage(4425, LogLevel.Information, "Batch {BatchId} waits, and has no answer meanwhile: others have its place until its next turn")]
    private partial void LogStalled(string batchId);

    [LoggerMessage(4424, LogLevel.Error, "Batch {BatchId}: an attempt at line {Line} failed")]
    private partial void LogLineFailed(string batchId, long line, Exception exception);
}
