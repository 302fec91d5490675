using System.IO.Pipelines;
using Grpc.Core;
using Grpc.Wire;

namespace Grpc.Net.Client;

/// <summary>What the request stream needs of its call.</summary>
internal interface IRunningCall
{
    /// <summary>Cancelled when the call ends, for whatever reason.</summary>
    CancellationToken Stopping { get; }

    bool HasEnded { get; }

    void EnsureNotDisposed();

    /// <summary>The exception that says how the call ended; "cancelled" if it has not yet.</summary>
    Exception Failure();

    /// <summary>Completes when the head of the response, or its failure, is known, or does not come soon.</summary>
    Task AnswerAsync();

    /// <summary>Cancels the whole call when the token is cancelled.</summary>
    CancellationTokenRegistration CancelWith(CancellationToken cancellationToken);
}

/// <summary>
/// One call over HTTP/2, from the request to the one <see cref="Outcome"/> it ends with. Whoever ends it first — the
/// server's trailers, the deadline, the caller's token, dispose, a broken connection — decides the outcome.
/// </summary>
internal sealed class HttpCall<TRequest, TResponse>(
    GrpcChannel channel,
    Method<TRequest, TResponse> method,
    CallOptions options) : IStartedCall, IRunningCall
    where TRequest : class
    where TResponse : class
{
    private static readonly TimeSpan _longestTimer = TimeSpan.FromDays(30);

    // A server that stops listening has answered before, and its answer is being parsed meanwhile. A second is ages.
    private static readonly TimeSpan _answerPatience = TimeSpan.FromSeconds(1);

    // Responses are parsed off a pipe, many small messages to a read. Nothing is held while a stream idles.
    private static readonly StreamPipeReaderOptions _responsePipe =
        new(bufferSize: 16 * 1024, minimumReadSize: 4 * 1024, useZeroByteReads: true);

    private static readonly Action<object?, CancellationToken> _cancelByCaller =
        static (call, token) => ((HttpCall<TRequest, TResponse>)call!).CancelByCaller(token);

    private readonly CancellationTokenSource _stopping = new();
    private readonly MessagePayload _payload = new();
    private Task<HttpResponseMessage> _head = null!;
    private StreamedRequest? _streamedRequest;
    private HttpResponseMessage? _response;
    private PipeReader? _body;
    private MessageLimits _limits;
    private CancellationTokenRegistration _callerCancels;
    private ITimer? _deadlineTimer;
    private Outcome? _outcome;
    private bool _disposed;

    public CancellationToken Stopping => _stopping.Token;

    public bool HasEnded => Volatile.Read(ref _outcome) is not null;

    public bool EndedWell => Volatile.Read(ref _outcome)?.Status.StatusCode == StatusCode.OK;

    public Task<Metadata> ResponseHeadersAsync => field ??= ReadHeadersAsync().Observed();

    public Status GetStatus() => Volatile.Read(ref _outcome)?.Status
        ?? throw new InvalidOperationException("Unable to get the status because the call is not complete.");

    public Metadata GetTrailers() => Volatile.Read(ref _outcome)?.Trailers
        ?? throw new InvalidOperationException("Can't get the call trailers because the call has not completed successfully.");

    /// <summary>Starts a call with one request.</summary>
    /// <exception cref="InvalidOperationException">The deadline is not UTC.</exception>
    /// <exception cref="ObjectDisposedException">The channel is disposed.</exception>
    public void Start(RequestContent content)
    {
        var timeout = TimeLeft(options.Deadline);
        channel.Add(this);
        Arm(timeout);
        _head = SendAsync(CreateRequest(content, timeout)).Observed();
    }

    /// <summary>Starts a call with a stream of requests.</summary>
    /// <exception cref="InvalidOperationException">The deadline is not UTC.</exception>
    /// <exception cref="ObjectDisposedException">The channel is disposed.</exception>
    public RequestStream<TRequest> StartStreaming()
    {
        _streamedRequest = new StreamedRequest();
        var requests = new RequestStream<TRequest>(this, method.RequestMarshaller, _streamedRequest, channel.MaxSendMessageSize)
        {
            WriteOptions = options.WriteOptions,
        };
        Start(_streamedRequest);
        return requests;
    }

    /// <summary>The response of a call that has one.</summary>
    /// <exception cref="RpcException">The call did not end with OK.</exception>
    public Task<TResponse> ReadSingleAsync() => ReadSingleCoreAsync().Observed();

    /// <summary>The next response of a stream; null at its end.</summary>
    /// <exception cref="RpcException">The call did not end with OK.</exception>
    public async ValueTask<TResponse?> ReadNextAsync()
    {
        try
        {
            var body = await OpenBodyAsync().ConfigureAwait(false);
            var message = await body.ReadNextAsync(_limits, _payload, Deserialize, Stopping).ConfigureAwait(false);
            if (message is not null)
                return message;

            End(Outcome.OfTrailers(_response!));
        }
        catch (Exception cause)
        {
            var failure = Failure("Error reading next message.", cause);
            CloseBody();
            throw failure;
        }

        CloseBody();
        return EndedWell ? null : throw Failure();
    }

    public CancellationTokenRegistration CancelWith(CancellationToken cancellationToken) =>
        cancellationToken.CanBeCanceled && cancellationToken != options.CancellationToken
            ? cancellationToken.UnsafeRegister(_cancelByCaller, this)
            : default;

    public async Task AnswerAsync() =>
        await ((Task)_head).WaitAsync(_answerPatience, channel.Time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

    public void EnsureNotDisposed() => ObjectDisposedException.ThrowIf(_disposed, this);

    public Exception Failure()
    {
        var (status, trailers) = Volatile.Read(ref _outcome) ?? new Outcome(Status.DefaultCancelled, null);
        return channel.ThrowOperationCanceledOnCancellation && status.StatusCode is StatusCode.Cancelled or StatusCode.DeadlineExceeded
            ? new OperationCanceledException(status.Detail, status.DebugException, options.CancellationToken)
            : new RpcException(status, trailers ?? Metadata.Empty);
    }

    /// <summary>The caller lets the call go: cancels it unless it has ended.</summary>
    public void Dispose()
    {
        _disposed = true;
        End(new Outcome(new Status(StatusCode.Cancelled, "gRPC call disposed."), null));
    }

    private Func<DeserializationContext, TResponse> Deserialize => method.ResponseMarshaller.ContextualDeserializer;

    private async Task<TResponse> ReadSingleCoreAsync()
    {
        TResponse? message;
        try
        {
            var body = await OpenBodyAsync().ConfigureAwait(false);
            message = await body.ReadSingleAsync(_limits, _payload, Deserialize, Stopping).ConfigureAwait(false);
            var outcome = Outcome.OfTrailers(_response!);
            if (message is null && outcome.Status.StatusCode == StatusCode.OK)
                outcome = outcome with { Status = new Status(StatusCode.Internal, "Failed to deserialize response message.") };
            End(outcome);
        }
        catch (Exception cause)
        {
            throw Failure("Error starting gRPC call.", cause);
        }
        finally
        {
            CloseBody();
        }

        return EndedWell ? message! : throw Failure();
    }

    /// <summary>Gives the buffers of the body back. Called by its one reader only, when nothing will be read any more.</summary>
    private void CloseBody() => _body?.Complete();

    private async Task<Metadata> ReadHeadersAsync()
    {
        var response = await _head.ConfigureAwait(false);
        return ResponseHeaders.ToMetadata(response.Headers);
    }

    private async ValueTask<PipeReader> OpenBodyAsync()
    {
        if (_body is not null)
            return _body;

        var response = await _head.ConfigureAwait(false);
        if (HasEnded)
            throw Failure();

        _limits = new MessageLimits(channel.MaxReceiveMessageSize, ResponseHeaders.First(response.Headers, GrpcHeaders.Encoding));
        var stream = await response.Content.ReadAsStreamAsync(Stopping).ConfigureAwait(false);
        return _body = PipeReader.Create(stream, _responsePipe);
    }

    private async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request)
    {
        try
        {
            Stopping.ThrowIfCancellationRequested();
            var response = await channel.SendAsync(request, Stopping).ConfigureAwait(false);
            // A full fence: either the end of the call sees the response or we see the end, and one of us disposes it.
            Interlocked.Exchange(ref _response, response);
            if (HasEnded)
                response.Dispose();
            else if (Outcome.OfHeaders(response) is { } outcome)
                End(outcome);
            return response;
        }
        catch (Exception cause)
        {
            throw Failure("Error starting gRPC call.", cause);
        }
    }

    private HttpRequestMessage CreateRequest(RequestContent content, TimeSpan? timeout)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, channel.UriOf(method))
        {
            Version = System.Net.HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = content,
        };
        var headers = request.Headers;
        headers.TryAddWithoutValidation("User-Agent", "grpc-dotnet-standin/1");
        headers.TryAddWithoutValidation("TE", "trailers");
        headers.TryAddWithoutValidation(GrpcHeaders.AcceptEncoding, GrpcHeaders.Identity);
        foreach (var entry in options.Headers ?? Metadata.Empty)
        {
            if (entry.Key != GrpcHeaders.Timeout)
                headers.TryAddWithoutValidation(entry.Key, MetadataHeader.Encode(entry));
        }

        if (timeout is { } left)
            headers.TryAddWithoutValidation(GrpcHeaders.Timeout, CallTimeout.Encode(left));
        return request;
    }

    private TimeSpan? TimeLeft(DateTime? deadline)
    {
        if (deadline is null || deadline == DateTime.MaxValue)
            return null;
        if (deadline.Value.Kind != DateTimeKind.Utc && deadline != DateTime.MinValue)
            throw new InvalidOperationException("Deadline must have a kind DateTimeKind.Utc or be DateTime.MaxValue or DateTime.MinValue.");

        var left = deadline.Value - channel.Time.GetUtcNow().UtcDateTime;
        return left < CallTimeout.Longest ? left : CallTimeout.Longest;
    }

    private void Arm(TimeSpan? timeout)
    {
        _callerCancels = options.CancellationToken.UnsafeRegister(_cancelByCaller, this);
        if (timeout <= TimeSpan.Zero)
            Expire();
        else if (timeout is { } left)
            StartDeadlineTimer(left);

        // The call may have ended before what it should release was here.
        if (HasEnded)
            Disarm();
    }

    private void Disarm()
    {
        _callerCancels.Unregister();
        _deadlineTimer?.Dispose();
    }

    private void StartDeadlineTimer(TimeSpan left)
    {
        _deadlineTimer = channel.Time.CreateTimer(
            static call => ((HttpCall<TRequest, TResponse>)call!).OnDeadlineTimer(),
            this,
            Timeout.InfiniteTimeSpan,
            Timeout.InfiniteTimeSpan);
        _deadlineTimer.Change(Due(left), Timeout.InfiniteTimeSpan);
    }

    private void OnDeadlineTimer()
    {
        // Timers are coarse and may fire early; a far deadline takes several.
        if (TimeLeft(options.Deadline) is { } left && left > TimeSpan.Zero)
            _deadlineTimer?.Change(Due(left), Timeout.InfiniteTimeSpan);
        else
            Expire();
    }

    private static TimeSpan Due(TimeSpan left) => left < _longestTimer ? left + TimeSpan.FromMilliseconds(1) : _longestTimer;

    private void Expire() => End(new Outcome(new Status(StatusCode.DeadlineExceeded, ""), null));

    private void CancelByCaller(CancellationToken token) =>
        End(new Outcome(new Status(StatusCode.Cancelled, "Call canceled by the client.", new OperationCanceledException(token)), null));

    /// <summary>Ends the call because of an exception, unless it has ended; the exception that says how it ended.</summary>
    private Exception Failure(string summary, Exception cause)
    {
        if (!HasEnded)
        {
            var outcome = Outcome.OfException(summary, cause);
            // A server that sees the deadline first resets the stream, which looks like a cancellation from here.
            if (outcome.Status.StatusCode == StatusCode.Cancelled && TimeLeft(options.Deadline) <= TimeSpan.Zero)
                outcome = outcome with { Status = new Status(StatusCode.DeadlineExceeded, outcome.Status.Detail, cause) };
            End(outcome);
        }

        return Failure();
    }

    private void End(Outcome outcome)
    {
        if (Interlocked.CompareExchange(ref _outcome, outcome, null) is not null)
            return;

        Disarm();
        _stopping.Cancel();
        _streamedRequest?.Abandon();
        // Disposing a response that has not been read to its end resets the stream: the server learns that nobody listens.
        _response?.Dispose();
        channel.Remove(this);
    }
}

/// <summary>Tasks whose failure need not be looked at.</summary>
internal static class TaskObservation
{
    /// <summary>The same task; if nobody awaits it, its exception is not reported as unobserved.</summary>
    public static Task<T> Observed<T>(this Task<T> task)
    {
        const TaskContinuationOptions OnFailure = TaskContinuationOptions.OnlyOnFaulted | TaskContinuationOptions.ExecuteSynchronously;
        _ = task.ContinueWith(static failed => failed.Exception, CancellationToken.None, OnFailure, TaskScheduler.Default);
        return task;
    }
}
