using Federation.Silo.Verification.CommonSlots;

namespace Federation.Silo.Tests.Verification.CommonSlots;

public sealed class RemoteNetworkTests
{
    [Theory]
    [InlineData("ipv4:203.0.113.7:50123", "203.0.113.0/24")]
    [InlineData("ipv6:[2001:db8:1:23ff::7]:50123", "2001:db8:1:2300::/56")]
    [InlineData("ipv6:[::ffff:203.0.113.7]:50123", "203.0.113.0/24")]
    [InlineData("ipv4:127.0.0.1:50123", "")]
    [InlineData("ipv6:[::1]:50123", "")]
    [InlineData("unix:/run/hub.sock", "")]
    [InlineData("unknown", "")]
    [InlineData("ipv4:", "")]
    [InlineData("ipv4:nonsense", "")]
    public void A_network_is_the_first_bits_of_an_address_that_is_not_this_machines(string peer, string network) => Assert.Equal(network, RemoteNetwork.Of(peer, new CommonSlotOptions()));

    [Theory]
    [InlineData(32, "203.0.113.255/32")]
    [InlineData(23, "203.0.112.0/23")]
    [InlineData(1, "128.0.0.0/1")]
    [InlineData(0, "")]
    public void How_many_bits_count_is_an_option(int bits, string network) => Assert.Equal(network, RemoteNetwork.Of("ipv4:203.0.113.255:1", new CommonSlotOptions { Ipv4NetworkBits = bits }));
}
