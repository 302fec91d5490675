using Federation.Silo.Nodes;
using Federation.Silo.Tests.Fakes;
using Microsoft.Extensions.Options;

namespace Federation.Silo.Tests.Nodes;

public sealed class EndedSessionsTests
{
    private readonly TestClock _clock = new();
    private readonly NodeLinkOptions _options = new() { MaxSessions = 2 };
    private readonly List<string> _forgotten = [];

    [Fact]
    public async Task A_session_that_has_ended_is_reachable_until_its_time_is_up()
    {
        await using var scripted = new ScriptedSession();
        var ended = new EndedSessions(Options.Create(_options), _clock);
        ended.Keep(scripted.Session, () => _forgotten.Add("a"));
        _clock.Advance(_options.Linger - TimeSpan.FromSeconds(1));
        Assert.Empty(_forgotten);
        _clock.Advance(TimeSpan.FromSeconds(1));
        await Eventually.TrueAsync(() => _forgotten.Count == 1, "it to be forgotten");
    }

    [Fact]
    public async Task No_more_are_kept_than_there_may_be_sessions()
    {
        await using var scripted = new ScriptedSession();
        var ended = new EndedSessions(Options.Create(_options), _clock);
        foreach (var name in new[] { "a", "b", "c" }) ended.Keep(scripted.Session, () => _forgotten.Add(name));
        Assert.Equal(["c"], _forgotten);
    }
}
