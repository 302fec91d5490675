using Federation.Silo.Gateway;
using Federation.Silo.Tests.Fakes;

namespace Federation.Silo.Tests.Gateway;

public sealed class ReadPatienceTests
{
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);

    private readonly TestClock _clock = new();

    [Fact]
    public void A_wait_ends_when_its_time_is_up_and_not_before()
    {
        using var patience = new ReadPatience(_clock, default);
        patience.Begin(10 * Second);
        _clock.Advance(9 * Second);
        Assert.False(patience.Token.IsCancellationRequested);
        _clock.Advance(Second);
        Assert.True(patience.Token.IsCancellationRequested);
    }

    [Fact]
    public void Waits_that_end_in_time_may_be_any_number()
    {
        using var patience = new ReadPatience(_clock, default);
        for (var wait = 0; wait < 1_000; wait++)
        {
            patience.Begin(10 * Second);
            _clock.Advance(0.7 * (wait % 14) * Second);
            patience.End();
            _clock.Advance(0.3 * (wait % 50) * Second);
        }
        Assert.False(patience.Token.IsCancellationRequested);
        patience.Begin(10 * Second);
        _clock.Advance(10 * Second);
        Assert.True(patience.Token.IsCancellationRequested);
    }

    [Fact]
    public void A_shorter_wait_after_a_longer_one_takes_no_longer_for_it()
    {
        using var patience = new ReadPatience(_clock, default);
        patience.Begin(100 * Second);
        patience.End();
        patience.Begin(5 * Second);
        _clock.Advance(5 * Second);
        Assert.True(patience.Token.IsCancellationRequested);
    }

    [Fact]
    public void What_is_given_ends_every_wait()
    {
        using var given = new CancellationTokenSource();
        using var patience = new ReadPatience(_clock, given.Token);
        patience.Begin(Second);
        given.Cancel();
        Assert.True(patience.Token.IsCancellationRequested);
    }

    [Fact]
    public void A_clock_that_ticks_after_the_reader_left_does_nothing()
    {
        var patience = new ReadPatience(_clock, default);
        patience.Begin(Second);
        patience.Dispose();
        _clock.Advance(10 * Second);
    }
}
