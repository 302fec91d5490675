using System.Buffers;
using System.Net;
using System.Net.Http.Headers;
using System.Text.Unicode;
using System.Threading.Channels;
using Federation.Contracts.Nodes;
using Federation.Protocol.OpenAi;
using Federation.Silo.Gateway;

namespace Federation.Silo.Providers;

/// <summary>
/// An answer of a cloud, told as a node would tell it. The provider's bytes pass untouched, but for the model's name where it has another one there, and the usage that only the hub asked for.
/// Whatever is no answer (a redirect, an error of its own, half a stream, no JSON) becomes <see cref="LeaseEvent.Failed"/>; only what the provider says about the client's own request passes.
/// </summary>
internal sealed partial class CloudLeaseStream : LeaseStream
{
    private const int ReadBytes = 16 << 10;

    // A client that reads slowly stops the provider; this much waits for it.
    private const int WaitingChunksMax = 16;

    private const int ErrorBytesMax = 64 << 10;

    // How long a connection is waited for to be of use again once the answer is through.
    private static readonly TimeSpan LastWords = TimeSpan.FromSeconds(1);

    private readonly Channel<LeaseEvent> _events = Channel.CreateBounded<LeaseEvent>(new BoundedChannelOptions(WaitingChunksMax) { SingleReader = true, SingleWriter = true });
    private readonly CancellationTokenSource _stop = new();
    private readonly CloudRequest _request;
    private readonly CircuitBreaker.Pass _pass;
    private readonly CloudOptions _options;
    private readonly GatewayOptions _gateway;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly SentContent _content;
    private volatile bool _ended;

    private CloudLeaseStream(CloudRequest request, CircuitBreaker.Pass pass, CloudOptions options, GatewayOptions gateway, TimeProvider time, ILogger logger)
        => (_request, _content, _pass, _options, _gateway, _time, _logger) = (request, new SentContent(request.Body), pass, options, gateway, time, logger);

    protected override ChannelReader<LeaseEvent> Events => _events.Reader;

    /// <summary>Whether the provider has all of the request, and may bill it.</summary>
    public bool IsSent => _content.IsSent;

    private string Name => _request.Route.Provider.Name;

    /// <summary>Asks the provider.</summary>
    /// <param name="request">What.</param>
    /// <param name="pass">The breaker's; told what became of it.</param>
    /// <param name="options">Bounds of clouds.</param>
    /// <param name="gateway">Bounds of answers.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">Told of what is the operator's to mend; never a key, a prompt or an answer.</param>
    public static CloudLeaseStream Start(CloudRequest request, CircuitBreaker.Pass pass, CloudOptions options, GatewayOptions gateway, TimeProvider time, ILogger logger)
    {
        var stream = new CloudLeaseStream(request, pass, options, gateway, time, logger);
        _ = stream.PumpAsync();
        return stream;
    }

    public override void Cancel(string reason)
    {
        if (!_ended) _stop.Cancel();
    }

    protected override ValueTask LetGoAsync()
    {
        Cancel("abandoned");
        return ValueTask.CompletedTask;
    }

    // The channel is the window.
    protected override void Grant(int bytes)
    {
    }

    private async Task PumpAsync()
    {
        // A whole answer says nothing until all of it is there.
        using var overdue = new CancellationTokenSource(_request.Streams ? _options.FirstByteTimeout : _gateway.AnswerTimeout, _time);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(overdue.Token, _stop.Token);
        LeaseEvent last;
        try
        {
            last = await AskAsync(overdue, limit.Token);
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            _pass.Abandoned();
            last = Failed(LeaseFailure.Cancelled, "it was cancelled");
        }
        catch (Exception exception) when (!_request.Streams && overdue.IsCancellationRequested && exception is OperationCanceledException or IOException)
        {
            // Only long: that says nothing of the provider.
            _pass.Abandoned();
            last = Failed(LeaseFailure.Deadline, "its answer took too long");
        }
        catch (OperationCanceledException)
        {
            last = Broken(LeaseFailure.Deadline, "it took too long");
        }
        catch (Exception exception) when (exception is HttpRequestException or IOException)
        {
            // A connection that was closed under the reader because its client left is no failure of the provider.
            if (_stop.IsCancellationRequested) _pass.Abandoned();
            else _pass.Failed();
            last = Failed(LeaseFailure.EngineUnreachable, exception is HttpRequestException { HttpRequestError: var error } ? $"its connection failed ({error})" : "its connection broke");
        }
        catch (SseEventTooLargeException)
        {
            last = Broken(LeaseFailure.ProtocolViolation, "its answer has an event beyond the limit");
        }
        catch (Exception exception)
        {
            // Nobody awaits this task: whatever it was, the reader must hear of an end.
            LogUnforeseen(Name, exception);
            last = Broken(LeaseFailure.ProtocolViolation, "its answer could not be read");
        }
        End(last);
    }

