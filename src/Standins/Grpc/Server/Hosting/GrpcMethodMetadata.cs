using Grpc.Core;

namespace Grpc.AspNetCore.Server;

/// <summary>On the endpoint of a method: which one it is.</summary>
public sealed class GrpcMethodMetadata(Type serviceType, IMethod method)
{
    /// <summary>The service that handles it.</summary>
    public Type ServiceType { get; } = serviceType;

    /// <summary>The method.</summary>
    public IMethod Method { get; } = method;
}
