using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using Grpc.Core;
using Grpc.Wire;

namespace Grpc.Net.Client;

/// <summary>How a call ended.</summary>
/// <param name="Status">Its status.</param>
/// <param name="Trailers">What came with it; null if no answer came.</param>
internal sealed record Outcome(Status Status, Metadata? Trailers)
{
    /// <summary>
    /// The outcome that is already in a response's headers: an error without messages, or no gRPC at all. Null if
    /// messages are to be read.
    /// </summary>
    public static Outcome? OfHeaders(HttpResponseMessage response)
    {
        if (response.Headers.NonValidated.Contains(GrpcHeaders.Status))
        {
            // OK in the headers is an empty stream; its end will bring this outcome again.
            var outcome = Of(response.Headers);
            return outcome.Status.StatusCode == StatusCode.OK ? null : outcome;
        }

        if (response.Version.Major < 2)
            return Bad(StatusCode.Internal, $"Response protocol downgraded to HTTP/{response.Version.ToString(2)}.");
        if (response.StatusCode != HttpStatusCode.OK)
            return Bad(OfHttpStatus(response.StatusCode), FormattableString.Invariant($"HTTP status code: {(int)response.StatusCode}"));

        var contentType = ResponseHeaders.First(response.Content.Headers, "Content-Type");
        if (contentType is null)
            return Bad(StatusCode.Cancelled, "Response did not have a content-type header.");
        if (!GrpcHeaders.IsGrpcContentType(contentType))
            return Bad(StatusCode.Cancelled, $"Invalid content-type value: {contentType}");
        return null;

        static Outcome Bad(StatusCode code, string why) => new(new Status(code, $"Bad gRPC response. {why}"), []);
    }

    /// <summary>The outcome at the end of a response's body: in its trailers, or in its headers if there was no message.</summary>
    public static Outcome OfTrailers(HttpResponseMessage response)
    {
        var trailers = response.TrailingHeaders;
        if (trailers.NonValidated.Contains(GrpcHeaders.Status))
            return Of(trailers);
        if (response.Headers.NonValidated.Contains(GrpcHeaders.Status))
            return Of(response.Headers);
        return new Outcome(new Status(StatusCode.Cancelled, "No grpc-status found on response."), ResponseHeaders.ToMetadata(trailers));
    }

    /// <summary>The outcome of a call that an exception ended.</summary>
    /// <param name="summary">What was being done.</param>
    /// <param name="cause">What stopped it.</param>
    public static Outcome OfException(string summary, Exception cause) => cause switch
    {
        RpcException refused => new(refused.Status, null),
        OperationCanceledException => new(new Status(StatusCode.Cancelled, "", cause), null),
        _ => new(new Status(CodeOf(cause), $"{summary} {Describe(cause)}", cause), null),
    };

    private static Outcome Of(HttpHeaders headers)
    {
        try
        {
            var code = ResponseHeaders.First(headers, GrpcHeaders.Status);
            if (!int.TryParse(code, NumberStyles.None, CultureInfo.InvariantCulture, out var number))
                return new Outcome(new Status(StatusCode.Cancelled, $"Unexpected grpc-status value: {code}"), null);
            return new Outcome(
                new Status((StatusCode)number, StatusMessage.Decode(ResponseHeaders.First(headers, GrpcHeaders.Message))),
                ResponseHeaders.ToMetadata(headers));
        }
        catch (Exception malformed) when (malformed is FormatException or ArgumentException)
        {
            return new Outcome(new Status(StatusCode.Internal, "Malformed metadata in the response.", malformed), null);
        }
    }

    private static StatusCode OfHttpStatus(HttpStatusCode status) => (int)status switch
    {
        400 or 431 or (>= 100 and < 200) => StatusCode.Internal,
        401 => StatusCode.Unauthenticated,
        403 => StatusCode.PermissionDenied,
        404 => StatusCode.Unimplemented,
        429 or 502 or 503 or 504 => StatusCode.Unavailable,
        _ => StatusCode.Unknown,
    };

    /// <summary>
    /// What a transport's exception means: the peer's HTTP/2 error code where there is one, "unavailable" where the
    /// connection is at fault.
    /// </summary>
    private static StatusCode CodeOf(Exception exception)
    {
        var connectionFailed = false;
        for (var current = exception; current is not null; current = current.InnerException)
        {
            if (current is HttpProtocolException reset)
                return OfHttp2Error(reset.ErrorCode);
            connectionFailed |= current is SocketException or IOException;
        }

        return connectionFailed ? StatusCode.Unavailable : StatusCode.Internal;
    }

    private static StatusCode OfHttp2Error(long code) => code switch
    {
        0x7 => StatusCode.Unavailable, // REFUSED_STREAM
        0x8 => StatusCode.Cancelled, // CANCEL
        0xb => StatusCode.ResourceExhausted, // ENHANCE_YOUR_CALM
        0xc => StatusCode.PermissionDenied, // INADEQUATE_SECURITY
        _ => StatusCode.Internal,
    };

    private static string Describe(Exception exception)
    {
        var messages = new List<string>();
        for (var current = exception; current is not null; current = current.InnerException)
            messages.Add($"{current.GetType().Name}: {current.Message}");
        return string.Join(' ', messages);
    }
}
