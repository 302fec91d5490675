using Federation.Silo.Verification.CommonSlots;

namespace Federation.Silo.Tests.Verification.CommonSlots;

public sealed class CommonSlotScheduleTests
{
    private static readonly DateTimeOffset Noon = new(2026, 11, 20, 12, 0, 0, TimeSpan.Zero);
    private static readonly TimeSpan Slot = TimeSpan.FromSeconds(10);

    [Fact]
    public void Slots_follow_from_the_secret_and_the_group_and_from_nothing_else()
    {
        Assert.Equal(SlotsOf(1, "account:a"), SlotsOf(1, "account:a"));
        Assert.NotEqual(SlotsOf(1, "account:a"), SlotsOf(2, "account:a"));
        Assert.NotEqual(SlotsOf(1, "account:a"), SlotsOf(1, "account:b"));
        Assert.NotEqual(SlotsOf(1, CommonSlotSchedule.AccountGroup("x")), SlotsOf(1, CommonSlotSchedule.NetworkGroup("x")));
    }

    [Fact]
    public void Slots_lie_in_their_epoch_each_once_and_begin_on_the_grid()
    {
        for (var secret = 0; secret < 500; secret++)
        {
            var slots = SlotsOf(secret, "account:a");
            Assert.All(slots, at => Assert.True(at > Noon && at < Noon.AddHours(1) && at.UtcTicks % Slot.Ticks == 0));
            Assert.Equal(slots.Order().Distinct(), slots);
        }
    }

    [Fact]
    public void They_come_as_often_as_is_asked_and_have_no_favourite_minute()
    {
        var runs = Counts.Of(40_000, 4_000);
        var mean = TimeSpan.FromMinutes(20);
        var minutes = Enumerable.Range(0, runs).SelectMany(secret => SlotsOf(secret, "account:a", mean)).Select(at => (at - Noon).TotalMinutes).ToArray();
        // Three an hour, less those that share a slot with the one before or lie in the first.
        Assert.InRange(minutes.Length / (double)runs, 2.9, 3.05);
        foreach (var quarter in minutes.GroupBy(minute => (int)(minute / 15))) Assert.InRange(quarter.Count() * 4.0 / minutes.Length, 0.94, 1.06);
    }

    private static DateTimeOffset[] SlotsOf(int secret, string group, TimeSpan? mean = null)
        => [.. CommonSlotSchedule.SlotsOf(BitConverter.GetBytes(secret), Noon, Noon.AddHours(1), group, mean ?? TimeSpan.FromMinutes(5), Slot)];
}
