using Federation.Protocol.OpenAi;
using Federation.Protocol.Verification;

namespace Federation.NodeAgent.Engines.OpenAi;

/// <summary>The answer of an engine behind HTTP.</summary>
internal sealed class RelayedResponse : EngineResponse
{
    private readonly HttpResponseMessage _response;
    private readonly RelayedBody _body;
    private readonly CancellationTokenRegistration _cancellation;

    private RelayedResponse(HttpResponseMessage response, RelayedBody body, CancellationToken cancellationToken)
    {
        (_response, _body) = (response, body);

        // The token of the request goes on counting after the head: closing the connection is what the engine notices.
        _cancellation = cancellationToken.UnsafeRegister(static state => ((HttpResponseMessage)state!).Dispose(), response);
    }

    public override int Status => (int)_response.StatusCode;

    public override string ContentType => _response.Content.Headers.ContentType?.ToString() ?? "application/octet-stream";

    public override Stream Body => _body;

    public override TokenUsage? Usage => _body.Usage;

    public override string? FinishReason => _body.FinishReason;

    public override IReadOnlyList<CommittedToken> Tokens => _body.Tokens;

    /// <summary>Takes over <paramref name="response"/>, whose head has come.</summary>
    public static async Task<RelayedResponse> OpenAsync(HttpResponseMessage response, bool withholdsUsage, StreamLogprobs? logprobs, CancellationToken cancellationToken)
    {
        try
        {
            var isEventStream = response.Content.Headers.ContentType?.MediaType is { } type
                && type.Equals("text/event-stream", StringComparison.OrdinalIgnoreCase);
            var stream = await response.Content.ReadAsStreamAsync(cancellationToken).ConfigureAwait(false);
            return new RelayedResponse(response, new RelayedBody(stream, isEventStream, withholdsUsage, logprobs, cancellationToken), cancellationToken);
        }
        catch
        {
            response.Dispose();
            throw;
        }
    }

    public override async ValueTask DisposeAsync()
    {
        await _cancellation.DisposeAsync().ConfigureAwait(false);
        await _body.DisposeAsync().ConfigureAwait(false);
        _response.Dispose();
    }
}