    private void End(LeaseEvent last)
    {
        if (_ended) return;
        _ended = true;
        // Where the reader has left, there is nobody to tell; where it has not, the end waits for its place.
        _ = EndAsync(last);
    }

    private async Task EndAsync(LeaseEvent last)
    {
        while (!_events.Writer.TryWrite(last))
        {
            if (!await _events.Writer.WaitToWriteAsync()) return;
        }
        _events.Writer.TryComplete();
    }

    private async Task<LeaseEvent> AskAsync(CancellationTokenSource overdue, CancellationToken limit)
    {
        using var message = _request.Route.Provider.Request(_request.Kind, _content);
        using var response = await _request.Route.Provider.Http.SendAsync(message, HttpCompletionOption.ResponseHeadersRead, limit);
        if (response.Content.Headers.ContentEncoding.Any(encoding => !encoding.Equals("identity", StringComparison.OrdinalIgnoreCase))) return Broken(LeaseFailure.ProtocolViolation, "its answer is packed, though that was not asked for");
        var status = (int)response.StatusCode;
        if (status is not (>= 200 and < 300)) return await RefusedAsync(response, limit);
        var type = response.Content.Headers.ContentType?.MediaType ?? string.Empty;
        await using var body = await response.Content.ReadAsStreamAsync(limit);
        if (_request.Streams && type.Equals("text/event-stream", StringComparison.OrdinalIgnoreCase)) return await StreamAsync(body, overdue, limit);
        if (!_request.Streams && type.Equals("application/json", StringComparison.OrdinalIgnoreCase)) return await WholeAsync(body, status, overdue, limit);
        return Broken(LeaseFailure.ProtocolViolation, _request.Streams ? "it was asked for a stream and sent none" : "it was asked for JSON and sent none");
    }

    // ------------------------------------------------------------------------------------------------------- refusals

    private async Task<LeaseEvent> RefusedAsync(HttpResponseMessage response, CancellationToken limit)
    {
        switch (response.StatusCode)
        {
            case HttpStatusCode.TooManyRequests:
                var wait = WaitOf(response.Headers.RetryAfter);
                LogTooMany(Name, wait);
                _pass.ToldToWait(wait);
                return Failed(LeaseFailure.EngineError, "it wants no more requests for now");
            case HttpStatusCode.BadRequest or HttpStatusCode.RequestEntityTooLarge or HttpStatusCode.UnprocessableEntity:
                await using (var body = await response.Content.ReadAsStreamAsync(limit))
                    return await DeclinedAsync((int)response.StatusCode, ProviderRefusal.Read(await ReadWholeAsync(body, ErrorBytesMax, limit) ?? default));
            case HttpStatusCode.Unauthorized or HttpStatusCode.PaymentRequired:
                LogNotWelcome(Name, (int)response.StatusCode);
                return Broken(LeaseFailure.EngineError, $"it answered {(int)response.StatusCode}");
            case >= (HttpStatusCode)500 or HttpStatusCode.RequestTimeout or (>= (HttpStatusCode)300 and < (HttpStatusCode)400):
                return Broken(LeaseFailure.EngineError, $"it answered {(int)response.StatusCode}");
            default:
                // A model it does not have, a text it does not want: another provider may, and other requests may.
                _pass.Succeeded();
                LogDeclined(Name, (int)response.StatusCode, _request.Route.Theirs);
                return Failed(LeaseFailure.EngineError, $"it answered {(int)response.StatusCode}");
        }
    }

    /// <summary>The client's own doing it reads; what concerns the operator's account, the operator does.</summary>
    private async Task<LeaseEvent> DeclinedAsync(int status, ProviderRefusal refusal)
    {
        switch (refusal.Of)
        {
            case RefusalOf.Operator:
                LogNotWelcomeBecause(Name, status, refusal.Words);
                return Broken(LeaseFailure.EngineError, $"it answered {status}");
            case RefusalOf.PerhapsOperator:
                _pass.Succeeded();
                LogNotWelcomeBecause(Name, status, refusal.Words);
                return Failed(LeaseFailure.EngineError, $"it answered {status}");
            default:
                _pass.Succeeded();
                if (refusal.Of is RefusalOf.Unknown) LogRefused(Name, status, refusal.Words);
                await WriteAsync(new LeaseEvent.Head(status, "application/json"));
                if (!refusal.Body.IsEmpty) await WriteAsync(new LeaseEvent.Chunk(refusal.Body));
                return Done(null, string.Empty);
        }
    }

