using Federation.NodeAgent.Configuration;
using Federation.NodeAgent.Engines;
using Federation.NodeAgent.Link;
using Federation.NodeAgent.Tests.Configuration;
using Federation.NodeAgent.Tests.Engines;
using Microsoft.Extensions.Logging.Abstractions;

namespace Federation.NodeAgent.Tests.Link;

public sealed class ContributionTests : IDisposable
{
    private readonly TemporaryDirectory _home = new();
    private readonly ManualTime _time = new();

    [Fact]
    public void Only_the_time_with_a_lease_counts_and_two_at_once_count_once()
    {
        var worked = Worked();
        _time.Advance(TimeSpan.FromHours(1));
        worked.Begin();
        _time.Advance(TimeSpan.FromMinutes(10));
        worked.Begin();
        _time.Advance(TimeSpan.FromMinutes(10));
        worked.End();
        _time.Advance(TimeSpan.FromMinutes(10));
        worked.End();
        _time.Advance(TimeSpan.FromHours(1));
        Assert.Equal(TimeSpan.FromMinutes(30), worked.Total);
    }

    [Fact]
    public void A_restart_gives_no_second_day()
    {
        var before = Worked();
        before.Begin();
        _time.Advance(TimeSpan.FromHours(2));
        before.End();
        before.Save();
        Assert.Equal(TimeSpan.FromHours(2), Worked().Total);
    }

    [Fact]
    public void Leases_too_short_to_be_written_down_each_are_so_together_and_at_the_end()
    {
        var written = 0;
        using (var worked = Worked())
        {
            for (var lease = 0; lease < 110; lease++)
            {
                File.Delete(_home.File("worked.json"));
                worked.Begin();
                _time.Advance(TimeSpan.FromMilliseconds(250));
                worked.End();
                worked.Save();
                if (File.Exists(_home.File("worked.json"))) written++;
            }
        }
        Assert.Equal(2, written);
        Assert.Equal(TimeSpan.FromSeconds(27.5), Worked().Total);
    }

    [Fact]
    public void At_midnight_the_count_begins_anew_with_what_ran_since()
    {
        var worked = Worked();
        worked.Begin();
        _time.Advance(TimeSpan.FromHours(13));
        Assert.Equal(TimeSpan.FromHours(1), worked.Total);
    }

    [Fact]
    public void A_file_of_garbage_is_no_reason_to_stop()
    {
        File.WriteAllText(_home.File("worked.json"), "{\"day\": 7");
        Assert.Equal(TimeSpan.Zero, Worked().Total);
    }

    [Fact]
    public void The_node_rests_once_the_hours_of_the_day_are_worked()
    {
        var worked = Worked();
        var contribution = ContributionWith(new PolicyConfig { HoursPerDay = 1.5 }, worked);
        worked.Begin();
        _time.Advance(TimeSpan.FromHours(1));
        Assert.False(contribution.Now().Paused);
        _time.Advance(TimeSpan.FromMinutes(30));
        var policy = contribution.Now();
        Assert.True(policy.Paused);
        Assert.Equal("worked 1.5 hours today, which is the limit", policy.PausedReason);
        worked.End();
        _time.Advance(TimeSpan.FromHours(12));
        Assert.False(contribution.Now().Paused);
    }

    [Theory]
    [InlineData(5L << 30, true)]
    [InlineData((5L << 30) + 1, false)]
    public void A_model_larger_than_the_memory_limit_is_not_served(long sizeBytes, bool served)
    {
        var contribution = ContributionWith(new PolicyConfig { VramLimitGib = 5 }, Worked());
        Assert.Equal(served, contribution.Models.Allows(Model("llama", sizeBytes)));
    }

    [Fact]
    public void Only_allowed_models_are_served_and_none_named_allows_all()
    {
        Assert.True(new ModelFilter([], null).Allows(Model("a", 1)));
        Assert.True(new ModelFilter(["a"], null).Allows(Model("a", 1)));
        Assert.False(new ModelFilter(["b"], null).Allows(Model("a", 1)));
    }

    public void Dispose() => _home.Dispose();

    private WorkedToday Worked() => new(new AgentPaths(_home.Path), _time, NullLogger<WorkedToday>.Instance);

    private Contribution ContributionWith(PolicyConfig policy, WorkedToday worked)
        => new(new AgentPaths(_home.Path), new AgentConfig { Policy = policy }, worked, _time, NullLogger<Contribution>.Instance);

    private static EngineModel Model(string name, long sizeBytes) => new(name, Digest: null, sizeBytes, Loaded: false, ContextLength: null, [], Quantization: null);
}
