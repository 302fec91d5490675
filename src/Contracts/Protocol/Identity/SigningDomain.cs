using System.Text;

namespace Federation.Protocol.Identity;

/// <summary>What a signature is for: <c>cf1/</c>, a name and a zero byte, put before the bytes that are signed.</summary>
internal readonly struct SigningDomain
{
    public static readonly SigningDomain Enrolment = new("enrol");
    public static readonly SigningDomain Connection = new("connect");
    public static readonly SigningDomain Receipt = new("receipt");
    public static readonly SigningDomain IssuedReceipt = new("receipt-issued");

    private readonly byte[] _prefix;

    private SigningDomain(string name) => _prefix = Encoding.ASCII.GetBytes($"cf1/{name}\0");

    public byte[] Prefix(params ReadOnlySpan<byte> payload) => [.. _prefix, .. payload];
}
