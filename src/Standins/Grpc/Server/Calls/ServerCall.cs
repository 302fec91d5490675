using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Grpc.Core;
using Grpc.Wire;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Http.Timeouts;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;
using Microsoft.Extensions.Logging;

namespace Grpc.AspNetCore.Server;

/// <summary>
/// One call on an HTTP/2 request. It ends once: with the handler's status, with the handler's exception, or with the
/// deadline, which does not wait for the handler.
/// </summary>
internal sealed class ServerCall : ServerCallContext, IAsyncDisposable
{
    private const int Http2Cancel = 0x8;

    private static readonly HashSet<string> _protocolHeaders = new(StringComparer.OrdinalIgnoreCase)
    {
        GrpcHeaders.Encoding, GrpcHeaders.AcceptEncoding, GrpcHeaders.Timeout,
        "content-encoding", "content-type", "te", "host", "accept-encoding",
    };

    private readonly IMethod _method;
    private readonly GrpcServiceOptions _options;
    private readonly ILogger _logger;
    private readonly CallDeadline? _deadline;
    private readonly MessageWriting _writing;
    private readonly CancellationToken _aborted;
    private Metadata? _requestHeaders;
    private Metadata? _trailers;
    private Exception? _over;
    private int _hasEnded;

    public ServerCall(HttpContext http, IMethod method, GrpcServiceOptions options, TimeProvider time, ILogger logger)
    {
        Http = http;
        _method = method;
        _options = options;
        _logger = logger;
        // Kept apart from the context: a handler's stray task may ask after the request is over and its context reused.
        _aborted = http.RequestAborted;
        _writing = new MessageWriting(options.MaxSendMessageSize);
        Limits = new MessageLimits(options.MaxReceiveMessageSize, http.Request.Headers[GrpcHeaders.Encoding]);
        if (Timeout(http.Request) is { } timeout)
            _deadline = new CallDeadline(time, timeout, ExpireAsync, _aborted);
    }

    public HttpContext Http { get; }

    public MessageLimits Limits { get; }

    public MessagePayload Payload { get; } = new();

    /// <summary>True when nothing can be read or written any more.</summary>
    public bool HasEnded => Volatile.Read(ref _hasEnded) == 1 || _aborted.IsCancellationRequested;

    protected override string MethodCore => _method.FullName;

    protected override string HostCore => Http.Request.Host.Value ?? "";

    protected override string PeerCore => field ??= DescribePeer(Http.Connection);

    protected override DateTime DeadlineCore => _deadline?.Time ?? DateTime.MaxValue;

    protected override Metadata RequestHeadersCore => _requestHeaders ??= ReadHeaders(Http.Request);

    protected override CancellationToken CancellationTokenCore => _deadline?.CancellationToken ?? _aborted;

    protected override Metadata ResponseTrailersCore => _trailers ??= [];

    protected override Status StatusCore { get; set; }

    protected override WriteOptions? WriteOptionsCore { get; set; }

    protected override AuthContext AuthContextCore => field ??= Authenticate(Http.Connection.ClientCertificate);

    protected override IDictionary<object, object> UserStateCore => Http.Items!;

    /// <summary>The only request of a call that has one.</summary>
    /// <exception cref="RpcException">There is none, there are more, or it is refused.</exception>
    public async ValueTask<T> ReadSingleAsync<T>(Marshaller<T> marshaller)
        where T : class =>
        await Http.Request.BodyReader.ReadSingleAsync(Limits, Payload, marshaller.ContextualDeserializer, CancellationToken.None)
            ?? throw new RpcException(new Status(StatusCode.Internal, "Incomplete message."));

