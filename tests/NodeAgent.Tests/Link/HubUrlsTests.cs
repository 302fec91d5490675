using Federation.NodeAgent.Link;

namespace Federation.NodeAgent.Tests.Link;

public sealed class HubUrlsTests
{
    private static readonly Uri A = new("http://a/");
    private static readonly Uri B = new("http://b/");
    private static readonly Uri C = new("http://c/");

    [Fact]
    public void A_hub_that_answers_and_refuses_counts_as_tried()
    {
        var urls = new HubUrls(A);
        Assert.Equal(A, urls.Next());
        urls.Learn([A]);
        Assert.False(urls.HasUntried);
        Assert.Equal(A, urls.Next());
    }

    [Fact]
    public void After_one_that_refused_the_others_are_tried_in_turn()
    {
        var urls = new HubUrls(A);
        urls.Next();
        urls.Learn([B, C]);
        Assert.True(urls.HasUntried);
        Assert.Equal([B, C, A], [urls.Next(), urls.Next(), urls.Next()]);
    }

    [Fact]
    public void Who_let_the_node_in_is_asked_first_and_the_configured_one_is_not_forgotten()
    {
        var urls = new HubUrls(A);
        urls.Next();
        urls.Learn([B]);
        Assert.Equal(B, urls.Next());
        urls.Learn([B, C]);
        urls.StartOver();
        Assert.True(urls.HasUntried);
        Assert.Equal([B, A, C], [urls.Next(), urls.Next(), urls.Next()]);
    }
}
