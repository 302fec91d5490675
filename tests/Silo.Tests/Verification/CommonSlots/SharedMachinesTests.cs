using Federation.Silo.Verification.CommonSlots;

namespace Federation.Silo.Tests.Verification.CommonSlots;

/// <summary>However many nodes a machine says it is, the standby of one is paid.</summary>
public sealed class SharedMachinesTests
{
    private const string Network = "203.0.113.0/24";

    private static readonly DateTimeOffset Noon = new(2026, 11, 20, 12, 0, 0, TimeSpan.Zero);

    [Fact]
    public void Of_the_nodes_of_an_account_as_many_are_paid_as_there_are_machines_at_most_and_one_at_least()
    {
        var runs = Counts.Of(20_000, 2_000);
        for (var seed = 0; seed < runs; seed++)
        {
            var random = new Random(seed);
            var machines = random.Next(1, 5);
            var nodes = Enumerable.Range(0, random.Next(1, 9)).Select(number => (Node: Of(number), Machine: random.Next(machines))).ToArray();
            var results = new List<SlotResult>();
            for (var slot = random.Next(7); slot > 0; slot--)
            {
                // Some are at work; of those that sit, a machine passes for one at most, whichever it likes, and sometimes for none.
                foreach (var machine in nodes.Where(_ => random.NextDouble() < 0.7).GroupBy(entry => entry.Machine))
                {
                    var sitting = machine.ToArray();
                    var winner = random.Next(-1, sitting.Length);
                    results.AddRange(sitting.Select((entry, number) => Result(entry.Node, slot, number == winner)));
                }
            }
            var paid = nodes.Where(entry => IsPaid(entry.Node, [.. nodes.Select(other => other.Node)], results)).ToArray();
            Assert.True(paid.Length >= 1 && paid.Select(entry => entry.Machine).Distinct().Count() == paid.Length, $"Seed {seed}: paid {string.Join(", ", paid)}.");
        }
    }

    [Fact]
    public void Machines_that_passed_one_slot_together_are_all_paid_until_another_slot_says_otherwise()
    {
        var nodes = Enumerable.Range(0, 10).Select(number => Of(number)).ToArray();
        var results = nodes.Select(node => Result(node, 1, true)).ToList();
        Assert.All(nodes, node => Assert.True(IsPaid(node, nodes, results)));
        // The third one fails with the rest: it alone is not paid, whatever its name.
        results.AddRange(nodes.Select((node, number) => Result(node, 2, number != 2)));
        Assert.Equal([2], nodes.Select((node, number) => (node, number)).Where(entry => !IsPaid(entry.node, nodes, results)).Select(entry => entry.number));
        results.AddRange(nodes.Select(node => Result(node, 3, true)));
        Assert.All(nodes, node => Assert.True(IsPaid(node, nodes, results)));
    }

    [Fact]
    public void A_node_that_never_sits_keeps_nobody_from_being_paid()
    {
        Neighbour[] nodes = [Of(0), Of(1), Of(2)];
        SlotResult[] results = [Result(nodes[1], 1, true), Result(nodes[2], 1, true)];
        Assert.Equal([false, true, true], nodes.Select(node => IsPaid(node, nodes, results)));
    }

    [Fact]
    public void Identities_that_pass_in_turns_are_one_machine()
    {
        Neighbour[] nodes = [Of(0), Of(1)];
        SlotResult[] results = [Result(nodes[0], 1, true), Result(nodes[1], 2, true), Result(nodes[0], 3, true)];
        Assert.Equal([true, false], nodes.Select(node => IsPaid(node, nodes, results)));
        Assert.Equal([false, true], nodes.Select(node => IsPaid(node, nodes, [.. results, Result(nodes[1], 4, true)])));
    }

    [Fact]
    public void Whoever_passes_all_it_sits_is_paid_whatever_its_neighbours_fail_with_it_and_pass_without_it()
    {
        var runs = Counts.Of(20_000, 2_000);
        for (var seed = 0; seed < runs; seed++)
        {
            var random = new Random(seed);
            var victim = Of(0, "victim", Network);
            var strangers = Enumerable.Range(1, random.Next(1, 6)).Select(number => Of(number, $"stranger {random.Next(3)}", Network)).ToArray();
            var results = new List<SlotResult>();
            // A slot of the network that all sit; those that come later only strangers sit, with nodes of theirs elsewhere, and pass. Sometimes more of the network's come between.
            for (var slot = 1; slot < 8; slot++)
            {
                var isNetworks = slot == 1 || random.Next(4) == 0;
                if (isNetworks) results.Add(Result(victim, slot, true));
                results.AddRange(strangers.Where(_ => slot == 1 || random.Next(3) > 0).Select(stranger => Result(stranger, slot, !isNetworks || random.Next(4) == 0)));
            }
            Assert.True(IsPaid(victim, [victim, .. strangers], results), $"Seed {seed}.");
        }
    }

