using Federation.Silo.Providers;
using Federation.Silo.Tests.Fakes;
using FsCheck;
using FsCheck.Fluent;

namespace Federation.Silo.Tests.Providers;

public sealed class CircuitBreakerTests
{
    private static readonly TimeSpan BreakFor = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan BreakForMax = TimeSpan.FromMinutes(1);

    private readonly TestClock _clock = new();
    private readonly CircuitBreaker _breaker;

    public CircuitBreakerTests() => _breaker = new CircuitBreaker(3, BreakFor, BreakForMax, _clock);

    [Fact]
    public void Failures_in_a_row_open_it_and_a_success_between_them_does_not()
    {
        Pass().Failed();
        Pass().Failed();
        Pass().Succeeded();
        Pass().Failed();
        Pass().Failed();
        Assert.False(_breaker.IsOpen);
        Pass().Failed();
        Assert.True(_breaker.IsOpen);
        Assert.Equal(BreakFor, Refused());
    }

    [Fact]
    public void When_its_time_is_up_one_tries_it_and_the_others_wait()
    {
        Break();
        _clock.Advance(BreakFor);
        var trial = Pass();
        Refused();
        trial.Succeeded();
        Pass();
        Pass();
        Assert.False(_breaker.IsOpen);
    }

    [Fact]
    public void A_trial_that_fails_keeps_it_open_for_twice_as_long_up_to_a_limit()
    {
        Break();
        foreach (var expected in new[] { 15, 30, 60, 60 })
        {
            Assert.Equal(TimeSpan.FromSeconds(expected), Refused());
            _clock.Advance(TimeSpan.FromSeconds(expected));
            Pass().Failed();
        }
        _clock.Advance(BreakForMax);
        Pass().Succeeded();
        Break();
        Assert.Equal(BreakFor, Refused());
    }

    [Fact]
    public void A_trial_whose_client_left_leaves_its_place_to_the_next()
    {
        Break();
        _clock.Advance(BreakFor);
        Pass().Abandoned();
        Pass().Succeeded();
        Assert.False(_breaker.IsOpen);
    }

    [Fact]
    public void Clients_that_leave_open_nothing()
    {
        for (var i = 0; i < 100; i++) Pass().Abandoned();
        Pass();
    }

    [Fact]
    public void What_was_under_way_when_it_opened_says_nothing_any_more()
    {
        var late = Enumerable.Range(0, 10).Select(_ => Pass()).ToList();
        Break();
        late[0].Succeeded();
        Assert.True(_breaker.IsOpen);
        foreach (var pass in late.Skip(1)) pass.Failed();
        Assert.Equal(BreakFor, Refused());
    }

    [Fact]
    public void Whoever_says_when_to_come_again_is_left_alone_for_as_long_up_to_a_limit()
    {
        Pass().ToldToWait(TimeSpan.FromSeconds(7));
        Assert.Equal(TimeSpan.FromSeconds(7), Refused());
        _clock.Advance(TimeSpan.FromSeconds(7));
        Pass();
        Pass().ToldToWait(TimeSpan.FromDays(1));
        Assert.Equal(BreakForMax, Refused());
        Assert.False(_breaker.IsOpen);
    }

    // FsCheck prints the seed of a failure; give it to WithReplay to see the same life again.
    [Fact]
    public void Whatever_happens_it_can_always_be_tried_again_after_its_longest_time() => Check.One(
        Config.QuickThrowOnFailure.WithMaxTest(1_000),
        Prop.ForAll(Arb.From(Gen.Choose(0, 6).ListOf(40)), steps =>
        {
            var scene = new CircuitBreakerTests();
            var under = new List<CircuitBreaker.Pass>();
            foreach (var step in steps)
            {
                if (step < 2 && scene._breaker.TryPass(out var pass, out _)) under.Add(pass);
                if (step == 6) scene._clock.Advance(TimeSpan.FromSeconds(20));
                if (step < 2 || step == 6 || under.Count == 0) continue;
                var one = under[^1];
                under.RemoveAt(under.Count - 1);
                if (step == 2) one.Succeeded();
                else if (step == 3) one.Failed();
                else if (step == 4) one.Abandoned();
                else one.ToldToWait(TimeSpan.FromSeconds(5));
            }
            foreach (var pass in under) pass.Abandoned();
            scene._clock.Advance(BreakForMax);
            scene.Pass();
        }));

    private CircuitBreaker.Pass Pass()
    {
        Assert.True(_breaker.TryPass(out var pass, out _));
        return pass;
    }

    private TimeSpan Refused()
    {
        Assert.False(_breaker.TryPass(out _, out var wait));
        return wait;
    }

    private void Break()
    {
        for (var i = 0; i < 3; i++) Pass().Failed();
    }
}
