using System.Net.Sockets;
using System.Text;
using Federation.NodeAgent.Service;
using Federation.NodeAgent.Tests.Configuration;

namespace Federation.NodeAgent.Tests.Service;

public sealed class ServiceNotifierTests
{
    [Fact]
    public void systemd_hears_what_happens()
    {
        if (OperatingSystem.IsWindows())
        {
            return; // no datagrams on such sockets there
        }

        using var directory = new TemporaryDirectory();
        using Socket systemd = Listen(directory.File("notify"));
        var notifier = new ServiceNotifier(directory.File("notify"));

        notifier.Ready();
        notifier.Status("serving 3\nREADY=0");
        notifier.Stopping();

        Assert.Equal(["READY=1", "STATUS=serving 3 READY=0", "STOPPING=1"], [Receive(systemd), Receive(systemd), Receive(systemd)]);
    }

    [Fact]
    public void Abstract_sockets_begin_with_an_at_sign()
    {
        if (OperatingSystem.IsLinux())
        {
            string name = $"federation-node-tests-{Environment.ProcessId}";
            using Socket systemd = Listen("\0" + name);
            new ServiceNotifier("@" + name).Ready();
            Assert.Equal("READY=1", Receive(systemd));
        }
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("/nobody/listens/here")]
    public void Without_a_listener_nothing_happens(string? path)
    {
        var notifier = new ServiceNotifier(path);
        notifier.Ready();
        notifier.Status(new string('x', 100_000));
        notifier.Stopping();
        new ServiceNotifier(new string('x', 5000)).Ready(); // longer than an address can be
    }

    private static Socket Listen(string path)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified) { ReceiveTimeout = 10_000 };
        socket.Bind(new UnixDomainSocketEndPoint(path));
        return socket;
    }

    private static string Receive(Socket socket)
    {
        byte[] buffer = new byte[1024];
        return Encoding.UTF8.GetString(buffer, 0, socket.Receive(buffer));
    }
}
