using Federation.Protocol.OpenAi;

namespace Federation.NodeAgent.Engines.OpenAi;

/// <summary>The answer of an engine behind HTTP.</summary>
internal sealed class RelayedResponse : EngineResponse
{
    private readonly HttpResponseMessage response;
    private readonly RelayedBody body;
    private readonly CancellationTokenRegistration cancellation;

    private RelayedResponse(HttpResponseMessage response, RelayedBody body, CancellationToken cancellationToken)
    {
        (this.response, this.body) = (response, body);

        // The token of the request goes on counting after the head: closing the connection is what the engine notices.
        cancellation = cancellationToken.UnsafeRegister(static state => ((HttpResponseMessage)state!).Dispose(), response);
    }

    public override int Status => (int)response.StatusCode;

    public override string ContentType => response.Content.Headers.ContentType?.ToString() ?? "application/octet-stream";

    public override Stream Body => body;

    public override TokenUsage? Usage => body.Usage;

    public override string? FinishReason => body.FinishReason;

    /// <summary>Takes over <paramref name="response"/>, whose head has come.</summary>
    public static async Task<RelayedResponse> OpenAsync(HttpResponseMessage response, bool withholdsUsage, CancellationToken cancellationToken)
    {
        try
        {
            var isEventStream = response.Content.Headers.ContentType?.MediaType is { } type
                && type.Equals("text/event-stream", StringComparison.OrdinalIgnoreCase);
            var stream = await response.Content.ReadAsStreamAsync(cancellationToken).ConfigureAwait(false);
            return new RelayedResponse(response, new RelayedBody(stream, isEventStream, withholdsUsage, cancellationToken), cancellationToken);
        }
        catch
        {
            response.Dispose();
            throw;
        }
    }

    public override async ValueTask DisposeAsync()
    {
        await cancellation.DisposeAsync().ConfigureAwait(false);
        await body.DisposeAsync().ConfigureAwait(false);
        response.Dispose();
    }
}
