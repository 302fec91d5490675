using System.Buffers.Binary;
using System.Net;
using System.Net.Http.Headers;

namespace Federation.EndToEnd.Tests.Harness;

/// <summary>A gRPC call made of bytes, for what no honest library would send.</summary>
internal static class RawLink
{
    /// <summary>One message's frame: five bytes and whatever follows.</summary>
    public static byte[] Frame(ReadOnlySpan<byte> payload, bool compressed = false, int? claimedLength = null)
    {
        var frame = new byte[5 + payload.Length];
        frame[0] = compressed ? (byte)1 : (byte)0;
        BinaryPrimitives.WriteInt32BigEndian(frame.AsSpan(1), claimedLength ?? payload.Length);
        payload.CopyTo(frame.AsSpan(5));
        return frame;
    }

    /// <summary>Sends these bytes as the whole of a call's request; the gRPC status and words that came back.</summary>
    public static async Task<(string Status, string Detail)> CallAsync(Uri hub, string method, byte[] body)
    {
        using var http = new HttpClient { Timeout = Patience.Limit };
        using var request = new HttpRequestMessage(HttpMethod.Post, new Uri(hub, $"/federation.v1.NodeLink/{method}"))
        {
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = new ByteArrayContent(body) { Headers = { ContentType = new MediaTypeHeaderValue("application/grpc") } },
        };
        request.Headers.TE.Add(new TransferCodingWithQualityHeaderValue("trailers"));
        using var response = await http.SendAsync(request);
        await response.Content.LoadIntoBufferAsync();
        var trailers = response.TrailingHeaders.Contains("grpc-status") ? response.TrailingHeaders : response.Headers;
        return (trailers.GetValues("grpc-status").Single(), trailers.TryGetValues("grpc-message", out var words) ? Uri.UnescapeDataString(words.Single()) : string.Empty);
    }
}
