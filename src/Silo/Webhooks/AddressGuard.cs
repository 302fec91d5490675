using System.Collections.Immutable;
using System.Net;
using System.Net.Sockets;

namespace Federation.Silo.Webhooks;

/// <summary>
/// Which addresses the hub may be sent to by people it does not know: those of the public internet and no others. An address is judged, never a name, and it is the judged address that is connected to.
/// </summary>
/// <remarks>The lists are IANA's special-purpose registries of IPv4 (RFC 6890) and IPv6, as of 2026, and two clouds' own metadata addresses.</remarks>
internal static class AddressGuard
{
    private static readonly ImmutableArray<IPNetwork> RefusedV4 =
    [
        IPNetwork.Parse("0.0.0.0/8"), // this network
        IPNetwork.Parse("10.0.0.0/8"), // private
        IPNetwork.Parse("100.64.0.0/10"), // carrier-grade NAT; a cloud's metadata at 100.100.100.200
        IPNetwork.Parse("127.0.0.0/8"), // loopback
        IPNetwork.Parse("168.63.129.16/32"), // a cloud's wire server
        IPNetwork.Parse("169.254.0.0/16"), // link-local; metadata of most clouds
        IPNetwork.Parse("172.16.0.0/12"), // private
        IPNetwork.Parse("192.0.0.0/24"), // protocol assignments
        IPNetwork.Parse("192.0.2.0/24"), // documentation
        IPNetwork.Parse("192.88.99.0/24"), // 6to4 relays
        IPNetwork.Parse("192.168.0.0/16"), // private
        IPNetwork.Parse("198.18.0.0/15"), // benchmarks
        IPNetwork.Parse("198.51.100.0/24"), // documentation
        IPNetwork.Parse("203.0.113.0/24"), // documentation
        IPNetwork.Parse("224.0.0.0/4"), // multicast
        IPNetwork.Parse("240.0.0.0/4"), // reserved, and broadcast
    ];

    /// <summary>All that is public in IPv6; loopback, link-local, unique local, multicast, mapped IPv4 and NAT64 lie outside.</summary>
    private static readonly IPNetwork GlobalV6 = IPNetwork.Parse("2000::/3");

    private static readonly ImmutableArray<IPNetwork> RefusedV6 =
    [
        IPNetwork.Parse("2001::/23"), // protocol assignments, Teredo and ORCHID among them
        IPNetwork.Parse("2001:db8::/32"), // documentation
        IPNetwork.Parse("2002::/16"), // 6to4: carries any IPv4 address
        IPNetwork.Parse("3fff::/20"), // documentation
    ];

    /// <summary>Whether an address belongs to the public internet. One that carries an IPv4 address inside does not: who means that address can name it.</summary>
    public static bool IsPublic(IPAddress address) => address.AddressFamily switch
    {
        AddressFamily.InterNetwork => !RefusedV4.Any(network => network.Contains(address)),
        AddressFamily.InterNetworkV6 => !address.IsIPv4MappedToIPv6 && address.ScopeId == 0 && GlobalV6.Contains(address) && !RefusedV6.Any(network => network.Contains(address)),
        _ => false,
    };

    /// <summary>What is wrong with a URL before anybody resolves its name; null when nothing is.</summary>
    public static string? WhyRefused(string? text, WebhookOptions options)
    {
        if (text is null || text.Length > 2048 || text.Any(character => character is <= ' ' or > '~') || !Uri.TryCreate(text, UriKind.Absolute, out var url)) return "must be a URL of at most 2048 ASCII characters";
        if (url.Scheme != Uri.UriSchemeHttps && !(url.Scheme == Uri.UriSchemeHttp && options.AllowHttp)) return "must begin with https://";
        if (url.UserInfo.Length > 0) return "must not hold a user or a password";
        if (url.Fragment.Length > 0) return "must not have a fragment";
        if (url.Host.Length == 0) return "must name a host";
        if (!options.AllowPrivateTargets && IPAddress.TryParse(url.DnsSafeHost, out var address) && !IsPublic(address)) return "must lead to a public address";
        return null;
    }
}
