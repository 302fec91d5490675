using System.Buffers.Binary;
using System.Net;
using System.Net.Http.Headers;

namespace Federation.Standins.Grpc.Tests;

/// <summary>What came back on the wire.</summary>
public sealed record RawAnswer(
    HttpStatusCode HttpStatus,
    string? Status,
    string? Message,
    IReadOnlyList<byte[]> Messages,
    bool StatusWasInHeaders,
    string? AcceptEncoding);

/// <summary>A client that sends whatever bytes a test likes.</summary>
public sealed class RawClient(string address) : IDisposable
{
    private readonly HttpClient _http = new(new SocketsHttpHandler()) { BaseAddress = new Uri(address) };

    public static byte[] Frame(ReadOnlySpan<byte> message, byte flag = 0, uint? length = null)
    {
        var frame = new byte[5 + message.Length];
        frame[0] = flag;
        BinaryPrimitives.WriteUInt32BigEndian(frame.AsSpan(1), length ?? (uint)message.Length);
        message.CopyTo(frame.AsSpan(5));
        return frame;
    }

    public Task<RawAnswer> PostAsync(string method, byte[] body, params (string Name, string Value)[] headers) =>
        SendAsync(HttpMethod.Post, $"/federation.probe.v1.Probe/{method}", body, "application/grpc", HttpVersion.Version20, headers);

    /// <summary>Sends a body one to seven bytes at a time, each a DATA frame of its own.</summary>
    public Task<RawAnswer> DribbleAsync(string method, byte[] body) =>
        SendAsync(
            new DribbledContent(body),
            HttpMethod.Post,
            $"/federation.probe.v1.Probe/{method}",
            "application/grpc",
            HttpVersion.Version20);

    public Task<RawAnswer> SendAsync(
        HttpMethod verb,
        string path,
        byte[] body,
        string? contentType,
        Version version,
        params (string Name, string Value)[] headers) =>
        SendAsync(verb == HttpMethod.Get ? null : new ByteArrayContent(body), verb, path, contentType, version, headers);

    public void Dispose() => _http.Dispose();

    private async Task<RawAnswer> SendAsync(
        HttpContent? content,
        HttpMethod verb,
        string path,
        string? contentType,
        Version version,
        params (string Name, string Value)[] headers)
    {
        using var request = new HttpRequestMessage(verb, path)
        {
            Version = version,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = content,
        };
        if (request.Content is not null && contentType is not null)
            request.Content.Headers.ContentType = MediaTypeHeaderValue.Parse(contentType);
        foreach (var (name, value) in headers)
            Assert.True(request.Headers.TryAddWithoutValidation(name, value));
        request.Headers.TE.ParseAdd("trailers");
        using var response = await _http.SendAsync(request);
        var bytes = await response.Content.ReadAsByteArrayAsync();
        return new RawAnswer(
            response.StatusCode,
            Find(response.TrailingHeaders, "grpc-status") ?? Find(response.Headers, "grpc-status"),
            Find(response.TrailingHeaders, "grpc-message") ?? Find(response.Headers, "grpc-message"),
            Split(bytes),
            Find(response.Headers, "grpc-status") is not null,
            Find(response.Headers, "grpc-accept-encoding"));
    }

    private static string? Find(
        HttpHeaders headers,
        string name) => headers.TryGetValues(name, out var values) ? string.Join(',', values) : null;

    private static List<byte[]> Split(byte[] bytes)
    {
        var messages = new List<byte[]>();
        for (var at = 0; bytes.Length - at >= 5;)
        {
            var length = (int)BinaryPrimitives.ReadUInt32BigEndian(bytes.AsSpan(at + 1));
            messages.Add(bytes[(at + 5)..(at + 5 + length)]);
            at += 5 + length;
        }

        return messages;
    }

    private sealed class DribbledContent(byte[] body) : HttpContent
    {
        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context)
        {
            for (var (at, size) = (0, 1); at < body.Length; (at, size) = (at + size, (size % 7) + 1))
            {
                await stream.WriteAsync(body.AsMemory(at, Math.Min(size, body.Length - at)));
                await stream.FlushAsync();
            }
        }

        protected override bool TryComputeLength(out long length)
        {
            length = 0;
            return false;
        }
    }
}
