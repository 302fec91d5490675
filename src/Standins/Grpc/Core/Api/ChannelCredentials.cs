namespace Grpc.Core;

/// <summary>Whether a channel is protected by TLS.</summary>
public abstract class ChannelCredentials
{
    /// <summary>Plain text, HTTP/2 with prior knowledge.</summary>
    public static ChannelCredentials Insecure { get; } = new TransportCredentials { IsSecure = false };

    /// <summary>TLS; certificates are checked by the channel's handler.</summary>
    public static ChannelCredentials SecureSsl { get; } = new TransportCredentials { IsSecure = true };

    internal abstract bool IsSecure { get; init; }

    private sealed class TransportCredentials : ChannelCredentials
    {
        internal override required bool IsSecure { get; init; }
    }
}
