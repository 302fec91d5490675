using System.Globalization;
using Grpc.Core;
using Grpc.Wire;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Grpc.AspNetCore.Server;

/// <summary>The end of a response: its status and trailers, after the body or, where nothing was sent yet, in its place.</summary>
internal static class CallTrailers
{
    /// <exception cref="InvalidOperationException">The response cannot carry trailers any more.</exception>
    public static void Write(HttpResponse response, Status status, Metadata? trailers)
    {
        var destination = response.HasStarted ? TrailersOf(response) : response.Headers;
        foreach (var entry in trailers ?? Metadata.Empty)
            destination.Append(entry.Key, MetadataHeader.Encode(entry));

        destination[GrpcHeaders.Status] = ((int)status.StatusCode).ToString(CultureInfo.InvariantCulture);
        if (!string.IsNullOrEmpty(status.Detail))
            destination[GrpcHeaders.Message] = StatusMessage.Encode(status.Detail);
    }

    private static IHeaderDictionary TrailersOf(HttpResponse response) =>
        response.HttpContext.Features.Get<IHttpResponseTrailersFeature>()?.Trailers is { IsReadOnly: false } trailers
            ? trailers
            : throw new InvalidOperationException("Trailers are not supported for this response. The server may not support gRPC.");
}
