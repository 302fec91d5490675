using System.Net.Http.Headers;
using Federation.Protocol.OpenAi;

namespace Federation.NodeAgent.Engines.OpenAi;

/// <summary>The OpenAI side of a server: requests go in as they came, answers come out as they are.</summary>
internal sealed class OpenAiEndpoint : IDisposable
{
    private static readonly MediaTypeHeaderValue Json = new("application/json");

    private readonly HttpClient _http;
    private readonly string? _key;
    private readonly string _openAiPath;

    /// <param name="root">Where the server is; paths are added to its own.</param>
    /// <param name="openAiPath">What stands between it and <c>/chat/completions</c>: "/v1" or nothing.</param>
    /// <param name="key">Sent as a bearer token; null sends none. Never logged.</param>
    public OpenAiEndpoint(Uri root, string openAiPath, string? key)
    {
        (_openAiPath, _key) = (openAiPath, key);
        Root = new Uri(root.AbsoluteUri.TrimEnd('/'));
        _http = new HttpClient(new SocketsHttpHandler
        {
            AllowAutoRedirect = false,
            ConnectTimeout = TimeSpan.FromSeconds(5),
            PooledConnectionIdleTimeout = TimeSpan.FromSeconds(30),

            // A disposed answer closes the connection instead of reading on: that is what stops the engine.
            ResponseDrainTimeout = TimeSpan.Zero,
            UseCookies = false,
            UseProxy = !root.IsLoopback,
        })
        {
            // A model that must be loaded first may answer after minutes; the caller's token is the limit.
            Timeout = Timeout.InfiniteTimeSpan,
        };
    }

    /// <summary>Without a slash at the end.</summary>
    public Uri Root { get; }

    /// <summary>Sends one request; the same promises as <see cref="IEngine.SendAsync"/>.</summary>
    /// <exception cref="EngineUnavailableException">No answer began.</exception>
    public async Task<EngineResponse> SendAsync(EngineRequest request, CancellationToken cancellationToken)
    {
        var body = Continuation.Spell(request.Body, request.Kind);
        var asked = request.Stream && request.Kind != JobKind.Embedding
            ? StreamUsage.Ask(body)
            : new UsageRequest(body, IsAdded: false);
        using var content = new ReadOnlyMemoryContent(asked.Body);
        var response = await SendAsync(HttpMethod.Post, _openAiPath + request.Kind.Path()["/v1".Length..], content, cancellationToken).ConfigureAwait(false);
        return await RelayedResponse.OpenAsync(response, asked.IsAdded, StreamLogprobs.AreAskedFor(request) ? new StreamLogprobs() : null, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Sends any request, with JSON or nothing in it, to the server and returns at the head of its answer.</summary>
    /// <exception cref="EngineUnavailableException">No answer began.</exception>
    public async Task<HttpResponseMessage> SendAsync(HttpMethod method, string path, HttpContent? content, CancellationToken cancellationToken)
    {
        using var message = new HttpRequestMessage(method, Root.AbsoluteUri.TrimEnd('/') + path) { Content = content };
        if (content is not null)
        {
            content.Headers.ContentType = Json;
        }

        if (_key is not null)
        {
            message.Headers.Authorization = new AuthenticationHeaderValue("Bearer", _key);
        }

        try
        {
            return await _http.SendAsync(message, HttpCompletionOption.ResponseHeadersRead, cancellationToken).ConfigureAwait(false);
        }
        catch (HttpRequestException e)
        {
            throw new EngineUnavailableException($"{Root.Authority} did not answer: {e.Message}", e);
        }
    }

    public void Dispose() => _http.Dispose();
}
