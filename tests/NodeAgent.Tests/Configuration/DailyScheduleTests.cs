using Federation.NodeAgent.Configuration;

namespace Federation.NodeAgent.Tests.Configuration;

public sealed class DailyScheduleTests
{
    [Theory]
    [InlineData("18:00-02:00", "18:00", true)]
    [InlineData("18:00-02:00", "23:59", true)]
    [InlineData("18:00-02:00", "00:00", true)]
    [InlineData("18:00-02:00", "01:59", true)]
    [InlineData("18:00-02:00", "02:00", false)]
    [InlineData("18:00-02:00", "17:59", false)]
    [InlineData("09:30-17:00", "09:29", false)]
    [InlineData("09:30-17:00", "09:30", true)]
    [InlineData("09:30-17:00", "17:00", false)]
    [InlineData("20:00-24:00", "23:59", true)]
    [InlineData("20:00-24:00", "00:00", false)]
    [InlineData("00:00-24:00", "12:00", true)]
    [InlineData("07:00-07:00", "03:00", true)]
    public void It_contains_its_hours(string schedule, string time, bool expected) =>
        Assert.Equal(expected, Parse(schedule).Contains(TimeOnly.Parse(time, null)));

    [Theory]
    [InlineData("18:00-02:00", "17:00", "01:00")]
    [InlineData("18:00-02:00", "18:00", "08:00")]
    [InlineData("18:00-02:00", "01:30", "00:30")]
    [InlineData("18:00-02:00", "02:00", "16:00")]
    [InlineData("09:00-17:00", "20:00", "13:00")]
    public void It_tells_when_its_answer_changes(string schedule, string time, string expected) =>
        Assert.Equal(TimeSpan.Parse(expected, null), Parse(schedule).UntilChange(TimeOnly.Parse(time, null)));

    [Fact]
    public void The_whole_day_never_ends() => Assert.Null(Parse("00:00-24:00").UntilChange(new TimeOnly(12, 0)));

    [Fact]
    public void The_answer_changes_exactly_then_and_not_before()
    {
        var random = new Random(20260801);
        for (int i = 0; i < 2000; i++)
        {
            var schedule = new DailySchedule(RandomMinute(), RandomMinute());
            TimeOnly now = RandomMinute();
            if (schedule.UntilChange(now) is not { } wait)
            {
                Assert.Equal(schedule.Start, schedule.End);
                continue;
            }

            Assert.True(wait > TimeSpan.Zero, $"{schedule} at {now} waits {wait}");
            Assert.NotEqual(schedule.Contains(now), schedule.Contains(now.Add(wait)));
            Assert.Equal(schedule.Contains(now), schedule.Contains(now.Add(wait - TimeSpan.FromTicks(1))));
            Assert.Equal(schedule.Contains(now), schedule.Contains(now.Add(wait / 2)));
        }

        TimeOnly RandomMinute() => new(random.Next(24), random.Next(60));
    }

    [Fact]
    public void It_reads_what_it_writes()
    {
        Assert.Equal("18:00-02:00", Parse(" 18:00 - 02:00 ").ToString());
        Assert.Equal(Parse("18:00-02:00"), Parse(Parse("18:00-02:00").ToString()));
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("18-2")]
    [InlineData("18:00")]
    [InlineData("18:00-")]
    [InlineData("24:00-02:00")]
    [InlineData("18:00-25:00")]
    [InlineData("18:60-19:00")]
    [InlineData("18:00-02:00-03:00")]
    [InlineData("evenings")]
    public void Anything_else_is_no_schedule(string? text) => Assert.False(DailySchedule.TryParse(text, out _));

    private static DailySchedule Parse(string text)
    {
        Assert.True(DailySchedule.TryParse(text, out DailySchedule schedule));
        return schedule;
    }
}