    private TimeSpan WaitOf(RetryConditionHeaderValue? retryAfter)
    {
        var asked = retryAfter?.Delta ?? (retryAfter?.Date - _time.GetUtcNow()) ?? TimeSpan.Zero;
        return asked > TimeSpan.FromSeconds(1) ? asked : TimeSpan.FromSeconds(1);
    }

    // -------------------------------------------------------------------------------------------------------- answers

    private async Task<LeaseEvent> WholeAsync(Stream body, int status, CancellationTokenSource overdue, CancellationToken limit)
    {
        if (await ReadWholeAsync(body, _gateway.MaxAnswerBytes, limit) is not { } answer) return Broken(LeaseFailure.ProtocolViolation, "its answer is beyond the limit");
        overdue.CancelAfter(Timeout.InfiniteTimeSpan);
        var scanner = new AnswerScanner(_gateway.MaxAnswerBytes);
        scanner.Feed(answer.Span);
        if (!scanner.End() || !Utf8.IsValid(answer.Span) || answer.Span.TrimStart(" \t\r\n"u8) is not [(byte)'{', ..]) return Broken(LeaseFailure.ProtocolViolation, "its answer is no JSON");
        if (scanner.Facts.IsError) return Broken(LeaseFailure.EngineError, "it answered with an error and the status of success");
        if (_request.Kind is not JobKind.Embedding && scanner.Facts.Choices < 1) return Broken(LeaseFailure.ProtocolViolation, "its answer has no choices");
        if (_request.RenamedTo is { } name) answer = JsonSplice.WithText(answer, "model"u8, name);
        _pass.Succeeded();
        await WriteAsync(new LeaseEvent.Head(status, "application/json"));
        await WriteAsync(new LeaseEvent.Chunk(answer));
        return Done(scanner.Facts.Usage, scanner.Facts.FinishReason ?? string.Empty);
    }

    private async Task<LeaseEvent> StreamAsync(Stream body, CancellationTokenSource overdue, CancellationToken limit)
    {
        await WriteAsync(new LeaseEvent.Head(200, "text/event-stream"));
        var scanner = new SseScanner(_gateway.MaxEventBytes);
        var seen = new Seen();
        var buffer = new byte[ReadBytes];
        var ready = new ArrayBufferWriter<byte>();
        var total = 0L;
        while (true)
        {
            var read = await body.ReadAsync(buffer, limit);
            // A slow client's time is not the provider's.
            overdue.CancelAfter(Timeout.InfiniteTimeSpan);
            if ((total += read) > _options.MaxStreamBytes) return Broken(LeaseFailure.ProtocolViolation, "its answer is beyond the limit");
            ready.ResetWrittenCount();
            if (Take(scanner, buffer.AsSpan(0, read), ready, ref seen) is { } problem) return problem;
            if (ready.WrittenCount > 0) await WriteAsync(new LeaseEvent.Chunk(ready.WrittenSpan.ToArray()));
            if (seen.IsDone || read == 0)
            {
                if (!seen.IsWhole) return Broken(LeaseFailure.EngineError, "it ended in mid-answer");
                _pass.Succeeded();
                var done = Done(seen.Usage, seen.FinishReason);
                if (read > 0)
                {
                    // The client need not wait until the provider has closed its line.
                    End(done);
                    await LetEndAsync(body, buffer);
                }
                return done;
            }
            overdue.CancelAfter(_options.SilenceTimeout);
        }
    }

    /// <summary>Takes the next bytes; no bytes are the end. What is wrong with them, or <see langword="null"/>.</summary>
    private LeaseEvent.Failed? Take(SseScanner scanner, ReadOnlySpan<byte> bytes, ArrayBufferWriter<byte> ready, ref Seen seen)
    {
        var isEnd = bytes.IsEmpty;
        while (scanner.TryRead(ref bytes, out var item))
        {
            if (Take(item, ready, ref seen) is { } problem) return problem;
        }
        return isEnd && scanner.TryEnd(out var last) ? Take(last, ready, ref seen) : null;
    }

