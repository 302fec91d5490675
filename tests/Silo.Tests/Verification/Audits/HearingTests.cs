using System.Threading.Channels;
using Federation.Silo.Tests.Fakes;
using Federation.Silo.Verification.Audits;
using Federation.Silo.Verification.Inference;

namespace Federation.Silo.Tests.Verification.Audits;

public sealed class HearingTests
{
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(30);
    private readonly TestClock _clock = new();

    [Fact]
    public async Task A_slow_arbiter_has_its_share_of_the_time_and_all_have_the_whole_of_it()
    {
        var asked = Channel.CreateUnbounded<string>();
        var hearing = HearAsync(async (arbiter, over) =>
        {
            asked.Writer.TryWrite(arbiter);
            await Task.Delay(Timeout.InfiniteTimeSpan, over);
            return default;
        });
        foreach (var arbiter in new[] { "a", "b" })
        {
            // Its time runs before it is asked.
            Assert.Equal(arbiter, await asked.Reader.ReadAsync().AsTask().WithinPatienceAsync());
            _clock.Advance(Limit / 2);
        }
        var escalation = await hearing.WithinPatienceAsync();
        Assert.False(asked.Reader.TryRead(out _));
        Assert.Equal(EscalationStatus.Open, escalation.Status);
        Assert.All(escalation.Words, word => Assert.Equal(InferenceOutcome.Inconclusive, word.Outcome));
    }

    [Fact]
    public async Task What_an_arbiter_has_by_the_end_of_its_share_counts()
    {
        var partial = AlarmReview.Of(AuditSum.Delta, [3, 3, 3, 3, 3, 3], new InferenceCheckOptions());
        var hearing = HearAsync(async (arbiter, over) =>
        {
            if (arbiter == "a") await Task.WhenAny(Task.Delay(Timeout.InfiniteTimeSpan, over));
            return (partial.Outcome, partial);
        });
        await _clock.UntilWaitedForAsync(Limit / 2);
        _clock.Advance(Limit / 2);
        Assert.Equal(EscalationStatus.Confirmed, (await hearing.WithinPatienceAsync()).Status);
    }

    [Fact]
    public async Task The_parties_are_not_asked_and_whoever_decides_ends_it()
    {
        var asked = new List<string>();
        var escalation = await HearAsync((arbiter, _) =>
        {
            asked.Add(arbiter);
            return Task.FromResult((InferenceOutcome.Ok, (AlarmReview?)null));
        });
        Assert.Equal(["a"], asked);
        Assert.Equal(EscalationStatus.Cleared, escalation.Status);
    }

    [Fact]
    public async Task A_hub_that_stops_gives_no_verdict()
    {
        using var stop = new CancellationTokenSource();
        var hearing = HearAsync(
            async (_, over) =>
            {
                await stop.CancelAsync();
                await Task.Delay(Timeout.InfiniteTimeSpan, over);
                return default;
            },
            stop.Token);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => hearing);
    }

    private Task<Escalation> HearAsync(Func<string, CancellationToken, Task<(InferenceOutcome, AlarmReview?)>> ask, CancellationToken stop = default)
        => Hearing.HearAsync(Escalation.Begin("worker", "verifier"), ["worker", "verifier", "a", "b", "c", "d"], arbiter => arbiter, ask, Limit, _clock, stop);
}
