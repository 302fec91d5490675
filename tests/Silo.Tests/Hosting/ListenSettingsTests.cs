using System.Net;
using Federation.Silo.Hosting;

namespace Federation.Silo.Tests.Hosting;

public sealed class ListenSettingsTests : IDisposable
{
    private static readonly IPEndPoint Loopback = new(IPAddress.Loopback, 8080);

    private readonly string _file = Path.GetTempFileName();

    [Theory]
    [InlineData("127.0.0.1")]
    [InlineData("127.8.9.10")]
    [InlineData("::1")]
    public void Loopback_needs_no_tls(string address) => Assert.Empty(new ListenSettings(At(address), At(address), null, null, Insecure: false).Problems());

    [Theory]
    [InlineData("0.0.0.0")]
    [InlineData("::")]
    [InlineData("192.168.1.2")]
    [InlineData("fe80::1")]
    public void Beyond_loopback_plain_text_is_refused_unless_it_is_asked_for(string address)
    {
        var problem = Assert.Single(new ListenSettings(At(address), Loopback, null, null, Insecure: false).Problems());
        Assert.Contains("--insecure", problem, StringComparison.Ordinal);
        Assert.Contains("--tls-cert", problem, StringComparison.Ordinal);
        Assert.Empty(new ListenSettings(At(address), At(address), null, null, Insecure: true).Problems());
    }

    [Fact]
    public void The_door_for_nodes_is_checked_as_well()
    {
        var problem = Assert.Single(new ListenSettings(Loopback, At("0.0.0.0"), null, null, Insecure: false).Problems());
        Assert.StartsWith("0.0.0.0:8080", problem, StringComparison.Ordinal);
        Assert.Equal(2, new ListenSettings(At("0.0.0.0"), At("0.0.0.0"), null, null, Insecure: false).Problems().Count());
    }

    [Fact]
    public void With_tls_it_may_listen_anywhere() => Assert.Empty(new ListenSettings(At("0.0.0.0"), null, _file, _file, Insecure: false).Problems());

    [Fact]
    public void Half_of_tls_is_named()
    {
        Assert.Equal("--tls-cert and --tls-key go together.", Assert.Single(new ListenSettings(Loopback, null, _file, null, false).Problems()));
        Assert.Equal("--tls-cert and --tls-key go together.", Assert.Single(new ListenSettings(Loopback, null, null, _file, false).Problems()));
    }

    [Fact]
    public void Files_that_are_not_there_are_named()
        => Assert.Equal(["There is no file /no/cert.pem.", "There is no file /no/key.pem."], new ListenSettings(Loopback, null, "/no/cert.pem", "/no/key.pem", false).Problems());

    [Fact]
    public void With_tls_nodes_have_no_door_of_their_own()
        => Assert.Contains("--listen-nodes", Assert.Single(new ListenSettings(Loopback, Loopback, _file, _file, false).Problems()), StringComparison.Ordinal);

    public void Dispose() => File.Delete(_file);

    private static IPEndPoint At(string address) => new(IPAddress.Parse(address), 8080);
}
