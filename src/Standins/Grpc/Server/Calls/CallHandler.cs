using Grpc.Core;
using Grpc.Wire;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Grpc.AspNetCore.Server;

/// <summary>Takes a request as far as a call, runs it, and sees to it that it ends with a status whatever happens.</summary>
internal sealed class CallHandler<TService>(GrpcServiceOptions options, ILogger logger)
    where TService : class
{
    private static readonly Lazy<ObjectFactory<TService>> _make = new(() => ActivatorUtilities.CreateFactory<TService>([]));

    public async Task HandleAsync(HttpContext http, IMethod method, HandleCall<TService> handle)
    {
        if (Refusal(http.Request) is { } refusal)
        {
            Refuse(http, method, refusal.HttpStatus, refusal.Reason);
            return;
        }

        http.Response.ContentType = GrpcHeaders.ContentType;
        await using var call = new ServerCall(http, method, options, TimeProvider.System, logger);
        try
        {
            await RunAsync(http.RequestServices, call, handle);
            await call.EndAsync();
        }
        catch (Exception exception)
        {
            await call.EndAsync(exception);
        }
    }

    /// <summary>Runs the handler of the service's instance: one that the application registered, or a new one for this call only.</summary>
    private static async Task RunAsync(IServiceProvider services, ServerCall call, HandleCall<TService> handle)
    {
        if (services.GetService<TService>() is { } registered)
        {
            await handle(registered, call);
            return;
        }

        var service = _make.Value(services, []);
        try
        {
            await handle(service, call);
        }
        finally
        {
            if (service is IAsyncDisposable asynchronous)
                await asynchronous.DisposeAsync();
            else
                (service as IDisposable)?.Dispose();
        }
    }

    private static (int HttpStatus, string Reason)? Refusal(HttpRequest request)
    {
        if (request.ContentType is null)
            return (StatusCodes.Status415UnsupportedMediaType, "Content-Type is missing from the request.");
        if (!GrpcHeaders.IsGrpcContentType(request.ContentType))
            return (StatusCodes.Status415UnsupportedMediaType, $"Content-Type '{request.ContentType}' is not supported.");
        if (HttpProtocol.IsHttp10(request.Protocol) || HttpProtocol.IsHttp11(request.Protocol))
            return (StatusCodes.Status426UpgradeRequired, $"Request protocol '{request.Protocol}' is not supported.");
        return null;
    }

    private void Refuse(HttpContext http, IMethod method, int httpStatus, string reason)
    {
        GrpcServerLog.Refused(logger, method.FullName, reason);
        http.Response.StatusCode = httpStatus;
        if (httpStatus == StatusCodes.Status426UpgradeRequired)
            http.Response.Headers.Upgrade = HttpProtocol.Http2;
        CallTrailers.Write(http.Response, new Status(StatusCode.Internal, reason), trailers: null);
    }
}
