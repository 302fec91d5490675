using Federation.Silo.Providers;

namespace Federation.Silo.Tests.Providers;

public sealed class RetryBudgetTests
{
    [Fact]
    public void When_everything_fails_the_load_grows_by_the_share_and_no_more()
    {
        var budget = new RetryBudget(0.2, 10);
        var retries = 0;
        for (var request = 0; request < 1_000; request++)
        {
            budget.OnRequest();
            if (budget.TryTake()) retries++;
        }
        Assert.InRange(retries, 205, 210);
    }

    [Fact]
    public void No_more_than_the_reserve_is_saved_up()
    {
        var budget = new RetryBudget(1, 3);
        for (var request = 0; request < 100; request++) budget.OnRequest();
        Assert.Equal(3, Enumerable.Range(0, 10).Count(_ => budget.TryTake()));
    }
}
