using Federation.Silo.Models;
using FsCheck;
using FsCheck.Fluent;

namespace Federation.Silo.Tests.Models;

public sealed class FairQueueTests
{
    private static readonly string[] Accounts = ["ann", "bob", "cleo", "dan"];

    // FsCheck prints the seed of a failure; give it to WithReplay to see the same day again.
    private static readonly Config Thorough = Config.QuickThrowOnFailure.WithMaxTest(500);

    private static readonly Arbitrary<Day> Days = Arb.From(
        from weights in Gen.Choose(1, 8).ArrayOf(Accounts.Length)
        from events in Gen.Frequency(
            (5, from account in Gen.Choose(0, Accounts.Length - 1) select new Event(EventKind.Arrive, account)),
            (4, Gen.Constant(new Event(EventKind.Serve, 0))),
            (2, from pick in Gen.Choose(0, 1_000) select new Event(EventKind.Leave, pick))).ListOf(200)
        select new Day(weights, [.. events]));

    [Fact]
    public void Accounts_that_keep_waiting_are_served_in_proportion_to_their_weights() => Check.One(Thorough, Prop.ForAll(Days, day =>
    {
        var lanes = Accounts.Select((_, index) => new Lane(day.Weights[index])).ToArray();
        var fairness = new Fairness(lanes);
        Live(day, served: item => lanes[item.Account].Served++, after: queue =>
        {
            for (var index = 0; index < lanes.Length; index++) lanes[index].Waits = queue.InOrder().Any(item => item.Account == index);
            fairness.Check();
        });
    }));

    [Fact]
    public void Within_an_account_first_come_is_first_served() => Check.One(Thorough, Prop.ForAll(Days, day =>
    {
        var last = new int[Accounts.Length];
        Live(day, served: item =>
        {
            Assert.True(item.Number > last[item.Account], $"{item} was served after number {last[item.Account]}.");
            last[item.Account] = item.Number;
        });
    }));

    [Fact]
    public void Nobody_waits_longer_than_the_weights_allow() => Check.One(Thorough, Prop.ForAll(Days, day =>
    {
        // A newcomer with n of its own in front waits at most for everyone else's share of n + 1 turns, and one turn more of each.
        var waiting = new Dictionary<Item, (int InFront, int[] OthersServed)>();
        Live(
            day,
            arrived: (item, queue) => waiting[item] = (queue.InOrder().Count(other => other.Account == item.Account) - 1, new int[Accounts.Length]),
            served: item =>
            {
                waiting.Remove(item);
                foreach (var (other, (inFront, served)) in waiting)
                {
                    served[item.Account]++;
                    var allowed = ((inFront + 1.0) * day.Weights[item.Account] / day.Weights[other.Account]) + 2;
                    Assert.True(item.Account == other.Account || served[item.Account] <= allowed, $"{other} saw {served[item.Account]} of {Accounts[item.Account]} pass; {allowed:0.0} are fair.");
                }
            },
            left: item => waiting.Remove(item));
    }));

    [Fact]
    public void What_arrived_is_served_or_left_and_nothing_twice() => Check.One(Thorough, Prop.ForAll(Days, day =>
    {
        var present = new HashSet<Item>();
        Live(
            day,
            arrived: (item, _) => Assert.True(present.Add(item)),
            served: item => Assert.True(present.Remove(item)),
            left: item => Assert.True(present.Remove(item)),
            after: queue =>
            {
                Assert.Equal(present.Count, queue.Count);
                Assert.True(present.SetEquals(queue.InOrder()));
            });
    }));

    [Fact]
    public void An_account_that_gave_up_many_jobs_has_not_used_their_turns()
    {
        var queue = new FairQueue<Item>();
        for (var number = 0; number < 10; number++) queue.Enqueue(new Item(1, number), "bob", 1);
        for (var number = 0; number < 100; number++) queue.Enqueue(new Item(0, number), "ann", 1);
        for (var number = 0; number < 100; number++) Assert.True(queue.Remove(new Item(0, number)));
        queue.Enqueue(new Item(0, 100), "ann", 1);

        var order = queue.InOrder().ToList();

        Assert.Equal(1, order.IndexOf(new Item(0, 100)));
    }

