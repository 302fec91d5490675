using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Federation.NodeAgent.Engines.OpenAi;

/// <summary>Short calls that ask a server what it has: bounded in time and size, null for whatever goes wrong.</summary>
internal sealed class InventoryCalls(OpenAiEndpoint endpoint, TimeSpan timeout, TimeProvider time)
{
    private const int AnswerBytesMax = 4 << 20;

    /// <summary>Null: the server is not there, too slow, or answers something else.</summary>
    public Task<T?> GetAsync<T>(string path, JsonTypeInfo<T> type, CancellationToken cancellationToken)
        where T : class =>
        CallAsync(HttpMethod.Get, path, null, type, cancellationToken);

    /// <inheritdoc cref="GetAsync"/>
    public Task<T?> PostAsync<T>(string path, ReadOnlyMemory<byte> json, JsonTypeInfo<T> type, CancellationToken cancellationToken)
        where T : class =>
        CallAsync(HttpMethod.Post, path, json, type, cancellationToken);

    private async Task<T?> CallAsync<T>(
        HttpMethod method, string path, ReadOnlyMemory<byte>? json, JsonTypeInfo<T> type, CancellationToken cancellationToken)
        where T : class
    {
        using var limit = new CancellationTokenSource(timeout, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, limit.Token);
        using var content = json is { } body ? new ReadOnlyMemoryContent(body) : null;
        try
        {
            using var response = await endpoint.SendAsync(method, path, content, either.Token).ConfigureAwait(false);
            if (!response.IsSuccessStatusCode)
            {
                return null;
            }

            var bytes = await ReadAsync(response, either.Token).ConfigureAwait(false);
            return bytes is null ? null : JsonSerializer.Deserialize(bytes.Value.Span, type);
        }
        catch (Exception e) when (e is EngineUnavailableException or IOException or HttpRequestException or JsonException
            || (e is OperationCanceledException && limit.IsCancellationRequested && !cancellationToken.IsCancellationRequested))
        {
            return null;
        }
    }

    private static async Task<ReadOnlyMemory<byte>?> ReadAsync(HttpResponseMessage response, CancellationToken cancellationToken)
    {
        var stream = await response.Content.ReadAsStreamAsync(cancellationToken).ConfigureAwait(false);
        await using (stream.ConfigureAwait(false))
        {
            using var bytes = new MemoryStream();
            var buffer = new byte[16 << 10];
            while (await stream.ReadAsync(buffer, cancellationToken).ConfigureAwait(false) is > 0 and var read)
            {
                if (bytes.Length + read > AnswerBytesMax)
                {
                    return null;
                }

                bytes.Write(buffer, 0, read);
            }

            return bytes.ToArray();
        }
    }
}