    /// <summary>The requests of a call that streams them: for as long and as slowly as the client likes.</summary>
    public RequestStream<T> OpenRequests<T>(Marshaller<T> marshaller)
        where T : class
    {
        if (Http.Features.Get<IHttpMinRequestBodyDataRateFeature>() is { } rate)
            rate.MinDataRate = null;
        if (Http.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } size)
            size.MaxRequestBodySize = null;
        Http.Features.Get<IHttpRequestTimeoutFeature>()?.DisableTimeout();
        return new RequestStream<T>(this, Http.Request.BodyReader, marshaller);
    }

    /// <summary>The responses of a call that streams them.</summary>
    public ResponseStream<T> OpenResponses<T>(Marshaller<T> marshaller)
        where T : class
    {
        Http.Features.Get<IHttpRequestTimeoutFeature>()?.DisableTimeout();
        return new ResponseStream<T>(this, marshaller);
    }

    /// <summary>Writes the only response of a call that has one. It leaves with the trailers.</summary>
    public Task WriteSingleAsync<T>(T? message, Marshaller<T> marshaller)
        where T : class
    {
        if (message is null)
            throw new RpcException(new Status(StatusCode.Cancelled, "No message returned from method."));
        return HasEnded ? Task.CompletedTask : WriteAsync(message, marshaller, flush: false, CancellationToken.None);
    }

    /// <summary>Writes one frame. A flush waits while the client's flow-control window is full.</summary>
    /// <exception cref="OperationCanceledException">The client is gone.</exception>
    public async Task WriteAsync<T>(T message, Marshaller<T> marshaller, bool flush, CancellationToken cancellationToken)
    {
        var response = Http.Response;
        if (!response.HasStarted)
            await response.StartAsync(cancellationToken);
        _writing.Write(message, marshaller.ContextualSerializer, response.BodyWriter);
        if (!flush)
            return;

        var flushed = await response.BodyWriter.FlushAsync(cancellationToken);
        if (!flushed.IsCompleted && (CancellationToken.IsCancellationRequested || cancellationToken.IsCancellationRequested))
            throw new OperationCanceledException("Request aborted while sending the message.");
    }

    /// <summary>Ends the call with the status the handler left.</summary>
    public async ValueTask EndAsync()
    {
        if (await TryEndAsync())
            CallTrailers.Write(Http.Response, Status, _trailers);
    }

    /// <summary>Ends the call with the status an exception stands for. Its text stays here unless details are enabled.</summary>
    public async ValueTask EndAsync(Exception exception)
    {
        if (!await TryEndAsync())
        {
            GrpcServerLog.Cancelled(_logger, exception, Method);
            return;
        }

        Status = StatusOf(exception);
        try
        {
            CallTrailers.Write(Http.Response, Status, _trailers);
        }
        catch (InvalidOperationException gone)
        {
            GrpcServerLog.StatusNotSent(_logger, gone, Method);
            Http.Abort();
        }
    }

    /// <summary>
    /// Remembers what a handler gets that uses a stream of a call that is over, to tell it from a bug of the handler.
    /// The token may be cancelled only later.
    /// </summary>
    public Exception Over(Exception exception) => _over = exception;

    /// <summary>Resets the stream: the client sees a cancelled call.</summary>
    public void Reset()
    {
        if (Http.Features.Get<IHttpResetFeature>() is { } stream)
            stream.Reset(Http2Cancel);
        else
            Http.Abort();
    }

    public ValueTask DisposeAsync() => _deadline?.DisposeAsync() ?? ValueTask.CompletedTask;

    protected override Task WriteResponseHeadersAsyncCore(Metadata responseHeaders)
    {
        ArgumentNullException.ThrowIfNull(responseHeaders);
        if (Http.Response.HasStarted)
            throw new InvalidOperationException("Response headers can only be sent once per call.");

        foreach (var entry in responseHeaders)
            Http.Response.Headers.Append(entry.Key, MetadataHeader.Encode(entry));
        return Http.Response.BodyWriter.FlushAsync(CancellationToken.None).AsTask();
    }

    protected override ContextPropagationToken CreatePropagationTokenCore(ContextPropagationOptions? options) =>
        throw new NotSupportedException("Context propagation is not supported: pass the deadline and the cancellation token on.");

    /// <summary>
    /// Claims the end of the call for the handler. False if the deadline was first; then everything it does to the
    /// response is done.
    /// </summary>
    private async ValueTask<bool> TryEndAsync()
    {
        if (Interlocked.Exchange(ref _hasEnded, 1) == 0)
            return true;
        if (_deadline is not null)
            await _deadline.Expired;
        return false;
    }

    /// <summary>Ends the call with DEADLINE_EXCEEDED while its handler may still run.</summary>
    private async Task ExpireAsync(Action cancelHandler)
    {
        if (Interlocked.Exchange(ref _hasEnded, 1) == 1)
            return;

        GrpcServerLog.DeadlineExceeded(_logger, Method);
        try
        {
            Status = new Status(StatusCode.DeadlineExceeded, "Deadline Exceeded");
            CallTrailers.Write(Http.Response, Status, trailers: null);
            cancelHandler();
            await Http.Response.CompleteAsync();
        }
        catch (InvalidOperationException racing)
        {
            // The handler was just starting the response. The client keeps the deadline as well and needs only the reset.
            GrpcServerLog.StatusNotSent(_logger, racing, Method);
            cancelHandler();
        }

        Reset();
    }

    private Status StatusOf(Exception exception)
    {
        if (exception is RpcException meant)
        {
            GrpcServerLog.EndedWithStatus(_logger, meant.Status.DebugException, Method, meant.StatusCode, meant.Status.Detail);
            foreach (var entry in meant.Trailers)
                ResponseTrailers.Add(entry);
            return meant.Status;
        }

        var isOfCancellation = exception is OperationCanceledException or IOException && CancellationToken.IsCancellationRequested;
        if (isOfCancellation || ReferenceEquals(exception, _over))
            GrpcServerLog.Cancelled(_logger, exception, Method);
        else
            GrpcServerLog.HandlerFailed(_logger, exception, Method);

        const string Told = "Exception was thrown by handler.";
        var detail = _options.EnableDetailedErrors is true ? $"{Told} {exception.GetType().Name}: {exception.Message}" : Told;
        return new Status(StatusCode.Unknown, detail, exception);
    }

    private TimeSpan? Timeout(HttpRequest request)
    {
        if (!request.Headers.TryGetValue(GrpcHeaders.Timeout, out var values))
            return null;
        if (CallTimeout.TryDecode(values, out var timeout))
            return timeout;

        GrpcServerLog.MalformedTimeout(_logger, Method, values.ToString());
        return null;
    }

    private static Metadata ReadHeaders(HttpRequest request)
    {
        var metadata = new Metadata();
        foreach (var (key, values) in request.Headers)
        {
            if (key.StartsWith(':') || _protocolHeaders.Contains(key))
                continue;
            foreach (var value in values)
                MetadataHeader.Decode(key, value ?? "", metadata);
        }

        return metadata;
    }

    private static string DescribePeer(ConnectionInfo connection) => connection.RemoteIpAddress switch
    {
        null => "unknown",
        { AddressFamily: AddressFamily.InterNetwork } address => $"ipv4:{address}:{connection.RemotePort}",
        { AddressFamily: AddressFamily.InterNetworkV6 } address => $"ipv6:[{address}]:{connection.RemotePort}",
        var address => $"unknown:{address}:{connection.RemotePort}",
    };

    private static AuthContext Authenticate(X509Certificate2? certificate)
    {
        const string AlternativeName = "x509_subject_alternative_name";
        const string CommonName = "x509_common_name";
        if (certificate is null)
            return new AuthContext(null, []);

        var commonName = certificate.GetNameInfo(X509NameType.SimpleName, forIssuer: false);
        var dnsNames = certificate.Extensions
            .OfType<X509SubjectAlternativeNameExtension>()
            .SelectMany(extension => extension.EnumerateDnsNames());
        var properties = new Dictionary<string, List<AuthProperty>>(StringComparer.Ordinal)
        {
            [AlternativeName] = [.. dnsNames.Select(name => Property(AlternativeName, name))],
            [CommonName] = [Property(CommonName, commonName)],
        };
        return new AuthContext(properties[AlternativeName].Count > 0 ? AlternativeName : CommonName, properties);

        static AuthProperty Property(string name, string value) => AuthProperty.Create(name, Encoding.UTF8.GetBytes(value));
    }
}
