namespace Grpc.Core;

/// <summary>A way to one server; clients are made of it.</summary>
public abstract class ChannelBase
{
    /// <summary>Names the server.</summary>
    protected ChannelBase(string target)
    {
        ArgumentNullException.ThrowIfNull(target);
        Target = target;
    }

    /// <summary>The server: <c>host:port</c>.</summary>
    public string Target { get; }

    /// <summary>Makes what generated clients call through.</summary>
    public abstract CallInvoker CreateCallInvoker();

    /// <summary>Ends the channel and its calls.</summary>
    public Task ShutdownAsync() => ShutdownAsyncCore();

    /// <summary>Ends the channel and its calls; nothing by default.</summary>
    protected virtual Task ShutdownAsyncCore() => Task.CompletedTask;
}