    [Fact]
    public void With_random_arrivals_every_accounts_share_is_within_a_twentieth_of_its_weight()
    {
        for (var seed = 0; seed < 20; seed++)
        {
            var random = new Random(seed);
            var weights = Accounts.Select(_ => (double)random.Next(1, 9)).ToArray();
            var (queue, served, waiting, number) = (new FairQueue<Item>(), new int[Accounts.Length], new int[Accounts.Length], 0);
            for (var turn = 0; turn < 4_000; turn++)
            {
                // Bursts of any size, each account at its own pace, and none of them ever idle: that is when shares mean something.
                for (var account = 0; account < Accounts.Length; account++)
                {
                    for (var more = waiting[account] == 0 ? 1 + random.Next(5) : random.Next(10) == 0 ? random.Next(40) : 0; more > 0; more--, waiting[account]++) queue.Enqueue(new Item(account, ++number), Accounts[account], weights[account]);
                }
                Assert.True(queue.TryDequeue(_ => true, out var item));
                served[item.Account]++;
                waiting[item.Account]--;
            }
            for (var account = 0; account < Accounts.Length; account++)
            {
                var due = 4_000 * weights[account] / weights.Sum();
                Assert.True(Math.Abs(served[account] - due) <= due / 20, $"Seed {seed}: {Accounts[account]} of weight {weights[account]} had {served[account]} turns; {due:0} were due.");
            }
        }
    }

    [Theory]
    [InlineData(1, 1, 1)]
    [InlineData(8, 1, 8)]
    public void A_thousand_requests_of_one_account_do_not_delay_anothers_one(double weightOfMany, double weightOfOne, int turnsBefore)
    {
        var queue = new FairQueue<Item>();
        for (var number = 1; number <= 1_000; number++) queue.Enqueue(new Item(0, number), "many", weightOfMany);
        for (var turn = 0; turn < 100; turn++) Assert.True(queue.TryDequeue(_ => true, out _));
        queue.Enqueue(new Item(1, 1), "one", weightOfOne);
        var before = 0;
        while (queue.TryDequeue(_ => true, out var item) && item.Account != 1) before++;
        Assert.InRange(before, 0, turnsBefore);
    }

    [Fact]
    public void Nobody_starves_whatever_the_weights_and_ageing_gives_one_turn_and_not_the_house()
    {
        var age = TimeSpan.FromSeconds(20);
        var queue = new FairQueue<Item>(age);
        var number = 0;
        for (var count = 0; count < 500; count++) queue.Enqueue(new Item(0, ++number), "heavy", 1_000, TimeSpan.Zero);
        for (var count = 0; count < 50; count++) queue.Enqueue(new Item(1, ++number), "light", 0.001, TimeSpan.Zero);
        // One is served each second. Of two that come together one goes first; the light one's next turns come by age alone.
        var turns = new List<int>();
        for (var second = 1; second <= 200; second++)
        {
            Assert.True(queue.TryDequeue(_ => true, out var item, TimeSpan.FromSeconds(second)));
            if (item.Account == 1) turns.Add(second);
        }
        Assert.InRange(turns.Count, 200 / 20 - 1, (200 / 20) + 1);
        Assert.All(turns.Zip(turns.Skip(1)), pair => Assert.True(pair.Second - pair.First <= 21, $"{pair}"));
    }

    [Fact]
    public void An_account_that_cannot_be_served_now_does_not_keep_others_from_it_by_its_age()
    {
        var queue = new FairQueue<Item>(TimeSpan.FromSeconds(20));
        queue.Enqueue(new Item(0, 1), "choosy", 1, TimeSpan.Zero);
        queue.Enqueue(new Item(1, 1), "other", 1, TimeSpan.FromSeconds(90));
        Assert.True(queue.TryDequeue(item => item.Account == 1, out var served, TimeSpan.FromSeconds(100)));
        Assert.Equal(1, served.Account);
        Assert.False(queue.TryDequeue(item => item.Account == 1, out _, TimeSpan.FromSeconds(101)));
        Assert.True(queue.TryDequeue(_ => true, out served, TimeSpan.FromSeconds(102)));
        Assert.Equal(0, served.Account);
    }

    [Fact]
    public void An_idle_account_does_not_save_up_turns()
    {
        var queue = new FairQueue<Item>();
        for (var number = 0; number < 30; number++) queue.Enqueue(new Item(1, number), "bob", 1);
        for (var served = 0; served < 20; served++) Assert.True(queue.TryDequeue(_ => true, out _));

        for (var number = 0; number < 10; number++) queue.Enqueue(new Item(0, number), "ann", 1);

        Assert.Equal(2, queue.InOrder().Take(4).Count(item => item.Account == 0));
    }

    [Fact]
    public void Whoever_cannot_be_served_now_keeps_the_place_in_front()
    {
        var queue = new FairQueue<Item>();
        for (var number = 0; number < 3; number++) queue.Enqueue(new Item(0, number), "ann", 1);

        Assert.True(queue.TryDequeue(item => item.Number > 0, out var first));
        Assert.True(queue.TryDequeue(_ => true, out var second));

        Assert.Equal((1, 0), (first!.Number, second!.Number));
        Assert.False(queue.TryDequeue(item => item.Number == 7, out _));
        Assert.Equal(1, queue.Count);
    }

