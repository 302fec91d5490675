using System.Formats.Cbor;
using System.Security.Cryptography;
using System.Text;

namespace Federation.Protocol.Identity;

/// <summary>
/// The bytes a node signs to prove that it holds its key. Each starts with a domain of its own, so that a signature made
/// for one purpose is worthless for another, and each covers a nonce the hub made for one stream, so that it cannot be
/// replayed on the next.
/// </summary>
public static class Proofs
{
    /// <summary>Length of a challenge's nonce, bytes.</summary>
    public const int NonceBytes = 32;

    /// <summary>What a node signs to enrol: this hub, this nonce, this token, this key.</summary>
    public static byte[] Enrolment(HubId hub, ReadOnlySpan<byte> nonce, string joinToken, ReadOnlySpan<byte> publicKey)
    {
        var cbor = new CborWriter(CborConformanceMode.Canonical);
        cbor.WriteStartMap(4);
        cbor.WriteInt32(1);
        cbor.WriteTextString(hub.ToString());
        cbor.WriteInt32(2);
        cbor.WriteByteString(nonce);
        cbor.WriteInt32(3);
        cbor.WriteByteString(SHA256.HashData(Encoding.UTF8.GetBytes(joinToken)));
        cbor.WriteInt32(4);
        cbor.WriteByteString(publicKey);
        cbor.WriteEndMap();
        return SigningDomain.Enrolment.Prefix(cbor.Encode());
    }

    /// <summary>What a node signs each time it connects: this hub, this nonce, this node.</summary>
    public static byte[] Connection(HubId hub, ReadOnlySpan<byte> nonce, NodeId node)
    {
        var cbor = new CborWriter(CborConformanceMode.Canonical);
        cbor.WriteStartMap(3);
        cbor.WriteInt32(1);
        cbor.WriteTextString(hub.ToString());
        cbor.WriteInt32(2);
        cbor.WriteByteString(nonce);
        cbor.WriteInt32(3);
        cbor.WriteTextString(node.ToString());
        cbor.WriteEndMap();
        return SigningDomain.Connection.Prefix(cbor.Encode());
    }
}
