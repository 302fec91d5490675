using Federation.Protocol.Identity;

namespace Federation.Contracts.Tests.Identity;

public sealed class KeyDerivedIdTests
{
    private const string Hex = "71e059f91cc2134f5b089526bf9a29ff";

    [Fact]
    public void An_id_is_the_first_half_of_the_keys_sha256()
    {
        var key = Convert.FromHexString(TestKeys.PublicHex);
        Assert.Equal($"nd_{Hex}", NodeId.FromPublicKey(key).ToString());
        Assert.Equal($"hb_{Hex}", HubId.FromPublicKey(key).ToString());
    }

    [Fact]
    public void An_id_read_from_its_text_is_the_same_id()
    {
        var node = NodeId.FromPublicKey(Convert.FromHexString(TestKeys.PublicHex));
        Assert.Equal(node, NodeId.Parse(node.ToString()));
        Assert.True(NodeId.TryParse($"nd_{Hex}", out var parsed));
        Assert.Equal(node, parsed);
        var hub = HubId.FromPublicKey(Convert.FromHexString(TestKeys.PublicHex));
        Assert.Equal(hub, HubId.Parse(hub.ToString()));
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("nd_")]
    [InlineData("nd_71e059f91cc2134f5b089526bf9a29f")]
    [InlineData("nd_71e059f91cc2134f5b089526bf9a29fff")]
    [InlineData("nd_71E059F91CC2134F5B089526BF9A29FF")]
    [InlineData("ND_71e059f91cc2134f5b089526bf9a29ff")]
    [InlineData("hb_71e059f91cc2134f5b089526bf9a29ff")]
    [InlineData("nd-71e059f91cc2134f5b089526bf9a29ff")]
    [InlineData("nd_71e059f91cc2134f5b089526bf9a29fg")]
    [InlineData("nd_71e059f91cc2134f5b089526bf9a29f\n")]
    [InlineData(" nd_71e059f91cc2134f5b089526bf9a29f")]
    [InlineData("nd_７1e059f91cc2134f5b089526bf9a29f")] // a digit, but not an ASCII one
    [InlineData("nd_71e059f9/../../34f5b089526bf9a29")]
    public void What_is_not_a_node_id_is_refused(string? text)
    {
        Assert.False(NodeId.TryParse(text, out var id));
        Assert.Equal(default, id);
        Assert.Throws<FormatException>(() => NodeId.Parse(text!));
    }

    [Fact]
    public void A_node_is_not_a_hub() => Assert.Throws<FormatException>(() => HubId.Parse($"nd_{Hex}"));

    [Fact]
    public void No_id_is_empty_text_and_no_nodes_id()
    {
        Assert.Equal(string.Empty, default(NodeId).ToString());
        Assert.Equal(string.Empty, default(HubId).ToString());
        Assert.NotEqual(default, NodeId.Parse($"nd_{Hex}"));
    }
}
