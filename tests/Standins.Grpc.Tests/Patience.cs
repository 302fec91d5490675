using Federation.Standins.Grpc.Tests.V1;
using Grpc.Core;
using Grpc.Net.Client;

namespace Federation.Standins.Grpc.Tests;

/// <summary>A bound on every wait, so that what never happens fails a test instead of hanging it.</summary>
internal static class Patience
{
    private static readonly TimeSpan _limit = TimeSpan.FromSeconds(60);

    public static Task Soon(this Task task) => task.WaitAsync(_limit);

    public static Task<T> Soon<T>(this Task<T> task) => task.WaitAsync(_limit);

    /// <summary>The status a call is refused with.</summary>
    public static Task<RpcException> RefusalAsync(this Task call) => Assert.ThrowsAsync<RpcException>(call.Soon);

    /// <summary>The status a unary call is refused with.</summary>
    public static Task<RpcException> RefusalOfUnaryAsync(this GrpcChannel channel) =>
        new Probe.ProbeClient(channel).UnaryAsync(new Ask()).ResponseAsync.RefusalAsync();
}
