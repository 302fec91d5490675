using System.Collections.Immutable;
using System.Net.Http.Headers;
using Federation.Protocol.OpenAi;

namespace Federation.NodeAgent.Engines.OpenAi;

/// <summary>The OpenAI side of a server: requests go in as they came, answers come out as they are.</summary>
internal sealed class OpenAiEndpoint : IDisposable
{
    private static readonly MediaTypeHeaderValue Json = new("application/json");

    // What HttpClient adds to it, time limits and headers of its own, is not needed, and costs each request a source of cancellation.
    private readonly HttpMessageInvoker _http;
    private readonly AuthenticationHeaderValue? _key;
    private readonly ImmutableDictionary<JobKind, Uri> _jobs;

    /// <param name="root">Where the server is; paths are added to its own.</param>
    /// <param name="openAiPath">What stands between it and <c>/chat/completions</c>: "/v1" or nothing.</param>
    /// <param name="key">Sent as a bearer token; null sends none. Never logged.</param>
    public OpenAiEndpoint(Uri root, string openAiPath, string? key)
    {
        _key = key is null ? null : new AuthenticationHeaderValue("Bearer", key);
        Root = new Uri(root.AbsoluteUri.TrimEnd('/'));
        _jobs = JobKinds.ForClients.ToImmutableDictionary(kind => kind, kind => UriOf(openAiPath + kind.Path()["/v1".Length..]));
        _http = new HttpMessageInvoker(new SocketsHttpHandler
        {
            AllowAutoRedirect = false,
            ConnectTimeout = TimeSpan.FromSeconds(5),
            PooledConnectionIdleTimeout = TimeSpan.FromSeconds(30),

            // A disposed answer closes the connection instead of reading on: that is what stops the engine.
            ResponseDrainTimeout = TimeSpan.Zero,
            UseCookies = false,
            UseProxy = !root.IsLoopback,
        });
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
        var response = await SendAsync(HttpMethod.Post, _jobs[request.Kind], content, cancellationToken).ConfigureAwait(false);
        return await RelayedResponse.OpenAsync(response, asked.IsAdded, StreamLogprobs.AreAskedFor(request) ? new StreamLogprobs() : null, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Sends any request, with JSON or nothing in it, to the server and returns at the head of its answer.</summary>
    /// <exception cref="EngineUnavailableException">No answer began.</exception>
    public Task<HttpResponseMessage> SendAsync(HttpMethod method, string path, HttpContent? content, CancellationToken cancellationToken)
        => SendAsync(method, UriOf(path), content, cancellationToken);

    public void Dispose() => _http.Dispose();

    // A model that must be loaded first may answer after minutes; the caller's token is the limit.
    private async Task<HttpResponseMessage> SendAsync(HttpMethod method, Uri uri, HttpContent? content, CancellationToken cancellationToken)
    {
        using var message = new HttpRequestMessage(method, uri) { Content = content };
        if (content is not null)
        {
            content.Headers.ContentType = Json;
        }

        if (_key is not null)
        {
            message.Headers.Authorization = _key;
        }

        try
        {
            return await _http.SendAsync(message, cancellationToken).ConfigureAwait(false);
        }
        catch (HttpRequestException e)
        {
            cancellationToken.ThrowIfCancellationRequested();
            throw new EngineUnavailableException($"{Root.Authority} did not answer: {e.Message}", e);
        }
        catch (OperationCanceledException e) when (!cancellationToken.IsCancellationRequested)
        {
            // That nobody takes the connection comes as a cancellation, though nobody cancelled.
            throw new EngineUnavailableException($"{Root.Authority} did not answer: {e.InnerException?.Message ?? e.Message}", e);
        }
    }

    private Uri UriOf(string path) => new(Root.AbsoluteUri.TrimEnd('/') + path);
}
