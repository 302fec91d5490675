using System.Net;
using Federation.Silo.Webhooks;

namespace Federation.Silo.Tests.Webhooks;

public sealed class AddressGuardTests
{
    [Theory]
    [InlineData("0.0.0.0")]
    [InlineData("10.1.2.3")]
    [InlineData("100.64.0.1")]
    [InlineData("100.100.100.200")]
    [InlineData("127.0.0.1")]
    [InlineData("127.255.255.254")]
    [InlineData("168.63.129.16")]
    [InlineData("169.254.169.254")]
    [InlineData("172.16.0.1")]
    [InlineData("172.31.255.255")]
    [InlineData("192.0.0.170")]
    [InlineData("192.0.2.1")]
    [InlineData("192.168.1.1")]
    [InlineData("198.19.0.1")]
    [InlineData("198.51.100.7")]
    [InlineData("203.0.113.9")]
    [InlineData("224.0.0.1")]
    [InlineData("239.255.255.255")]
    [InlineData("240.0.0.1")]
    [InlineData("255.255.255.255")]
    [InlineData("::")]
    [InlineData("::1")]
    [InlineData("::ffff:127.0.0.1")]
    [InlineData("::ffff:8.8.8.8")]
    [InlineData("::127.0.0.1")]
    [InlineData("64:ff9b::7f00:1")]
    [InlineData("100::1")]
    [InlineData("2001::1")]
    [InlineData("2001:db8::1")]
    [InlineData("2002:7f00:1::")]
    [InlineData("3fff::1")]
    [InlineData("fc00::1")]
    [InlineData("fd00:ec2::254")]
    [InlineData("fe80::1")]
    [InlineData("fec0::1")]
    [InlineData("ff02::1")]
    public void What_is_not_the_public_internet_is_refused(string address) => Assert.False(AddressGuard.IsPublic(IPAddress.Parse(address)));

    [Theory]
    [InlineData("1.1.1.1")]
    [InlineData("8.8.8.8")]
    [InlineData("100.63.255.255")]
    [InlineData("100.128.0.0")]
    [InlineData("172.15.255.255")]
    [InlineData("172.32.0.0")]
    [InlineData("192.167.255.255")]
    [InlineData("223.255.255.255")]
    [InlineData("2606:4700:4700::1111")]
    [InlineData("2a00:1450:4001:830::200e")]
    public void The_public_internet_is_allowed(string address) => Assert.True(AddressGuard.IsPublic(IPAddress.Parse(address)));

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("hooks")]
    [InlineData("//example.org/x")]
    [InlineData("http://example.org/")]
    [InlineData("ftp://example.org/")]
    [InlineData("file:///etc/passwd")]
    [InlineData("gopher://example.org/")]
    [InlineData("https://user:secret@example.org/")]
    [InlineData("https://example.org/#x")]
    [InlineData("https://example.org/a\r\nHost: b")]
    [InlineData("https://example.org/ x")]
    [InlineData("https://127.0.0.1/")]
    [InlineData("https://127.1/")]
    [InlineData("https://2130706433/")]
    [InlineData("https://0x7f000001/")]
    [InlineData("https://0177.0.0.1/")]
    [InlineData("https://[::1]/")]
    [InlineData("https://[::ffff:127.0.0.1]/")]
    [InlineData("https://[fe80::1%25eth0]/")]
    [InlineData("https://169.254.169.254/latest/meta-data")]
    public void A_url_that_leads_inwards_or_is_none_is_refused(string? url) => Assert.NotNull(AddressGuard.WhyRefused(url, new WebhookOptions()));

    [Theory]
    [InlineData("https://example.org/hooks?x=1")]
    [InlineData("https://example.org:8443/")]
    [InlineData("https://8.8.8.8/")]
    public void A_public_url_is_taken(string url) => Assert.Null(AddressGuard.WhyRefused(url, new WebhookOptions()));

    [Fact]
    public void Operators_may_allow_their_own_networks_and_plain_http()
    {
        Assert.Null(AddressGuard.WhyRefused("https://127.0.0.1/", new WebhookOptions { AllowPrivateTargets = true }));
        Assert.NotNull(AddressGuard.WhyRefused("http://127.0.0.1/", new WebhookOptions { AllowPrivateTargets = true }));
        Assert.Null(AddressGuard.WhyRefused("http://127.0.0.1/", new WebhookOptions { AllowPrivateTargets = true, AllowHttp = true }));
        Assert.NotNull(AddressGuard.WhyRefused("http://127.0.0.1/", new WebhookOptions { AllowHttp = true }));
    }
}
