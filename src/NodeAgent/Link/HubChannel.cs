using Grpc.Net.Client;

namespace Federation.NodeAgent.Link;

/// <summary>The one HTTP/2 connection an agent keeps to its hub.</summary>
internal static class HubChannel
{
    // A request body of the largest size a hub takes, and its envelope.
    private const int MaxMessageBytes = 64 * 1024 * 1024;

    // A line that is dead is noticed after the sum of both: what the node would go on with, another does by then.
    private static readonly TimeSpan PingPeriod = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan PingTimeout = TimeSpan.FromSeconds(2.5);

    public static GrpcChannel Open(Uri link) => GrpcChannel.ForAddress(link, new GrpcChannelOptions
    {
        HttpHandler = new SocketsHttpHandler
        {
            ConnectTimeout = TimeSpan.FromSeconds(10),
            // A dead line is noticed by pings, not by waiting for TCP; a sleeping laptop redials as soon as it wakes.
            KeepAlivePingDelay = PingPeriod,
            KeepAlivePingTimeout = PingTimeout,
            KeepAlivePingPolicy = HttpKeepAlivePingPolicy.WithActiveRequests,
            PooledConnectionIdleTimeout = Timeout.InfiniteTimeSpan,
        },
        DisposeHttpClient = true,
        MaxReceiveMessageSize = MaxMessageBytes,
        MaxSendMessageSize = MaxMessageBytes,
    });
}
