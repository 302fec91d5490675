using Federation.Silo.Providers;

namespace Federation.Silo.Tests.Providers;

public sealed class LeftAnswersTests
{
    [Fact]
    public void No_account_takes_more_places_than_its_share_and_one_that_is_given_back_is_free()
    {
        var left = new LeftAnswers(max: 5, maxPerAccount: 2);
        Assert.Equal([true, true, false], Enumerable.Range(0, 3).Select(_ => left.TryEnter("acct_greedy")));
        Assert.Equal([true, true, true, false], ((string[])["acct_a", "acct_b", "acct_c", "acct_d"]).Select(left.TryEnter));
        left.Leave("acct_greedy");
        Assert.True(left.TryEnter("acct_d"));
        Assert.False(left.TryEnter("acct_greedy"));
        left.Leave("acct_b");
        Assert.Equal([true, false], Enumerable.Range(0, 2).Select(_ => left.TryEnter("acct_greedy")));
    }
}
