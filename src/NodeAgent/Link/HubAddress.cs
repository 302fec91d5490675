using System.Collections.Immutable;
using System.Net.Http.Json;
using System.Text.Json.Serialization;
using Federation.Protocol.Identity;

namespace Federation.NodeAgent.Link;

/// <summary>What a hub says of itself at <c>/v1/hub</c>: who it is, and where nodes dial.</summary>
/// <param name="Id">The hub's identity.</param>
/// <param name="NodeLink">Where nodes dial this silo.</param>
/// <param name="Urls">Where else the hub is reached, if it says so.</param>
internal sealed record HubAddress(HubId Id, Uri NodeLink, ImmutableArray<Uri> Urls)
{
    private const int MaxAnswerBytes = 64 * 1024;
    private const int MaxUrls = 64;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    /// <summary>Asks the hub at this URL.</summary>
    /// <exception cref="HubUnreachableException">It does not answer, or not as a hub.</exception>
    public static async Task<HubAddress> DiscoverAsync(Uri hub, CancellationToken cancellationToken)
    {
        using var http = new HttpClient { Timeout = Patience, MaxResponseContentBufferSize = MaxAnswerBytes };
        try
        {
            var answer = await http.GetFromJsonAsync(new Uri(hub, "/v1/hub"), HubAnswerJson.Default.HubAnswer, cancellationToken).ConfigureAwait(false);
            if (HubId.TryParse(answer?.Id, out var id) && Parse(answer!.NodeLinkUrl) is { } link)
            {
                return new HubAddress(id, link, [.. (answer.Urls ?? []).Take(MaxUrls).Select(Parse).OfType<Uri>()]);
            }
            throw new HubUnreachableException($"{hub} answers, but not as a hub.");
        }
        catch (HttpRequestException exception) when (exception.StatusCode is { } status)
        {
            throw new HubUnreachableException($"{hub} answered {(int)status}. Is it the hub's URL for API clients, and not the one for nodes?", exception);
        }
        catch (HttpRequestException exception) when (exception.HttpRequestError == HttpRequestError.SecureConnectionError)
        {
            throw new HubUnreachableException($"TLS with the hub at {hub} failed: {exception.GetBaseException().Message} (The URL of a hub without TLS begins with http://.)", exception);
        }
        catch (Exception exception) when (exception is HttpRequestException or System.Text.Json.JsonException || (exception is TaskCanceledException && !cancellationToken.IsCancellationRequested))
        {
            // Of a failed handshake only the innermost says why.
            throw new HubUnreachableException($"The hub at {hub} does not answer: {exception.GetBaseException().Message}", exception);
        }
    }

    private static Uri? Parse(string? text) => Uri.TryCreate(text, UriKind.Absolute, out var url) && url.Scheme is ("http" or "https") ? url : null;
}

/// <summary>The hub could not be reached. Trying again may help.</summary>
internal sealed class HubUnreachableException(string message, Exception? inner = null) : Exception(message, inner);

internal sealed record HubAnswer(string? Id, string? NodeLinkUrl, string[]? Urls);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(HubAnswer))]
internal sealed partial class HubAnswerJson : JsonSerializerContext;
