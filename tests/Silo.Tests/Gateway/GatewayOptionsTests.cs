using Federation.Silo.Gateway;
using Federation.Silo.Nodes;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Tests.Gateway;

public sealed class GatewayOptionsTests
{
    [Fact]
    public void The_defaults_fit_together() => Assert.True(Validate(new GatewayOptions(), new NodeLinkOptions()).Succeeded);

    [Theory]
    [InlineData(16_384, 16_384)]
    [InlineData(16_384, 16_320)]
    public void A_node_must_be_told_to_go_on_before_it_has_to_stop(int window, int grantAt)
    {
        var result = Validate(new GatewayOptions { GrantAt = grantAt }, new NodeLinkOptions { WindowBytes = window });
        Assert.Contains("Gateway:GrantAt", result.FailureMessage, StringComparison.Ordinal);
        Assert.True(Validate(new GatewayOptions { GrantAt = 16_319 }, new NodeLinkOptions { WindowBytes = 16_384 }).Succeeded);
    }

    private static ValidateOptionsResult Validate(GatewayOptions gateway, NodeLinkOptions link) => new GrantsWithinWindow(Options.Create(link)).Validate(null, gateway);
}
