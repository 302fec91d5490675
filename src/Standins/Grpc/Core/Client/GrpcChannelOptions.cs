using Grpc.Core;

namespace Grpc.Net.Client;

/// <summary>How a <see cref="GrpcChannel"/> reaches its server.</summary>
public sealed class GrpcChannelOptions
{
    /// <summary>Whether the channel uses TLS. Null means what the address's scheme says.</summary>
    public ChannelCredentials? Credentials { get; set; }

    /// <summary>The longest message the client sends, bytes. Null, the default, means no limit.</summary>
    public int? MaxSendMessageSize { get; set; }

    /// <summary>The longest message the client accepts, bytes; checked before it is buffered. Null means no limit. Default 4 MiB.</summary>
    public int? MaxReceiveMessageSize { get; set; } = GrpcChannel.DefaultMaxReceiveMessageSize;

    /// <summary>
    /// The handler that speaks HTTP/2, with its keep-alive pings, timeouts and certificates. Null means a handler of
    /// the channel's own. Not together with <see cref="HttpClient"/>.
    /// </summary>
    public HttpMessageHandler? HttpHandler { get; set; }

    /// <summary>The client to call through. Not together with <see cref="HttpHandler"/>.</summary>
    public HttpClient? HttpClient { get; set; }

    /// <summary>
    /// True if disposing the channel disposes <see cref="HttpHandler"/> or <see cref="HttpClient"/>. A handler of the
    /// channel's own is always disposed.
    /// </summary>
    public bool DisposeHttpClient { get; set; }

    /// <summary>
    /// True if a cancelled or expired call throws <see cref="OperationCanceledException"/> instead of <see
    /// cref="RpcException"/>.
    /// </summary>
    public bool ThrowOperationCanceledOnCancellation { get; set; }
}
