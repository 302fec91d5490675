using Federation.Silo.Nodes;
using Federation.Silo.Tests.Fakes;
using FsCheck;
using FsCheck.Fluent;

namespace Federation.Silo.Tests.Nodes;

public sealed class MessageBudgetTests
{
    [Fact]
    public void A_burst_is_allowed_and_no_more()
    {
        var budget = new MessageBudget(perSecond: 10, burst: 3, new TestClock());
        Assert.True(budget.TrySpend() && budget.TrySpend() && budget.TrySpend());
        Assert.False(budget.TrySpend());
    }

    [Fact]
    public void It_fills_up_with_time_and_not_beyond_the_burst()
    {
        var clock = new TestClock();
        var budget = new MessageBudget(perSecond: 10, burst: 3, clock);
        for (var message = 0; message < 4; message++) budget.TrySpend();
        clock.Advance(TimeSpan.FromMilliseconds(99));
        Assert.False(budget.TrySpend());
        clock.Advance(TimeSpan.FromMilliseconds(2));
        Assert.True(budget.TrySpend());
        Assert.False(budget.TrySpend());
        clock.Advance(TimeSpan.FromHours(1));
        Assert.True(budget.TrySpend() && budget.TrySpend() && budget.TrySpend());
        Assert.False(budget.TrySpend());
    }

    // FsCheck prints the seed of a failure; give it to WithReplay to see the same pauses again.
    [Fact]
    public void In_any_stretch_of_time_no_more_pass_than_the_burst_and_the_rate_allow() => Check.One(
        Config.QuickThrowOnFailure.WithMaxTest(200),
        Prop.ForAll(Arb.From(Gen.Choose(0, 300).ArrayOf(200)), pauses =>
        {
            var clock = new TestClock();
            var budget = new MessageBudget(perSecond: 10, burst: 5, clock);
            var passed = new List<DateTimeOffset>();
            foreach (var pause in pauses)
            {
                clock.Advance(TimeSpan.FromMilliseconds(pause));
                if (budget.TrySpend()) passed.Add(clock.GetUtcNow());
            }
            for (var first = 0; first < passed.Count; first++)
            {
                for (var last = first; last < passed.Count; last++)
                {
                    var allowed = 5 + (10 * (passed[last] - passed[first]).TotalSeconds) + 1e-6;
                    Assert.True(last - first + 1 <= allowed, $"{last - first + 1} passed in {passed[last] - passed[first]}; {allowed:0.0} are allowed.");
                }
            }
        }));
}

public sealed class EndedLeasesTests
{
    [Fact]
    public void A_lease_that_ended_may_still_send_what_was_left_of_its_window_and_a_few_words()
    {
        const int fewWords = 4 * Lease.ChunkOverheadBytes;
        var ended = new EndedLeases(10);
        ended.Add("job_1.1", 100);
        ended.Add("job_2.1", -50);
        Assert.Equal(LateMessage.Expected, ended.Take("job_1.1", 60));
        Assert.Equal(LateMessage.Expected, ended.Take("job_1.1", 40 + fewWords));
        Assert.Equal(LateMessage.TooMuch, ended.Take("job_1.1", 1));
        Assert.Equal(LateMessage.Expected, ended.Take("job_2.1", fewWords));
        Assert.Equal(LateMessage.TooMuch, ended.Take("job_2.1", 1));
    }

    [Fact]
    public void A_lease_that_never_was_is_unknown() => Assert.Equal(LateMessage.Unknown, new EndedLeases(10).Take("job_1.1", 1));

    [Fact]
    public void Only_the_latest_are_remembered()
    {
        var ended = new EndedLeases(3);
        for (var job = 0; job < 10; job++) ended.Add($"job_{job}.1", 100);
        var known = Enumerable.Range(0, 10).Where(job => ended.Take($"job_{job}.1", 1) is LateMessage.Expected);
        Assert.Equal([7, 8, 9], known);
    }
}
