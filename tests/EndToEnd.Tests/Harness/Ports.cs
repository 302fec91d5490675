using System.Net;
using System.Net.Sockets;

namespace Federation.EndToEnd.Tests.Harness;

/// <summary>
/// Ports for processes that must listen on the same one again, or are told it before they start. Below those that the system gives to
/// outgoing connections: one of these could take the port in the moment in which its owner is away.
/// </summary>
internal static class Ports
{
    private const int First = 20_000;
    private const int Last = 32_000;

    private static readonly Lock Gate = new();
    private static readonly Random Random = new();
    private static readonly HashSet<int> Given = [];

    /// <summary>Free ports that no other test of this process gets.</summary>
    public static int[] Take(int count)
    {
        lock (Gate)
        {
            var ports = new List<int>();
            while (ports.Count < count)
            {
                var port = Random.Next(First, Last);
                if (!Given.Contains(port) && IsFree(port) && Given.Add(port)) ports.Add(port);
            }
            return [.. ports];
        }
    }

    private static bool IsFree(int port)
    {
        using var listener = new TcpListener(IPAddress.Loopback, port);
        try
        {
            listener.Start();
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
