using Grpc.Core;
using Grpc.Wire;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.AspNetCore.Routing.Patterns;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Grpc.AspNetCore.Server;

/// <summary>Maps services to endpoints: one per method, and one that answers for methods and services that do not exist.</summary>
internal sealed class GrpcServer(ILogger<GrpcServer> logger, IOptions<GrpcServiceOptions> common)
{
    private readonly HashSet<string> _mapped = new(StringComparer.Ordinal);

    public IReadOnlyList<IEndpointConventionBuilder> Map<TService>(IEndpointRouteBuilder routes)
        where TService : class
    {
        var options = OptionsOf<TService>(routes.ServiceProvider);
        var methods = ServiceMethods<TService>.Discover();
        var handler = new CallHandler<TService>(options, logger);
        var endpoints = new List<IEndpointConventionBuilder>();
        foreach (var (method, handle) in methods)
        {
            var endpoint = routes.MapMethods(method.FullName, [HttpMethods.Post], http => handler.HandleAsync(http, method, handle));
            endpoints.Add(endpoint
                .WithDisplayName($"gRPC - {method.FullName}")
                .WithMetadata(new GrpcMethodMetadata(typeof(TService), method))
                .WithMetadata(typeof(TService).GetCustomAttributes(inherit: true)));
        }

        if (_mapped.Count == 0 && common.Value.IgnoreUnknownServices is not true)
            endpoints.Add(MapUnimplemented(routes, "{service}", "Service is unimplemented."));
        foreach (var service in methods.Select(entry => entry.Method.ServiceName).Distinct(StringComparer.Ordinal))
        {
            if (_mapped.Add(service) && options.IgnoreUnknownServices is not true)
                endpoints.Add(MapUnimplemented(routes, service, "Method is unimplemented."));
        }

        return endpoints;
    }

    private GrpcServiceOptions<TService> OptionsOf<TService>(IServiceProvider services)
        where TService : class
    {
        var options = GrpcServiceOptions<TService>.Like(common.Value);
        foreach (var own in services.GetServices<IConfigureOptions<GrpcServiceOptions<TService>>>())
            own.Configure(options);
        return options;
    }

    private IEndpointConventionBuilder MapUnimplemented(IEndpointRouteBuilder routes, string service, string answer)
    {
        var pattern = RoutePatternFactory.Parse(
            $"{service}/{{method}}",
            defaults: null,
            parameterPolicies: new { method = new GrpcRequestConstraint() });
        return routes.Map(pattern, http =>
        {
            GrpcServerLog.Unimplemented(logger, http.Request.Path);
            http.Response.ContentType = GrpcHeaders.ContentType;
            CallTrailers.Write(http.Response, new Status(StatusCode.Unimplemented, answer), trailers: null);
            return Task.CompletedTask;
        }).WithDisplayName($"gRPC - Unimplemented {service}");
    }

    /// <summary>Leaves requests that are not gRPC to the rest of the application.</summary>
    private sealed class GrpcRequestConstraint : IRouteConstraint
    {
        public bool Match(
            HttpContext? httpContext,
            IRouter? route,
            string routeKey,
            RouteValueDictionary values,
            RouteDirection routeDirection) =>
            httpContext is not null
            && HttpMethods.IsPost(httpContext.Request.Method)
            && GrpcHeaders.IsGrpcContentType(httpContext.Request.ContentType);
    }
}
