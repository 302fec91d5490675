using System.Buffers;
using System.Collections.Immutable;
using Federation.Contracts.Jobs;
using Federation.Contracts.Nodes;
using Federation.Protocol.OpenAi;
using Federation.Silo.Accounts.Limits;
using Federation.Silo.Gateway;
using Federation.Silo.Pricing;
using static Federation.Silo.Storage.UnixTime;

namespace Federation.Silo.Providers;

/// <summary>One request on its way to clouds: for each that is tried the most it may cost is held, of the one that answers what it did cost is paid.</summary>
/// <remarks>
/// 1. The next provider that has the model and works; no more of them than the budget of retries allows.
/// 2. Hold its price, which frees what was held for the one before.
/// 3. Nothing sent to the client yet and it fails: the next one, and the client notices nothing.
/// 4. Pass the answer on as it comes.
/// 5. Settle before the client has the end: what was paid decides what the client can ask next. Who leaves pays what the provider bills: of a stream what came, and the prompt as soon as it was sent; an answer in one piece whole.
/// There is neither receipt nor audit: nobody earns by it.
/// </remarks>
internal sealed partial class CloudRun(
    InferenceRequest request, ImmutableArray<CloudRoute> routes, Payment payment, AnswerSink sink, Reservation reservation, Settlements settlements, RetryBudget retries, LeftAnswers left, PricingOptions pricing,
    CloudOptions options, GatewayOptions gateway, OpenAiError? otherwise, TimeProvider time, ILogger logger) : IAnswerRun
{
    private readonly DateTimeOffset _queuedAt = time.GetUtcNow();
    private int _attempt;
    private bool _begun;
    private bool _settled;

    /// <inheritdoc/>
    public Task Settled { get; private set; } = Task.CompletedTask;

    /// <inheritdoc/>
    public long DeliveredTokens { get; private set; }

    /// <inheritdoc/>
    public long PaidMicrocredits { get; private set; }

    /// <inheritdoc/>
    public long CloudTokens => DeliveredTokens;

    /// <inheritdoc/>
    public async Task ExecuteAsync()
    {
        try
        {
            if (await TryAllAsync() is not { } error) return;
            await payment.ReleaseAsync();
            await sink.RefuseAsync(error);
        }
        catch (OperationCanceledException) when (sink.Gone.IsCancellationRequested)
        {
            // The client left while its price was held: there is nobody to answer.
            await payment.ReleaseAsync();
        }
    }

    /// <summary>Tries one provider after another.</summary>
    /// <returns>Why none answered; <see langword="null"/> when the client has its answer.</returns>
    private async Task<OpenAiError?> TryAllAsync()
    {
        OpenAiError? refusal = null;
        TimeSpan? soonest = null;
        foreach (var route in routes)
        {
            // For a client that has left one answer may be waited for, and no other is asked.
            sink.Gone.ThrowIfCancellationRequested();
            if (_attempt >= options.MaxProviders) break;
            if (!route.Provider.Breaker.TryPass(out var pass, out var wait))
            {
                soonest = soonest is { } known && known < wait ? known : wait;
                continue;
            }
            if (_attempt > 0 && !retries.TryTake())
            {
                pass.Abandoned();
                LogNoRetry(request.JobId);
                break;
            }
            if (_attempt == 0) retries.OnRequest();
            if (await HoldAsync(route, pass) is { } unpaid)
            {
                refusal ??= unpaid;
                // What is too dear here may not be at the next; a database that is away is so for all.
                if (unpaid.Status >= 500) break;
                continue;
            }
            _attempt++;
            if (await TryAsync(route, pass) is not { } why) return null;
            LogTryElsewhere(request.JobId, route.Provider.Name, why);
            refusal = null;
        }
        if (_attempt == 0 && (otherwise ?? refusal) is { } unpaidFor) return unpaidFor;
        return _attempt == 0 && soonest is { } next
            ? OpenAiError.Busy($"The providers of the model '{request.Head.Model}' take no requests now. Try again.", next)
            : new OpenAiError(502, "server_error", "no_provider_answered", "No provider of the model could answer. Try again.") { RetryAfterSeconds = 1 };
    }

    private async Task<OpenAiError?> HoldAsync(CloudRoute route, CircuitBreaker.Pass pass)
    {
        try
        {
            var error = await payment.HoldAsync(route.Price, route.Provider.Account, sink.Gone);
            // What the account can pay its key may still not be allowed to.
            if (error is null && await reservation.ReserveAsync(payment.HeldMicrocredits, payment.MaxTokens) is { } refusal) error = LimitErrors.Of(refusal, request.Head.Model, request.Kind);
            if (error is not null) pass.Abandoned();
            return error;
        }
        catch
        {
            pass.Abandoned();
            throw;
        }
    }

    /// <summary>Asks one provider. Why another one should be asked; <see langword="null"/> when the client has its answer, or an error in its place, or has left.</summary>
    private async Task<string?> TryAsync(CloudRoute route, CircuitBreaker.Pass pass)
    {
        var dispatchedAt = time.GetUtcNow();
        var asked = CloudRequest.Of(route, request.Kind, request.Body, request.Head.Stream, payment.ImposedLimit);
        await using var lease = CloudLeaseStream.Start(asked, pass, options, gateway, time, logger);
        using var overdue = new CancellationTokenSource(gateway.AnswerTimeout, time);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(overdue.Token);
        var answer = new Answer(route, lease, new CloudMeter(payment.Tokens, pricing), dispatchedAt, limit.Token);
        var isLeft = false;
        // A stream is billed as far as it came; of an answer in one piece nobody but the provider knows how far it is. What it bills is known at its end, so that is waited for and paid.
        var leaving = sink.Gone.UnsafeRegister(
            _ =>
            {
                if (!request.Head.Stream && payment.HeldMicrocredits > 0 && left.TryEnter(request.Caller.AccountId)) isLeft = true;
                else limit.Cancel();
            },
            null);
        try
        {
            return await RelayAsync(answer);
        }
        catch (Exception exception) when (exception is OperationCanceledException or IOException && sink.Gone.IsCancellationRequested)
        {
            lease.Cancel("client_gone");
            await SettleAsync(answer, JobStatus.Cancelled);
            return null;
        }
        catch (Exception exception) when (exception is TimeoutException or OperationCanceledException)
        {
            lease.Cancel("deadline");
            return request.Head.Stream ? await BrokenAsync(answer, "it took too long") : await OverdueAsync(answer);
        }
        finally
        {
            await leaving.DisposeAsync();
            if (isLeft) left.Leave(request.Caller.AccountId);
        }
    }

    private async Task<string?> RelayAsync(Answer answer) => await ReadAsync(answer) switch
    {
        LeaseEvent.Failed { Reason: LeaseFailure.Deadline } when !request.Head.Stream => await OverdueAsync(answer),
        LeaseEvent.Failed failed => await BrokenAsync(answer, failed.Detail),
        LeaseEvent.Head { ContentType: "text/event-stream" } => await RelayEventsAsync(answer),
        LeaseEvent.Head head => await RelayWholeAsync(answer, head),
        var other => throw new InvalidOperationException($"A cloud's answer began with {other}."),
    };

    private async Task<string?> RelayEventsAsync(Answer answer)
    {
        var scanner = new SseScanner(gateway.MaxEventBytes);
        var held = new ArrayBufferWriter<byte>();
        while (true)
        {
            var next = await ReadAsync(answer);
            do
            {
                switch (next)
                {
                    case LeaseEvent.Chunk chunk:
                        Pass(answer, scanner, chunk, held);
                        break;
                    case LeaseEvent.Done done:
                        answer.Meter.AddReport(done.PromptTokens, done.CompletionTokens);
                        Begin(answer);
                        // The end waits for the disk where it is paid; the words before it need not.
                        if (payment.HeldMicrocredits > 0) await sink.FlushAsync();
                        await SettleAsync(answer, JobStatus.Succeeded, () => sink.KeepEnd(HeadOf(answer), held.WrittenMemory));
                        await sink.CompleteAsync(held.WrittenMemory);
                        return null;
                    case LeaseEvent.Failed failed:
                        return await BrokenAsync(answer, failed.Detail);
                    default:
                        throw new InvalidOperationException($"A cloud's stream went on with {next}.");
                }
            }
            while (answer.Lease.TryRead(out next));
            await sink.FlushAsync();
        }
    }

    private void Pass(Answer answer, SseScanner scanner, LeaseEvent.Chunk chunk, ArrayBufferWriter<byte> held)
    {
        Mark(answer);
        var bytes = chunk.Data.Span;
        while (scanner.TryRead(ref bytes, out var item))
        {
            answer.Meter.Add(item.Facts);
            // The end is held back until the answer is paid: a client that has it leaves, and asks anew.
            if (item.IsDone || held.WrittenCount > 0)
            {
                held.Write(item.Raw);
                continue;
            }
            // A word to pass the time is no beginning: as long as there is none, another provider can take over.
            if (!_begun && item.Data.IsEmpty) continue;
            Begin(answer);
            sink.Write(item);
        }
        // A last event that no blank line ended comes alone and whole, too.
        if (scanner.IsInsideEvent && scanner.TryEnd(out var last))
        {
            answer.Meter.Add(last.Facts);
            held.Write(last.Raw);
        }
    }

    private async Task<string?> RelayWholeAsync(Answer answer, LeaseEvent.Head head)
    {
        ReadOnlyMemory<byte> whole = default;
        while (true)
        {
            switch (await ReadAsync(answer))
            {
                case LeaseEvent.Chunk chunk:
                    Mark(answer);
                    whole = chunk.Data;
                    break;
                case LeaseEvent.Done done:
                    await AnswerWholeAsync(answer, head, done, whole);
                    return null;
                case LeaseEvent.Failed failed:
                    return await BrokenAsync(answer, failed.Detail);
                case var other:
                    throw new InvalidOperationException($"A cloud's answer went on with {other}.");
            }
        }
    }

    private async Task AnswerWholeAsync(Answer answer, LeaseEvent.Head head, LeaseEvent.Done done, ReadOnlyMemory<byte> whole)
    {
        var scanner = new AnswerScanner(gateway.MaxAnswerBytes);
        scanner.Feed(whole.Span);
        var isJson = scanner.End();
        if (head.Status >= 300)
        {
            await payment.ReleaseAsync();
            await (isJson && scanner.Facts.IsError
                ? sink.WriteWholeAsync(HeadOf(answer), head.Status, head.ContentType, whole)
                : sink.RefuseAsync(OpenAiError.BadRequest($"The provider refused the request with status {head.Status}.")));
            return;
        }
        answer.Meter.Add(scanner.Facts);
        answer.Meter.AddReport(done.PromptTokens, done.CompletionTokens);
        await SettleAsync(answer, JobStatus.Succeeded, () => sink.KeepWhole(HeadOf(answer), head.Status, head.ContentType, whole));
        await sink.WriteWholeAsync(HeadOf(answer), head.Status, head.ContentType, whole);
    }

    /// <summary>The provider fell out. As long as the client has seen nothing, another one begins anew; else the stream ends with an error event.</summary>
    private async Task<string?> BrokenAsync(Answer answer, string why)
    {
        if (!_begun) return why;
        LogBroken(request.JobId, answer.Route.Provider.Name, why);
        await SettleAsync(answer, JobStatus.Failed);
        await sink.BreakOffAsync(OpenAiError.Interrupted("provider"));
        return null;
    }

    /// <summary>A whole answer is not there when its time is up. Another provider would take as long, and be asked for it a second time.</summary>
    private async Task<string?> OverdueAsync(Answer answer)
    {
        LogTryElsewhere(request.JobId, answer.Route.Provider.Name, "its answer took too long");
        if (sink.Gone.IsCancellationRequested)
        {
            await SettleAsync(answer, JobStatus.Cancelled);
            return null;
        }
        await payment.ReleaseAsync();
        await sink.RefuseAsync(new OpenAiError(504, "server_error", "answer_timeout", "The answer took too long. Ask for fewer tokens, or for a stream."));
        return null;
    }

    /// <summary>Has the job recorded and paid: before the client has its end where it pays, and behind it where it does not (ADR 20).</summary>
    /// <param name="answer">Which ended.</param>
    /// <param name="status">How.</param>
    /// <param name="keep">What goes on record with its price; asked where it has one.</param>
    private async Task SettleAsync(Answer answer, JobStatus status, Func<AnswerOnRecord?>? keep = null)
    {
        // A client may still leave between the settlement and the last byte.
        if (_settled) return;
        if (answer.FirstAt is null && status is JobStatus.Cancelled && answer.Lease.IsSent && payment.HeldMicrocredits > 0) Mark(answer);
        if (answer.FirstAt is not { } firstAt)
        {
            await payment.ReleaseAsync();
            return;
        }
        _settled = true;
        var (promptTokens, completionTokens) = answer.Meter.Count(status);
        var charge = payment.ChargeFor(promptTokens, completionTokens);
        payment.HandOver();
        DeliveredTokens = promptTokens + completionTokens;
        PaidMicrocredits = charge.Amount.Value;
        var outcome = new JobOutcome(
            request.JobId,
            _attempt,
            request.Caller.AccountId,
            request.Caller.KeyId,
            request.Kind,
            request.Head.Model,
            string.Empty,
            0,
            string.Empty,
            status,
            answer.Meter.FinishReason,
            promptTokens,
            completionTokens,
            [],
            [],
            Ms(_queuedAt),
            Ms(answer.DispatchedAt),
            Ms(firstAt),
            Ms(answer.LastAt),
            string.Empty)
        {
            RequestBytes = request.Body.Length,
            TextBytes = answer.Meter.TextBytes,
            Price = charge.Amount.Value,
            HoldId = charge.HoldId,
            Provider = answer.Route.Provider.Name,
            IsBackground = request.Origin is not CallOrigin.Client,
            Answer = charge.HoldId.Length > 0 ? keep?.Invoke() : null,
        };
        Settled = charge.HoldId.Length > 0 ? await settlements.KeepAsync(outcome) : settlements.SettleAsync(outcome);
    }

    // The provider's own patience ends before this one: it is told by an event.
    private ValueTask<LeaseEvent> ReadAsync(Answer answer) => answer.Lease.ReadAsync(gateway.AnswerTimeout, time, answer.Cancelled);

    private void Mark(Answer answer)
    {
        answer.LastAt = time.GetUtcNow();
        answer.FirstAt ??= answer.LastAt;
    }

    private void Begin(Answer answer)
    {
        if (_begun) return;
        _begun = true;
        sink.Begin(HeadOf(answer));
    }

    private AnswerHead HeadOf(Answer answer) => new(string.Empty, _attempt, answer.DispatchedAt - _queuedAt) { Route = answer.Route.Name };

    private sealed class Answer(CloudRoute route, CloudLeaseStream lease, CloudMeter meter, DateTimeOffset dispatchedAt, CancellationToken cancelled)
    {
        public CloudRoute Route { get; } = route;

        public CloudLeaseStream Lease { get; } = lease;

        public CloudMeter Meter { get; } = meter;

        public DateTimeOffset DispatchedAt { get; } = dispatchedAt;

        /// <summary>The client left or the answer's time is up.</summary>
        public CancellationToken Cancelled { get; } = cancelled;

        public DateTimeOffset? FirstAt { get; set; }

        public DateTimeOffset LastAt { get; set; }
    }

    [LoggerMessage(4520, LogLevel.Information, "Job {JobId}: the cloud provider {Provider} did not answer: {Why}")]
    private partial void LogTryElsewhere(string jobId, string provider, string why);

    [LoggerMessage(4521, LogLevel.Warning, "Job {JobId}: the cloud provider {Provider} broke off in mid-answer: {Why}")]
    private partial void LogBroken(string jobId, string provider, string why);

    [LoggerMessage(4522, LogLevel.Warning, "Job {JobId}: no further cloud provider is asked; so many have failed lately that the budget of retries is used up")]
    private partial void LogNoRetry(string jobId);
}
