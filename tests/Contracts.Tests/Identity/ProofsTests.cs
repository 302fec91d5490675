using System.Text;
using Federation.Protocol.Identity;
using Federation.Protocol.Receipts;

namespace Federation.Contracts.Tests.Identity;

public sealed class ProofsTests
{
    private static readonly HubId Hub = HubId.Parse("hb_00112233445566778899aabbccddeeff");
    private static readonly HubId OtherHub = HubId.Parse("hb_ff112233445566778899aabbccddeeff");
    private static readonly NodeId Node = NodeId.Parse("nd_ffeeddccbbaa99887766554433221100");
    private static readonly byte[] Nonce = [.. Enumerable.Range(0, Proofs.NonceBytes).Select(value => (byte)value)];
    private static readonly byte[] OtherNonce = [.. Enumerable.Range(1, Proofs.NonceBytes).Select(value => (byte)value)];
    private static readonly byte[] PublicKey = Convert.FromHexString("3059301306072a8648ce3d020106082a8648ce3d03010703420004" + Convert.ToHexString([.. Enumerable.Range(0, 64).Select(value => (byte)value)]));

    // Computed by another program from the description: agents that are out there sign exactly these bytes.
    [Fact]
    public void The_enrolment_proof_is_these_bytes_and_stays_so() => Assert.Equal(
        "6366312f656e726f6c00a401782368625f3030313132323333343435353636373738383939616162626363646465656666025820000102030405060708090a0b0c0d0e0f10111213141516"
        + "1718191a1b1c1d1e1f03582081ca0b05f3e6a6d6167befcead5069024cab7dffd53ab01b5988f4d8d4c6035504585b3059301306072a8648ce3d020106082a8648ce3d03010703420004"
        + "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f",
        Convert.ToHexStringLower(Proofs.Enrolment(Hub, Nonce, "jt_example", PublicKey)));

    [Fact]
    public void The_connection_proof_is_these_bytes_and_stays_so() => Assert.Equal(
        "6366312f636f6e6e65637400a301782368625f3030313132323333343435353636373738383939616162626363646465656666025820000102030405060708090a0b0c0d0e0f10111213"
        + "1415161718191a1b1c1d1e1f0378236e645f6666656564646363626261613939383837373636353534343333323231313030",
        Convert.ToHexStringLower(Proofs.Connection(Hub, Nonce, Node)));

    [Fact]
    public void What_is_signed_for_one_purpose_is_worthless_for_another()
    {
        byte[][] signed =
        [
            Proofs.Enrolment(Hub, Nonce, "jt_example", PublicKey),
            Proofs.Connection(Hub, Nonce, Node),
            ReceiptCodec.NodeSigningBytes(Nonce),
            ReceiptCodec.HubSigningBytes(Nonce, Nonce),
            ReceiptBatch.OfNode([[.. Nonce]]).SigningBytes,
            ReceiptBatch.OfHub([([.. Nonce], Nonce)]).SigningBytes,
        ];
        string[] domains = ["cf1/enrol\0", "cf1/connect\0", "cf1/receipt\0", "cf1/receipt-issued\0", "cf1/receipt-batch\0", "cf1/receipt-batch-issued\0"];
        foreach (var (bytes, domain) in signed.Zip(domains)) Assert.Equal(domain, Encoding.ASCII.GetString(bytes, 0, domain.Length));
        // No domain is the beginning of another, so no payload can make one look like another.
        Assert.All(domains, domain => Assert.Single(domains, other => other.StartsWith(domain, StringComparison.Ordinal)));
    }

    [Fact]
    public void Each_part_of_a_proof_counts()
    {
        byte[][] enrolments =
        [
            Proofs.Enrolment(Hub, Nonce, "jt_example", PublicKey),
            Proofs.Enrolment(OtherHub, Nonce, "jt_example", PublicKey),
            Proofs.Enrolment(Hub, OtherNonce, "jt_example", PublicKey),
            Proofs.Enrolment(Hub, Nonce, "jt_another", PublicKey),
            Proofs.Enrolment(Hub, Nonce, "jt_example", PublicKey.AsSpan(1)),
        ];
        byte[][] connections =
        [
            Proofs.Connection(Hub, Nonce, Node),
            Proofs.Connection(OtherHub, Nonce, Node),
            Proofs.Connection(Hub, OtherNonce, Node),
            Proofs.Connection(Hub, Nonce, NodeId.FromPublicKey(PublicKey)),
        ];
        var all = enrolments.Concat(connections).Select(Convert.ToHexString).ToArray();
        Assert.Equal(all.Length, all.Distinct().Count());
    }
}