    [Fact]
    public void A_neighbour_that_fails_beside_a_stranger_and_passes_beside_its_own_is_second()
    {
        Neighbour victim = Of(2, "victim", Network), beside = Of(1, "attacker", Network), elsewhere = Of(0, "attacker", "198.51.100.0/24");
        Neighbour[] all = [victim, beside, elsewhere];
        SlotResult[] results = [Result(victim, 1, true), Result(beside, 1, false), Result(beside, 2, true), Result(elsewhere, 2, true)];
        Assert.Equal([true, false, true], all.Select(node => IsPaid(node, all, results)));
        // Having passed beside each other they are two.
        results = [.. results, Result(victim, 3, true), Result(beside, 3, true)];
        Assert.All(all, node => Assert.True(IsPaid(node, all, results)));
    }

    [Fact]
    public void Three_that_outdo_each_other_in_a_ring_are_one()
    {
        Neighbour[] nodes = [Of(0), Of(1), Of(2)];
        SlotResult[] results =
        [
            Result(nodes[0], 1, true), Result(nodes[1], 1, false), Result(nodes[1], 2, true), Result(nodes[2], 2, false), Result(nodes[2], 3, true), Result(nodes[0], 3, false),
        ];
        Assert.Equal([false, false, true], nodes.Select(node => IsPaid(node, nodes, results)));
    }

    [Fact]
    public void Nodes_that_share_neither_account_nor_network_are_paid_each_by_itself()
    {
        Neighbour[] nodes = [Of(0, "a", "203.0.113.0/24"), Of(1, "b", "198.51.100.0/24"), Of(2, "c", ""), Of(3, "d", "")];
        Assert.All(nodes, node => Assert.True(IsPaid(node, nodes, [])));
        Neighbour[] neighbours = [Of(0, "a", "203.0.113.0/24"), Of(1, "b", "203.0.113.0/24")];
        Assert.Single(neighbours, node => IsPaid(node, neighbours, []));
    }

    [Fact]
    public void The_reason_names_the_owners_own_node_and_no_others_and_says_what_each_showed()
    {
        Neighbour[] nodes = [Of(0), Of(1)];
        Assert.Equal(
            "node nd_0 of the same account is paid, and nothing shows that this one is another machine: the two have not been challenged in the same moment yet",
            new SharedMachines([]).WhyUnpaid(nodes[1], [nodes[0]]));
        SlotResult[] results = [Result(nodes[0], 1, true), new SlotResult("nd_1", Noon.AddHours(1), false, "took 11.20 s of 6.25 s")];
        Assert.EndsWith(": when both were challenged at 2026-11-20 13:00:00Z, this one took 11.20 s of 6.25 s", new SharedMachines(results).WhyUnpaid(nodes[1], [nodes[0]]), StringComparison.Ordinal);
        results = [new SlotResult("nd_0", Noon.AddHours(1), false, "declined"), new SlotResult("nd_1", Noon.AddHours(1), false, "did not answer in time")];
        Assert.EndsWith("this one did not answer in time, and the other declined", new SharedMachines(results).WhyUnpaid(nodes[1], [nodes[0]]), StringComparison.Ordinal);
        Neighbour stranger = Of(0, "b", "203.0.113.0/24"), own = Of(1, "a", "203.0.113.0/24");
        Assert.StartsWith("another node of the same network is paid", new SharedMachines([]).WhyUnpaid(own, [stranger]), StringComparison.Ordinal);
    }

    private static bool IsPaid(Neighbour node, Neighbour[] nodes, IEnumerable<SlotResult> results)
        => new SharedMachines(results).WhyUnpaid(node, nodes.Where(other => other != node && other.IsBeside(node))) is null;

    private static Neighbour Of(int number, string account = "a", string network = "") => new($"nd_{number}", account, network);

    private static SlotResult Result(Neighbour node, int slot, bool passed) => new(node.NodeId, Noon.AddHours(slot), passed, passed ? "took 5.00 s of 6.25 s" : "took 10.00 s of 6.25 s");
}
