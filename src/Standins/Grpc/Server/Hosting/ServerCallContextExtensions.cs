using Grpc.AspNetCore.Server;
using Microsoft.AspNetCore.Http;

namespace Grpc.Core;

/// <summary>From a call to the HTTP request that carries it.</summary>
public static class ServerCallContextExtensions
{
    /// <summary>The HTTP request of a call.</summary>
    /// <exception cref="InvalidOperationException">The call came some other way.</exception>
    public static HttpContext GetHttpContext(this ServerCallContext serverCallContext)
    {
        ArgumentNullException.ThrowIfNull(serverCallContext);
        if (serverCallContext is ServerCall call)
            return call.Http;
        // What a test puts into a context of its own making.
        if (serverCallContext.UserState.TryGetValue("__HttpContext", out var value) && value is HttpContext http)
            return http;
        throw new InvalidOperationException(
            "Could not get HttpContext from ServerCallContext: the call does not come from ASP.NET Core.");
    }
}
