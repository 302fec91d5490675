using Federation.Silo.Verification;
using Federation.Silo.Verification.Accrual;
using FsCheck;
using FsCheck.Fluent;

namespace Federation.Silo.Tests.Verification.Accrual;

/// <summary>P12: being away while claiming to be there never pays.</summary>
public sealed class StandbyTests
{
    private static readonly DateTimeOffset Noon = new(2026, 11, 20, 12, 0, 0, TimeSpan.Zero);
    private static readonly AccrualOptions Options = new();

    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    [InlineData(10)]
    [InlineData(30)]
    [InlineData(120)]
    public void One_absence_loses_what_the_protocol_says(int minutes)
    {
        // net = L·e^−x − (1−e^−x)·2/λ, x = λL. A probe is sometimes caught by its retry alone, which the formula leaves out.
        var x = Options.ProbesPerHour * minutes / 60;
        var expected = (minutes * Math.Exp(-x)) - ((1 - Math.Exp(-x)) * 2 * 60 / Options.ProbesPerHour);
        var random = new Random(minutes);
        var runs = Counts.Of(200_000, 20_000);
        var net = Enumerable.Range(0, runs).Average(_ => Net(random, [(TimeSpan.FromHours(12), TimeSpan.FromMinutes(minutes))], TimeSpan.FromHours(24), 0).TotalMinutes);
        Assert.InRange(net, expected - 0.6, expected + 0.6);
        Assert.True(net < 0, $"{minutes} min: {net}");
    }

    [Theory]
    [InlineData(0.5, 0.5)]
    [InlineData(3, 20)]
    [InlineData(10, 10)]
    [InlineData(30, 2)]
    [InlineData(200, 60)]
    [InlineData(2, 500)]
    public void Whoever_comes_and_goes_at_random_loses(double awayMinutes, double hereMinutes)
    {
        var random = new Random((int)(awayMinutes * 1_000 + hereMinutes));
        var runs = Counts.Of(20_000, 1_000);
        var nets = Enumerable.Range(0, runs).Select(_ => Net(random, [.. Absences(random, awayMinutes, hereMinutes).Take(5_000)], TimeSpan.FromHours(24), 0).TotalMinutes).ToArray();
        var error = Math.Sqrt(nets.Sum(net => net * net) / runs) / Math.Sqrt(runs);
        Assert.True(nets.Average() < -3 * error, $"{nets.Average()} ± {error}");
    }

    [Fact]
    public void An_honest_node_whose_probes_get_lost_now_and_then_keeps_nearly_all()
    {
        var random = new Random(12);
        var runs = Counts.Of(5_000, 500);
        var kept = Enumerable.Range(0, runs).Average(_ => 1 + (Net(random, [], TimeSpan.FromDays(7), 0.005) / TimeSpan.FromDays(7)));
        Assert.InRange(kept, 0.98, 1);
        // Even if a probe and its retry are lost together.
        var together = Enumerable.Range(0, runs).Average(_ => 1 + (Net(random, [], TimeSpan.FromDays(7), 0.005, retryHelps: false) / TimeSpan.FromDays(7)));
        Assert.InRange(together, 0.98, 1);
    }

    [Fact]
    public void A_gap_is_paid_only_between_two_probes_that_were_answered() => Check.One(
        Config.QuickThrowOnFailure.WithMaxTest(Counts.Of(20_000, 1_000)),
        Prop.ForAll(Gen.ArrayOf(Gen.Elements(true, true, true, false)).ToArbitrary(), answers =>
        {
            var (standby, now, paid, expected) = (Standby.Fresh, Noon, TimeSpan.Zero, TimeSpan.Zero);
            DateTimeOffset? before = null;
            var retrying = false;
            foreach (var answer in answers)
            {
                now += retrying ? Options.ProbeRetry : TimeSpan.FromMinutes(10);
                var step = standby.After(answer, now, TimeSpan.Zero, Options);
                Assert.Equal(!answer && retrying, step.Missed);
                Assert.Equal(!answer && !retrying, step.RetryAt is not null);
                if (answer && before is { } from) expected += now - from;
                if (answer) before = now;
                if (step.Missed) before = null;
                retrying = !answer && !retrying;
                paid += step.Paid;
                standby = step.After;
            }
            Assert.Equal(expected, paid);
        }));

