namespace Grpc.AspNetCore.Server;

/// <summary>How gRPC services are served; for all of them, or by <see cref="GrpcServiceOptions{TService}"/> for one.</summary>
public class GrpcServiceOptions
{
    /// <summary>The longest message a service accepts, bytes; checked before it is buffered. Null means no limit. Default 4 MiB.</summary>
    public int? MaxReceiveMessageSize { get; set; } = 4 * 1024 * 1024;

    /// <summary>The longest message a service sends, bytes. Null, the default, means no limit.</summary>
    public int? MaxSendMessageSize { get; set; }

    /// <summary>True if a client sees the text of exceptions that handlers throw. Default false: it sees that there was one.</summary>
    public bool? EnableDetailedErrors { get; set; }

    /// <summary>
    /// True if calls of services and methods that do not exist go on to the rest of the application instead of being
    /// answered with UNIMPLEMENTED. Default false.
    /// </summary>
    public bool? IgnoreUnknownServices { get; set; }
}

/// <summary>How one service is served. Starts as what holds for all.</summary>
/// <typeparam name="TService">The service.</typeparam>
public class GrpcServiceOptions<TService> : GrpcServiceOptions
    where TService : class
{
    internal static GrpcServiceOptions<TService> Like(GrpcServiceOptions common) => new()
    {
        MaxReceiveMessageSize = common.MaxReceiveMessageSize,
        MaxSendMessageSize = common.MaxSendMessageSize,
        EnableDetailedErrors = common.EnableDetailedErrors,
        IgnoreUnknownServices = common.IgnoreUnknownServices,
    };
}
