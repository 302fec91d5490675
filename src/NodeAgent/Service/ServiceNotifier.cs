using System.Net.Sockets;
using System.Text;

namespace Federation.NodeAgent.Service;

/// <summary>Tells whoever started the agent how it is. Nobody may be listening, and no call fails for it.</summary>
public interface IServiceNotifier
{
    /// <summary>The agent works; a service manager that waited for it goes on.</summary>
    void Ready();

    /// <summary>A line for a person who asks the service manager: "serving 3 requests", "paused by the owner".</summary>
    void Status(string line);

    /// <summary>The agent is finishing what runs and will then end.</summary>
    void Stopping();
}

/// <summary>
/// systemd's notification protocol: datagrams of <c>NAME=value</c> to the socket in <c>$NOTIFY_SOCKET</c>. Without that variable it
/// does nothing, so it can be used everywhere. Safe for use by several threads.
/// </summary>
public sealed class ServiceNotifier : IServiceNotifier
{
    private const int MaxStatusLength = 512;

    private readonly string? _socketPath;

    /// <param name="socketPath">The value of <c>$NOTIFY_SOCKET</c>: a path, or <c>@name</c> for an abstract socket. Null: nobody listens.</param>
    public ServiceNotifier(string? socketPath)
    {
        _socketPath = socketPath is ['@', .. var name] ? "\0" + name : socketPath;
    }

    /// <summary>For the service manager that started this process, if one did.</summary>
    public static ServiceNotifier FromEnvironment() => new(Environment.GetEnvironmentVariable("NOTIFY_SOCKET"));

    /// <inheritdoc/>
    public void Ready() => Send("READY=1");

    /// <inheritdoc/>
    public void Status(string line)
    {
        ArgumentNullException.ThrowIfNull(line);
        // A line break would begin another message.
        string clean = string.Concat(line.Select(c => char.IsControl(c) ? ' ' : c));
        Send($"STATUS={(clean.Length <= MaxStatusLength ? clean : clean[..MaxStatusLength])}");
    }

    /// <inheritdoc/>
    public void Stopping() => Send("STOPPING=1");

    private void Send(string message)
    {
        if (string.IsNullOrEmpty(_socketPath))
        {
            return;
        }

        try
        {
            using var socket = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified) { Blocking = false };
            socket.SendTo(Encoding.UTF8.GetBytes(message), new UnixDomainSocketEndPoint(_socketPath));
        }
        catch (Exception exception) when (exception is SocketException or ArgumentException or PlatformNotSupportedException)
        {
            // The manager is gone, does not keep up, or never was: the agent's work does not depend on being watched.
            System.Diagnostics.Debug.WriteLine(exception);
        }
    }
}