    [Fact]
    public void Work_within_a_gap_is_not_paid_as_standby_too()
    {
        var first = Standby.Fresh.After(true, Noon, TimeSpan.Zero, Options).After;
        Assert.Equal(TimeSpan.FromMinutes(7), first.After(true, Noon.AddMinutes(10), TimeSpan.FromMinutes(3), Options).Paid);
        Assert.Equal(TimeSpan.Zero, first.After(true, Noon.AddMinutes(10), TimeSpan.FromMinutes(11), Options).Paid);
    }

    [Fact]
    public void An_hour_of_standby_earns_a_tenth_of_an_hour_of_work()
        => Assert.Equal(4_000_000, Standby.Pay(TimeSpan.FromHours(1), 40, 1, Options).Value);

    [Fact]
    public void Probes_come_six_an_hour_and_cannot_be_foreseen()
    {
        var random = new Random(6);
        var waits = Enumerable.Range(0, 100_000).Select(_ => PoissonProcess.Wait(random.NextDouble(), Options.MeanProbeWait).TotalMinutes).ToArray();
        Assert.Equal(10, waits.Average(), 0.15);
        // Without memory: whoever has waited ten minutes waits ten more on average.
        Assert.Equal(10, waits.Where(wait => wait > 10).Average() - 10, 0.25);
    }

    /// <summary>Standby time that was paid, less the time the node was there.</summary>
    private static TimeSpan Net(Random random, (TimeSpan After, TimeSpan For)[] absences, TimeSpan length, double loss, bool retryHelps = true)
    {
        // Measured between two probes far inside, so that the beginning and the end of the day favour nobody.
        var (end, standby, paid) = (Noon + length, Standby.Fresh.After(true, Noon, TimeSpan.Zero, Options).After, TimeSpan.Zero);
        var away = new List<(DateTimeOffset From, DateTimeOffset To)>();
        var at = Noon;
        foreach (var (after, span) in absences)
        {
            if (at + after + span >= end) break;
            away.Add((at + after, at + after + span));
            at += after + span;
        }
        var here = length - away.Aggregate(TimeSpan.Zero, (sum, absence) => sum + (absence.To - absence.From));
        var index = 0;
        for (var now = Noon + PoissonProcess.Wait(random.NextDouble(), Options.MeanProbeWait); ; now += PoissonProcess.Wait(random.NextDouble(), TimeSpan.FromHours(1) / Options.ProbesPerHour))
        {
            // The last probe finds the node there and closes the day.
            var isLast = now >= end;
            if (isLast) now = end;
            var isLost = !isLast && random.NextDouble() < loss;
            var step = standby.After(!isLost && IsHere(now), now, TimeSpan.Zero, Options);
            paid += step.Paid;
            if (step.RetryAt is { } retry)
            {
                var isLostAgain = retryHelps ? random.NextDouble() < loss : isLost;
                step = step.After.After(!isLostAgain && IsHere(retry), retry, TimeSpan.Zero, Options);
                paid += step.Paid;
                now = retry;
            }
            standby = step.After;
            if (isLast) return paid - here;
        }

        bool IsHere(DateTimeOffset moment)
        {
            while (index < away.Count && away[index].To <= moment) index++;
            return index == away.Count || moment < away[index].From;
        }
    }

    private static IEnumerable<(TimeSpan, TimeSpan)> Absences(Random random, double awayMinutes, double hereMinutes)
    {
        while (true) yield return (Span(hereMinutes), Span(awayMinutes));

        TimeSpan Span(double mean) => TimeSpan.FromMinutes(-Math.Log(1 - random.NextDouble()) * mean);
    }
}