    [Fact]
    public void An_item_that_is_not_there_is_not_removed()
    {
        var queue = new FairQueue<Item>();
        queue.Enqueue(new Item(0, 1), "ann", 1);
        Assert.False(queue.Remove(new Item(0, 2)));
        Assert.True(queue.Remove(new Item(0, 1)));
        Assert.False(queue.Remove(new Item(0, 1)));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    public void A_weight_must_be_above_zero(double weight)
        => Assert.Throws<ArgumentOutOfRangeException>(() => new FairQueue<Item>().Enqueue(new Item(0, 0), "ann", weight));

    [Fact]
    public void Accounts_that_have_come_and_gone_are_forgotten_though_the_queue_never_empties()
    {
        var queue = new FairQueue<Item>();
        queue.Enqueue(new Item(0, 0), "ann", 1);
        var most = 0;
        for (var number = 1; number < 10_000; number++)
        {
            queue.Enqueue(new Item(0, number), "ann", 1);
            queue.Enqueue(new Item(1, number), $"passer-by {number}", 1);
            Assert.True(queue.TryDequeue(_ => true, out _));
            Assert.True(queue.TryDequeue(_ => true, out _));
            most = Math.Max(most, queue.RememberedAccounts);
        }
        Assert.Equal(1, queue.Count);
        Assert.True(most < 200, $"{most} accounts were remembered, and one waits.");
    }

    private static void Live(
        Day day, Action<Item>? served = null, Action<FairQueue<Item>>? after = null, Action<Item, FairQueue<Item>>? arrived = null, Action<Item>? left = null)
    {
        var queue = new FairQueue<Item>();
        var number = 0;
        foreach (var (kind, choice) in day.Events)
        {
            switch (kind)
            {
                case EventKind.Arrive:
                    var arrival = new Item(choice, ++number);
                    queue.Enqueue(arrival, Accounts[choice], day.Weights[choice]);
                    arrived?.Invoke(arrival, queue);
                    break;
                case EventKind.Leave when queue.Count > 0:
                    var leaver = queue.InOrder().ElementAt(choice % queue.Count);
                    Assert.True(queue.Remove(leaver));
                    left?.Invoke(leaver);
                    break;
                case EventKind.Serve when queue.TryDequeue(_ => true, out var next):
                    served?.Invoke(next);
                    break;
                default:
                    break;
            }
            after?.Invoke(queue);
        }
    }

    private enum EventKind
    {
        Arrive,
        Serve,
        Leave,
    }

    private sealed record Event(EventKind Kind, int Choice);

    private sealed record Item(int Account, int Number);

    private sealed record Day(int[] Weights, Event[] Events)
    {
        public override string ToString() => $"weights {string.Join(',', Weights)}: {string.Join(' ', Events.Select(step => $"{step.Kind}{step.Choice}"))}";
    }

    private sealed class Lane(int weight)
    {
        public int Weight => weight;

        public int Served { get; set; }

        public bool Waits { get; set; }
    }

    /// <summary>
    /// The law of start-time fair queueing: while two accounts both wait all the time, what each got per weight differs by at
    /// most one turn of each.
    /// </summary>
    private sealed class Fairness(Lane[] lanes)
    {
        private readonly Dictionary<(int, int), (double Least, double Most)> _differences = [];

        public void Check()
        {
            for (var one = 0; one < lanes.Length; one++)
            {
                for (var other = one + 1; other < lanes.Length; other++) CheckPair(one, other);
            }
        }

        private void CheckPair(int one, int other)
        {
            var (a, b) = (lanes[one], lanes[other]);
            if (!a.Waits || !b.Waits)
            {
                _differences.Remove((one, other));
                return;
            }
            var difference = ((double)a.Served / a.Weight) - ((double)b.Served / b.Weight);
            var (least, most) = _differences.GetValueOrDefault((one, other), (difference, difference));
            (least, most) = (Math.Min(least, difference), Math.Max(most, difference));
            _differences[(one, other)] = (least, most);
            var allowed = (1.0 / a.Weight) + (1.0 / b.Weight) + 1e-9;
            Assert.True(most - least <= allowed, $"{Accounts[one]} (weight {a.Weight}) and {Accounts[other]} (weight {b.Weight}) drifted apart by {most - least:0.00}; {allowed:0.00} is fair.");
        }
    }
}
