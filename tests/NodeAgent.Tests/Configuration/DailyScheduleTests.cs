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
