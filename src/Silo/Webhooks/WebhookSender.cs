using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using Federation.Silo.Hubs;
using Federation.Silo.Storage;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Webhooks;

/// <summary>What a receiver said.</summary>
/// <param name="Status">Its HTTP status; null when it said nothing.</param>
/// <param name="Error">Why that is no success, in words that tell its owner what to do; null when it is one.</param>
internal sealed record WebhookAnswer(int? Status, string? Error)
{
    public bool IsSuccess => Error is null;
}

/// <summary>Sends one delivery: signed, to an address that was judged, once, in bounds.</summary>
/// <remarks>
/// The name is resolved here and the connection made to the very address that was judged: a name that leads elsewhere a moment later leads nowhere. No redirect is followed, no proxy asked, nothing of the answer
/// read but its status.
/// </remarks>
internal sealed class WebhookSender : IDisposable
{
    private const int HeadersMaxKilobytes = 16;

    private readonly WebhookOptions _options;
    private readonly HubIdentity _identity;
    private readonly TimeProvider _time;
    private readonly HttpClient _http;

    public WebhookSender(HubIdentity identity, IOptions<WebhookOptions> options, TimeProvider time)
    {
        (_identity, _options, _time) = (identity, options.Value, time);
        _http = new HttpClient(new SocketsHttpHandler
        {
            AllowAutoRedirect = false,
            UseProxy = false,
            UseCookies = false,
            AutomaticDecompression = DecompressionMethods.None,
            MaxResponseHeadersLength = HeadersMaxKilobytes,
            ConnectTimeout = _options.Timeout,
            ResponseDrainTimeout = TimeSpan.Zero,
            MaxResponseDrainSize = 0,
            PooledConnectionLifetime = TimeSpan.FromMinutes(1),
            ActivityHeadersPropagator = null,
            ConnectCallback = ConnectAsync,
        })
        {
            Timeout = Timeout.InfiniteTimeSpan,
        };
    }

    /// <summary>Sends it; never fails for what the receiver does.</summary>
    public async Task<WebhookAnswer> SendAsync(Webhook webhook, WebhookDelivery delivery, CancellationToken cancellationToken)
    {
        // What was allowed when it was registered may not be any more.
        if (AddressGuard.WhyRefused(webhook.Url, _options) is { } refused) return new WebhookAnswer(null, $"The URL {refused}.");
        using var overdue = new CancellationTokenSource(_options.Timeout, _time);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, overdue.Token);
        using var request = Request(webhook, delivery);
        try
        {
            using var response = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, limit.Token);
            var status = (int)response.StatusCode;
            return status is >= 200 and < 300 ? new WebhookAnswer(status, null) : new WebhookAnswer(status, status is >= 300 and < 400 ? "The receiver answered with a redirect, which is not followed." : $"The receiver answered {status}.");
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return new WebhookAnswer(null, $"The receiver did not answer within {_options.Timeout.TotalSeconds:0.#} seconds.");
        }
        catch (HttpRequestException exception)
        {
            return new WebhookAnswer(null, Why(exception));
        }
    }

    public void Dispose() => _http.Dispose();

    /// <summary>The secrets that sign now, the latest first.</summary>
    public IEnumerable<string> SecretsOf(Webhook webhook)
    {
        yield return _identity.WebhookSecret(webhook.Id, webhook.SecretVersion);
        if (webhook.OldSecretUntil > UnixTime.Ms(_time.GetUtcNow())) yield return _identity.WebhookSecret(webhook.Id, webhook.SecretVersion - 1);
    }

    private HttpRequestMessage Request(Webhook webhook, WebhookDelivery delivery)
    {
        var timestamp = _time.GetUtcNow().ToUnixTimeSeconds();
        var body = delivery.Body ?? throw new InvalidOperationException($"Delivery {delivery.Id} was read without its body.");
        var request = new HttpRequestMessage(HttpMethod.Post, webhook.Url) { Content = new ByteArrayContent(body) };
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        request.Headers.UserAgent.Add(new ProductInfoHeaderValue("federation-hub", "1"));
        request.Headers.Add("x-federation-event", delivery.Type);
        request.Headers.Add("x-federation-event-id", delivery.EventId);
        request.Headers.Add("x-federation-delivery", delivery.Id);
        request.Headers.Add("x-federation-timestamp", timestamp.ToString(System.Globalization.CultureInfo.InvariantCulture));
        request.Headers.Add("x-federation-signature", WebhookSignature.Header(SecretsOf(webhook), timestamp, body));
        return request;
    }

    private async ValueTask<Stream> ConnectAsync(SocketsHttpConnectionContext context, CancellationToken cancellationToken)
    {
        var addresses = await Dns.GetHostAddressesAsync(context.DnsEndPoint.Host, cancellationToken);
        var allowed = _options.AllowPrivateTargets ? addresses : Array.FindAll(addresses, AddressGuard.IsPublic);
        if (allowed.Length == 0) throw new PrivateTargetException();
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            await socket.ConnectAsync(allowed, context.DnsEndPoint.Port, cancellationToken);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>Enough for the endpoint's owner, and nothing that would make the hub a scanner of networks.</summary>
    private static string Why(HttpRequestException exception) => exception switch
    {
        { InnerException: PrivateTargetException } => "The host's name does not lead to a public address.",
        { HttpRequestError: HttpRequestError.NameResolutionError } or { InnerException: SocketException { SocketErrorCode: SocketError.HostNotFound or SocketError.NoData or SocketError.TryAgain } } => "The host's name leads nowhere.",
        { HttpRequestError: HttpRequestError.SecureConnectionError } => "TLS with the receiver failed: is its certificate valid for this name?",
        _ => "The receiver could not be reached.",
    };

    private sealed class PrivateTargetException : IOException;
}