    private LeaseEvent.Failed? Take(in SseEvent item, ArrayBufferWriter<byte> ready, ref Seen seen)
    {
        if (item.IsMalformed) return Broken(LeaseFailure.ProtocolViolation, "its stream is no JSON");
        // Whatever it says of itself is the operator's to read at the provider's, and may name him.
        if (item.Facts.IsError) return Broken(LeaseFailure.EngineError, "it sent an error in mid-stream");
        seen.Usage = item.Facts.Usage ?? seen.Usage;
        seen.FinishReason = item.Facts.FinishReason ?? seen.FinishReason;
        seen.IsWhole |= item.IsDone || item.Facts.FinishReason is not null;
        seen.IsDone |= item.IsDone;
        if (_request.WithholdsUsage && item.Facts.IsUsageOnly) return null;
        if (_request.RenamedTo is { } name && !item.IsDone && !item.Data.IsEmpty)
        {
            ready.Write("data: "u8);
            ready.Write(JsonSplice.WithText(item.Data.ToArray(), "model"u8, name).Span);
            ready.Write("\n\n"u8);
            return null;
        }
        ready.Write(item.Raw);
        return null;
    }

    /// <summary>Reads on to the end that follows <c>[DONE]</c>: a connection read to its end can be used again.</summary>
    private async Task LetEndAsync(Stream body, byte[] buffer)
    {
        using var patience = new CancellationTokenSource(LastWords, _time);
        try
        {
            while (await body.ReadAsync(buffer, patience.Token) > 0)
            {
            }
        }
        catch (Exception exception) when (exception is OperationCanceledException or IOException or HttpRequestException)
        {
            // The answer is through; the connection is closed instead of kept.
            LogNotKept(Name, exception);
        }
    }

    private static async Task<ReadOnlyMemory<byte>?> ReadWholeAsync(Stream body, int maxBytes, CancellationToken limit)
    {
        var whole = new ArrayBufferWriter<byte>();
        while (true)
        {
            var read = await body.ReadAsync(whole.GetMemory(ReadBytes), limit);
            if (read == 0) return whole.WrittenMemory;
            whole.Advance(read);
            if (whole.WrittenCount > maxBytes) return null;
        }
    }

    // --------------------------------------------------------------------------------------------------------- details

    private ValueTask WriteAsync(LeaseEvent item) => _events.Writer.WriteAsync(item, _stop.Token);

    private static LeaseEvent.Done Done(TokenUsage? usage, string finishReason) => new(usage?.PromptTokens ?? 0, usage?.CompletionTokens ?? 0, [], finishReason);

    private static LeaseEvent.Failed Failed(LeaseFailure reason, string why) => new(reason, why);

    private LeaseEvent.Failed Broken(LeaseFailure reason, string why)
    {
        _pass.Failed();
        return Failed(reason, why);
    }

    /// <summary>What a stream has said so far.</summary>
    private struct Seen()
    {
        public TokenUsage? Usage { get; set; }

        public string FinishReason { get; set; } = string.Empty;

        /// <summary>It has come to an end that is one: a connection that closes is none.</summary>
        public bool IsWhole { get; set; }

        public bool IsDone { get; set; }
    }

    [LoggerMessage(4510, LogLevel.Warning, "The cloud provider {Provider} wants no requests for {Wait}")]
    private partial void LogTooMany(string provider, TimeSpan wait);

    [LoggerMessage(4511, LogLevel.Error, "The cloud provider {Provider} answered {Status}: its key or the account behind it needs the operator")]
    private partial void LogNotWelcome(string provider, int status);

    [LoggerMessage(4515, LogLevel.Error, "The cloud provider {Provider} answered {Status}, which is about the account behind its key: {Words}")]
    private partial void LogNotWelcomeBecause(string provider, int status, string words);

    [LoggerMessage(4516, LogLevel.Warning, "The cloud provider {Provider} refused a request with status {Status}; its client was not told why. {Words}")]
    private partial void LogRefused(string provider, int status, string words);

    [LoggerMessage(4512, LogLevel.Warning, "The cloud provider {Provider} answered {Status} to a request for its model {Model}")]
    private partial void LogDeclined(string provider, int status, string model);

    [LoggerMessage(4513, LogLevel.Error, "The cloud provider {Provider}: an answer could not be handled")]
    private partial void LogUnforeseen(string provider, Exception exception);

    [LoggerMessage(4514, LogLevel.Debug, "The cloud provider {Provider} does not end its connection after an answer")]
    private partial void LogNotKept(string provider, Exception exception);
}
