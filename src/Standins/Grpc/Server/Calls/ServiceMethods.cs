using System.Reflection;
using Grpc.Core;

namespace Grpc.AspNetCore.Server;

/// <summary>Handles one call with an instance of the service.</summary>
internal delegate Task HandleCall<in TService>(TService service, ServerCall call);

/// <summary>
/// The methods of a service, asked of the generated code that binds them. It is given no instance, since an instance
/// handles one call only; the methods are bound to whichever instance comes.
/// </summary>
internal sealed class ServiceMethods<TService> : ServiceBinderBase
    where TService : class
{
    private readonly List<(IMethod Method, HandleCall<TService> Handle)> _methods = [];

    private delegate Task<TResponse> Unary<TRequest, TResponse>(TService service, TRequest request, ServerCallContext context);

    private delegate Task<TResponse> ClientStreaming<TRequest, TResponse>(
        TService service,
        IAsyncStreamReader<TRequest> requests,
        ServerCallContext context);

    private delegate Task ServerStreaming<TRequest, TResponse>(
        TService service,
        TRequest request,
        IServerStreamWriter<TResponse> responses,
        ServerCallContext context);

    private delegate Task Duplex<TRequest, TResponse>(
        TService service,
        IAsyncStreamReader<TRequest> requests,
        IServerStreamWriter<TResponse> responses,
        ServerCallContext context);

    /// <exception cref="InvalidOperationException">
    /// <typeparamref name="TService"/> is not derived from a generated service base.
    /// </exception>
    public static IReadOnlyList<(IMethod Method, HandleCall<TService> Handle)> Discover()
    {
        for (var type = typeof(TService); type is not null; type = type.BaseType)
        {
            if (type.GetCustomAttribute<BindServiceMethodAttribute>(inherit: false) is not { } binding)
                continue;

            Type[] parameters = [typeof(ServiceBinderBase), type];
            var bind = binding.BindType.GetMethod(binding.BindMethodName, BindingFlags.Public | BindingFlags.Static, parameters)
                ?? throw new InvalidOperationException($"{binding.BindType} has no method {binding.BindMethodName} that binds {type}.");
            var methods = new ServiceMethods<TService>();
            bind.Invoke(null, BindingFlags.DoNotWrapExceptions, null, [methods, null], null);
            return methods._methods;
        }

        throw new InvalidOperationException($"{typeof(TService)} is not derived from a generated gRPC service base.");
    }

    public override void AddMethod<TRequest, TResponse>(Method<TRequest, TResponse> method, UnaryServerMethod<TRequest, TResponse>? handler)
    {
        var invoke = Open<Unary<TRequest, TResponse>>(method, typeof(TRequest), typeof(ServerCallContext));
        Register(method, async (service, call) =>
        {
            var request = await call.ReadSingleAsync(method.RequestMarshaller);
            await call.WriteSingleAsync(await invoke(service, request, call), method.ResponseMarshaller);
        });
    }

    public override void AddMethod<TRequest, TResponse>(
        Method<TRequest, TResponse> method,
        ClientStreamingServerMethod<TRequest, TResponse>? handler)
    {
        var invoke = Open<ClientStreaming<TRequest, TResponse>>(method, typeof(IAsyncStreamReader<TRequest>), typeof(ServerCallContext));
        Register(method, async (service, call) =>
        {
            var requests = call.OpenRequests(method.RequestMarshaller);
            await call.WriteSingleAsync(await invoke(service, requests, call), method.ResponseMarshaller);
        });
    }

    public override void AddMethod<TRequest, TResponse>(
        Method<TRequest, TResponse> method,
        ServerStreamingServerMethod<TRequest, TResponse>? handler)
    {
        var invoke = Open<ServerStreaming<TRequest, TResponse>>(
            method,
            typeof(TRequest),
            typeof(IServerStreamWriter<TResponse>),
            typeof(ServerCallContext));
        Register(method, async (service, call) =>
        {
            var request = await call.ReadSingleAsync(method.RequestMarshaller);
            await invoke(service, request, call.OpenResponses(method.ResponseMarshaller), call);
        });
    }

    public override void AddMethod<TRequest, TResponse>(
        Method<TRequest, TResponse> method,
        DuplexStreamingServerMethod<TRequest, TResponse>? handler)
    {
        var invoke = Open<Duplex<TRequest, TResponse>>(
            method,
            typeof(IAsyncStreamReader<TRequest>),
            typeof(IServerStreamWriter<TResponse>),
            typeof(ServerCallContext));
        Register(method, (service, call) =>
            invoke(service, call.OpenRequests(method.RequestMarshaller), call.OpenResponses(method.ResponseMarshaller), call));
    }

    private void Register(IMethod method, HandleCall<TService> handle) => _methods.Add((method, handle));

    /// <summary>A delegate of the service's method that takes the instance as its first argument.</summary>
    private static TDelegate Open<TDelegate>(IMethod method, params Type[] parameters)
        where TDelegate : Delegate
    {
        var implementation = typeof(TService).GetMethod(method.Name, BindingFlags.Public | BindingFlags.Instance, parameters)
            ?? throw new InvalidOperationException($"Could not find '{method.Name}' on {typeof(TService)}.");
        return implementation.CreateDelegate<TDelegate>();
    }
}
