using System.Net.Http.Headers;
using Grpc.Core;
using Grpc.Wire;

namespace Grpc.Net.Client;

/// <summary>HTTP headers of a response, read leniently: a peer's odd header must not hide its status.</summary>
internal static class ResponseHeaders
{
    private static readonly HashSet<string> _protocol = new(StringComparer.OrdinalIgnoreCase)
    {
        GrpcHeaders.Status, GrpcHeaders.Message, GrpcHeaders.Encoding, GrpcHeaders.AcceptEncoding, "content-encoding", "content-type",
    };

    public static string? First(HttpHeaders headers, string name) =>
        headers.NonValidated.TryGetValues(name, out var values) ? values.FirstOrDefault() : null;

    /// <summary>Every header that is not the protocol's own.</summary>
    /// <exception cref="FormatException">A binary value is not base64.</exception>
    public static Metadata ToMetadata(HttpHeaders headers)
    {
        var metadata = new Metadata();
        foreach (var (key, values) in headers.NonValidated)
        {
            if (key.StartsWith(':') || _protocol.Contains(key))
                continue;
            foreach (var value in values)
                MetadataHeader.Decode(key, value, metadata);
        }

        return metadata;
    }
}
