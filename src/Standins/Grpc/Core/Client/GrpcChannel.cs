using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using System.Net;
using Grpc.Core;

namespace Grpc.Net.Client;

/// <summary>A way to one server over HTTP/2. Cheap to call through, dear to make: share one. Safe for concurrent use.</summary>
public sealed class GrpcChannel : ChannelBase, IDisposable
{
    internal const int DefaultMaxReceiveMessageSize = 4 * 1024 * 1024;

    private readonly HttpMessageInvoker _http;
    private readonly bool _disposeHttp;
    private readonly ConcurrentDictionary<string, Uri> _uris = new(StringComparer.Ordinal);
    private readonly Lock _gate = new();
    private readonly HashSet<IStartedCall> _calls = [];
    private bool _disposed;

    private GrpcChannel(Uri address, GrpcChannelOptions options)
        : base(address.Authority)
    {
        EnsureSchemeSuits(address, options.Credentials);
        if (options is { HttpClient: not null, HttpHandler: not null })
            throw new ArgumentException("HttpClient and HttpHandler have been configured. Only one HTTP caller can be specified.");

        Address = address;
        MaxSendMessageSize = options.MaxSendMessageSize;
        MaxReceiveMessageSize = options.MaxReceiveMessageSize;
        ThrowOperationCanceledOnCancellation = options.ThrowOperationCanceledOnCancellation;
        _disposeHttp = options.DisposeHttpClient || options is { HttpClient: null, HttpHandler: null };
        _http = options.HttpClient ?? new HttpMessageInvoker(options.HttpHandler ?? DefaultHandler(), disposeHandler: _disposeHttp);
    }

    internal Uri Address { get; }

    internal int? MaxSendMessageSize { get; }

    internal int? MaxReceiveMessageSize { get; }

    internal bool ThrowOperationCanceledOnCancellation { get; }

    internal TimeProvider Time { get; } = TimeProvider.System;

    /// <summary>Makes a channel to an address such as <c>https://hub.example:5001</c>. Connects on the first call.</summary>
    public static GrpcChannel ForAddress(string address) => ForAddress(address, new GrpcChannelOptions());

    /// <summary>Makes a channel to an address such as <c>https://hub.example:5001</c>. Connects on the first call.</summary>
    /// <exception cref="UriFormatException">The address is not absolute.</exception>
    /// <exception cref="InvalidOperationException">The credentials do not suit the scheme.</exception>
    public static GrpcChannel ForAddress(string address, GrpcChannelOptions channelOptions) => ForAddress(new Uri(address), channelOptions);

    /// <summary>Makes a channel to an address. Connects on the first call.</summary>
    public static GrpcChannel ForAddress(Uri address) => ForAddress(address, new GrpcChannelOptions());

    /// <summary>Makes a channel to an address. Connects on the first call.</summary>
    /// <exception cref="InvalidOperationException">The credentials do not suit the scheme.</exception>
    public static GrpcChannel ForAddress(Uri address, GrpcChannelOptions channelOptions)
    {
        ArgumentNullException.ThrowIfNull(address);
        ArgumentNullException.ThrowIfNull(channelOptions);
        return new GrpcChannel(address, channelOptions);
    }

    /// <inheritdoc/>
    public override CallInvoker CreateCallInvoker()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        return new HttpCallInvoker(this);
    }

    /// <summary>Cancels the calls that run and closes the connections that are the channel's own.</summary>
    public void Dispose()
    {
        IStartedCall[] running;
        lock (_gate)
        {
            if (_disposed)
                return;
            _disposed = true;
            running = [.. _calls];
        }

        foreach (var call in running)
            call.Dispose();
        if (_disposeHttp)
            _http.Dispose();
    }

    /// <inheritdoc/>
    protected override Task ShutdownAsyncCore()
    {
        Dispose();
        return Task.CompletedTask;
    }

    internal Uri UriOf(IMethod method) => _uris.GetOrAdd(method.FullName, static (path, address) => new Uri(address, path), Address);

    /// <summary>Sends a request; completes when the response's headers are here.</summary>
    internal Task<HttpResponseMessage> SendAsync(
        HttpRequestMessage request,
        CancellationToken cancellationToken) => _http is HttpClient client
        ? client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken)
        : _http.SendAsync(request, cancellationToken);

    /// <summary>Counts a call among those that end with the channel.</summary>
    /// <exception cref="ObjectDisposedException">The channel is disposed.</exception>
    internal void Add(IStartedCall call)
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            _calls.Add(call);
        }
    }

    internal void Remove(IStartedCall call)
    {
        lock (_gate)
            _calls.Remove(call);
    }

    private static void EnsureSchemeSuits(Uri address, ChannelCredentials? credentials)
    {
        if (address.Scheme != Uri.UriSchemeHttp && address.Scheme != Uri.UriSchemeHttps)
            throw new InvalidOperationException($"No address resolver configured for the scheme '{address.Scheme}'.");

        var isSecure = address.Scheme == Uri.UriSchemeHttps;
        if (credentials is not null && credentials.IsSecure != isSecure)
        {
            var kind = credentials.IsSecure ? "secure" : "insecure";
            throw new InvalidOperationException($"A channel with {kind} credentials can't use the scheme '{address.Scheme}'.");
        }
    }

    [SuppressMessage("Reliability", "CA2000:Dispose objects before losing scope", Justification = "The invoker owns the handler.")]
    private static SocketsHttpHandler DefaultHandler() => new()
    {
        AllowAutoRedirect = false,
        AutomaticDecompression = DecompressionMethods.None,
        // One connection carries 100 streams on most servers; more of them open as calls need them.
        EnableMultipleHttp2Connections = true,
        UseCookies = false,
    };
}
