using System.Net;
using System.Net.Sockets;

namespace Federation.Silo.Verification.CommonSlots;

/// <summary>From the address that a connection came from to the network it is in.</summary>
internal static class RemoteNetwork
{
    /// <summary>The network as "203.0.113.0/24"; empty where the address is unknown, is not looked at, or is this machine's own, which says nothing of where a node is.</summary>
    /// <param name="peer">As gRPC has it: "ipv4:203.0.113.7:50123", "ipv6:[2001:db8::7]:50123".</param>
    /// <param name="options">How many bits count.</param>
    public static string Of(string peer, CommonSlotOptions options)
    {
        var colon = peer.IndexOf(':', StringComparison.Ordinal);
        if (colon < 0 || peer[..colon] is not ("ipv4" or "ipv6") || !IPEndPoint.TryParse(peer.AsSpan(colon + 1), out var end)) return string.Empty;
        var address = end.Address.IsIPv4MappedToIPv6 ? end.Address.MapToIPv4() : end.Address;
        var bits = address.AddressFamily is AddressFamily.InterNetwork ? options.Ipv4NetworkBits : options.Ipv6NetworkBits;
        if (bits == 0 || IPAddress.IsLoopback(address)) return string.Empty;
        var bytes = address.GetAddressBytes();
        for (var bit = bits; bit < bytes.Length * 8; bit++) bytes[bit / 8] = (byte)(bytes[bit / 8] & ~(0x80 >> (bit % 8)));
        return $"{new IPAddress(bytes)}/{bits}";
    }
}
