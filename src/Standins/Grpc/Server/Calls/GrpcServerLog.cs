using Grpc.Core;
using Microsoft.Extensions.Logging;

namespace Grpc.AspNetCore.Server;

/// <summary>Everything the server logs. A peer's fault is Information, ours an Error.</summary>
internal static partial class GrpcServerLog
{
    [LoggerMessage(1, LogLevel.Information, "{Method} is unimplemented.")]
    public static partial void Unimplemented(ILogger logger, string? method);

    [LoggerMessage(2, LogLevel.Information, "Refused a request to {Method}: {Reason}")]
    public static partial void Refused(ILogger logger, string method, string reason);

    [LoggerMessage(3, LogLevel.Information, "{Method} ended with {StatusCode}: {Detail}")]
    public static partial void EndedWithStatus(ILogger logger, Exception? exception, string method, StatusCode statusCode, string detail);

    [LoggerMessage(4, LogLevel.Information, "{Method} was cancelled by its caller.")]
    public static partial void Cancelled(ILogger logger, Exception exception, string method);

    [LoggerMessage(5, LogLevel.Error, "{Method} threw an exception.")]
    public static partial void HandlerFailed(ILogger logger, Exception exception, string method);

    [LoggerMessage(6, LogLevel.Debug, "{Method} exceeded its deadline.")]
    public static partial void DeadlineExceeded(ILogger logger, string method);

    [LoggerMessage(7, LogLevel.Information, "Could not send the status of {Method}.")]
    public static partial void StatusNotSent(ILogger logger, Exception exception, string method);

    [LoggerMessage(8, LogLevel.Information, "{Method} was called with a malformed grpc-timeout, which is ignored: {Timeout}")]
    public static partial void MalformedTimeout(ILogger logger, string method, string timeout);
}
