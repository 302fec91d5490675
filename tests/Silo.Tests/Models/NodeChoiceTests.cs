using Federation.Contracts.Nodes;
using Federation.Silo.Models;

namespace Federation.Silo.Tests.Models;

public sealed class NodeChoiceTests
{
    private static readonly NodeFacts Usual = new(Source: 1, Rests: false, IsSticky: false, IsLoaded: false, Running: 1, Slots: 2, TokensPerSecond: 50, Standing.Probation, TimeSpan.FromMilliseconds(120), LastGrant: 5, EngineLastGrant: 5);

    [Fact]
    public void Of_two_nodes_that_differ_in_one_thing_the_better_one_is_taken_and_it_is_said_why()
    {
        (string Why, NodeFacts Node)[] better =
        [
            ("source", Usual with { Source = 0 }),
            ("model loaded", Usual with { IsLoaded = true }),
            ("same conversation", Usual with { IsSticky = true }),
            ("speed", Usual with { TokensPerSecond = 80 }),
            ("free slots", Usual with { Running = 9, Slots = 20 }),
            ("standing", Usual with { Standing = Standing.Trusted }),
            ("nearness", Usual with { RoundTrip = TimeSpan.FromMilliseconds(40) }),
            ("rested longest", Usual with { LastGrant = 4, EngineLastGrant = 9 }),
            ("rested longest", Usual with { EngineLastGrant = 4 }),
        ];
        foreach (var (why, node) in better)
        {
            Assert.True(NodeChoice.Compare(node, Usual) < 0, why);
            Assert.True(NodeChoice.Compare(Usual, node) > 0, why);
            Assert.Equal(why, NodeChoice.Why(node, Usual));
        }
    }

    [Fact]
    public void What_comes_first_outweighs_all_that_comes_after()
    {
        NodeFacts[] ranked =
        [
            Usual with { Source = 0 },
            Usual with { Source = 0, Rests = true },
            Usual with { IsLoaded = true },
            Usual with { IsSticky = true, TokensPerSecond = 1, Running = 2 },
            Usual with { TokensPerSecond = 500 },
            Usual with { Standing = Standing.Trusted, RoundTrip = TimeSpan.FromSeconds(1), LastGrant = 9 },
            Usual with { RoundTrip = TimeSpan.Zero, LastGrant = 9 },
            Usual,
            Usual with { Rests = true, IsLoaded = true },
        ];
        for (var at = 1; at < ranked.Length; at++) Assert.True(NodeChoice.Compare(ranked[at - 1], ranked[at]) < 0, $"{ranked[at - 1]} before {ranked[at]}");
    }

    [Fact]
    public void A_node_twice_as_fast_is_filled_before_a_slower_one_is_begun()
    {
        var fast = Usual with { TokensPerSecond = 100, Slots = 8 };
        var slow = Usual with { TokensPerSecond = 40, Slots = 8, Running = 0 };
        for (var running = 0; running < 8; running++) Assert.True(NodeChoice.Compare(fast with { Running = running }, slow) < 0, $"{running} of 8");
    }

    [Fact]
    public void The_best_of_many_is_the_same_in_whatever_order_they_are_looked_at()
    {
        var random = new Random(4);
        for (var round = 0; round < 2_000; round++)
        {
            var nodes = Enumerable.Range(0, 6).Select(number => new NodeFacts(
                random.Next(2), random.Next(4) == 0, random.Next(3) == 0, random.Next(2) == 0, random.Next(4), random.Next(1, 5), Math.Exp(random.NextDouble() * 3), (Standing)random.Next(2), TimeSpan.FromMilliseconds(random.Next(200)), number / 2, number)).ToArray();
            var best = Best(nodes);
            random.Shuffle(nodes);
            Assert.Equal(best, Best(nodes));
            Assert.All(nodes, node => Assert.True(NodeChoice.Compare(best, node) <= 0));
        }

        static NodeFacts Best(NodeFacts[] nodes) => nodes.Aggregate(static (best, node) => NodeChoice.Compare(node, best) < 0 ? node : best);
    }
}
