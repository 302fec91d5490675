using Federation.Silo.Verification;
using Federation.Silo.Verification.Challenges;

namespace Federation.Silo.Tests.Verification.Challenges;

public sealed class NodeChallengesTests
{
    [Theory]
    [InlineData("b", "b", "b")]
    [InlineData("b", "b", "a,b,b")]
    [InlineData("b", "a", "a,b,a")]
    [InlineData("b", "a", "a,a")]
    [InlineData("b", "b", "c,b,b")]
    [InlineData("b", "c", "c,c")]
    [InlineData("a", "b", "b,b")]
    public void Two_of_three_rounds_decide_down_and_up_and_whoever_keeps_the_class_needs_one(string current, string decided, string rounds)
    {
        var attempts = new List<HardwarePlacement>();
        var measured = rounds.Split(',');
        foreach (var name in measured)
        {
            Assert.False(attempts.Count > 0 && NodeChallenges.IsDecided(attempts, current), $"{current} was decided after {attempts.Count} of {rounds}.");
            attempts.Add(Placed(name));
        }
        Assert.True(measured.Length == 3 || NodeChallenges.IsDecided(attempts, current));
        Assert.Equal(decided, NodeChallenges.BestOfTwo(attempts).Class.Name);
    }

    [Fact]
    public void One_round_that_measured_nothing_decides_nothing()
    {
        var (nothing, slow) = (Placed("a", creditsPerHour: 0), Placed("a"));
        Assert.False(NodeChallenges.IsDecided([nothing], "a"));
        Assert.True(NodeChallenges.BestOfTwo([nothing, slow, slow]).IsMeasured);
        Assert.False(NodeChallenges.BestOfTwo([nothing, nothing, slow]).IsMeasured);
    }

    private static HardwarePlacement Placed(string name, double creditsPerHour = 1) => new(new HardwareClass { Name = name, CreditsPerHour = name[0] }, creditsPerHour, string.Empty);
}
