using Federation.Contracts.Models;

namespace Federation.Silo.Tests.StandinOnly;

public sealed class ModelPoolTests
{
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);

    // Enough for the two racers to run in either order, and with others in between.
    private const int Seeds = 40;

    [Fact]
    public void A_free_slot_is_granted_at_once() => Simulate(async pool =>
    {
        await pool.AnnounceAsync("a");
        var grant = await pool.AcquireAsync(job: "job_1");
        Assert.Equal((LeaseGrantStatus.Granted, "job_1.1", "a"), (grant.Status, grant.LeaseId, grant.Member?.SessionId));
        Assert.Equal(TimeSpan.Zero, grant.RetryAfter);
    });

    [Fact]
    public void A_node_with_the_model_in_memory_comes_first_then_the_emptiest_then_the_one_that_rested_longest() => Simulate(async pool =>
    {
        await pool.AnnounceAsync("cold", slots: 4, loaded: false);
        await pool.AnnounceAsync("warm", slots: 2);
        await pool.AnnounceAsync("wide", slots: 4);
        Assert.Equal(["warm", "wide", "wide", "warm", "wide", "wide", "cold"], await SessionsAsync(pool, 7));
    });

    [Fact]
    public void A_job_waits_for_a_slot_and_gets_it_when_one_is_given_back() => Simulate(async pool =>
    {
        await pool.AnnounceAsync("a");
        var first = await pool.AcquireAsync();
        var second = pool.AcquireAsync();
        await pool.SettleAsync();
        Assert.False(second.IsCompleted);

        await pool.Grain.Release(first.LeaseId, LeaseEnd.Finished);

        Assert.Equal("a", (await second).Member?.SessionId);
    });

    [Fact]
    public void A_job_may_come_before_the_first_node() => Simulate(async pool =>
    {
        var waiting = pool.AcquireAsync();
        await pool.PassAsync(20 * Second);
        Assert.False(waiting.IsCompleted);
        await pool.AnnounceAsync("a");
        Assert.Equal(LeaseGrantStatus.Granted, (await waiting).Status);
    });

    [Fact]
    public void Who_waits_is_served_by_weight_not_by_number_of_jobs() => Simulate(async pool =>
    {
        await pool.AnnounceAsync("a");
        var running = await pool.AcquireAsync(account: "someone");
        var served = new List<string>();
        var ends = new List<Task>();
        for (var job = 0; job < 30; job++) ends.Add(ServeAsync("free", 1));
        for (var job = 0; job < 30; job++) ends.Add(ServeAsync("unlimited", 4));

        await pool.Grain.Release(running.LeaseId, LeaseEnd.Finished);
        await Task.WhenAll(ends);

        Assert.InRange(served.Take(20).Count(account => account == "unlimited"), 15, 17);

        async Task ServeAsync(string account, double weight)
        {
            var grant = await pool.AcquireAsync(account, weight);
            served.Add(account);
            await pool.Grain.Release(grant.LeaseId, LeaseEnd.Finished);
        }
    });

    [Fact]
    public void Patience_ends_with_a_hint_when_to_come_back() => Simulate(async pool =>
    {
        await pool.AnnounceAsync("a");
        await pool.AcquireAsync();
        var started = pool.Time.Elapsed;
        var late = await pool.AcquireAsync(patience: 2 * Second);
        Assert.Equal(LeaseGrantStatus.TimedOut, late.Status);
        Assert.InRange(late.RetryAfter, Second, 60 * Second);
        Assert.InRange(pool.Time.Elapsed - started, 2 * Second, 2.1 * Second);
    });

    [Fact]
    public void Who_left_the_queue_takes_no_slot() => Simulate(async pool =>
    {
        await pool.AnnounceAsync("a");
        var running = await pool.AcquireAsync();
        using var gone = new CancellationTokenSource();
        var leaver = pool.AcquireAsync(cancellationToken: gone.Token);
        var impatient = pool.AcquireAsync(patience: Second);
        var stayer = pool.AcquireAsync();
        await pool.SettleAsync();
        SimulatedPool.Leave(gone);
        await pool.PassAsync(2 * Second);

        await pool.Grain.Release(running.LeaseId, LeaseEnd.Finished);

        Assert.Equal(LeaseGrantStatus.Granted, (await stayer).Status);
        Assert.Equal(LeaseGrantStatus.TimedOut, (await impatient).Status);
        await AssertNotGrantedAsync(leaver);
    });

    [Fact]
    public void A_slot_given_back_in_the_moment_patience_ends_is_not_lost() => ForSeeds(async pool =>
    {
        await pool.AnnounceAsync("a");
        var running = await pool.AcquireAsync();
        var waiting = pool.AcquireAsync(patience: 3 * Second);
        var release = pool.Scheduler.Start(async () =>
        {
            await pool.PassAsync(3 * Second);
            await pool.Grain.Release(running.LeaseId, LeaseEnd.Finished);
        });
        var grant = await waiting;
        await release;
        if (grant.Status is LeaseGrantStatus.Granted) await pool.Grain.Release(grant.LeaseId, LeaseEnd.Finished);
        await AssertFreeAsync(pool, 1);
    });

    [Fact]
    public void A_slot_given_back_in_the_moment_the_client_leaves_is_not_lost() => ForSeeds(async pool =>
    {
        await pool.AnnounceAsync("a");
        var running = await pool.AcquireAsync();
        using var gone = new CancellationTokenSource();
        var waiting = pool.AcquireAsync(job: "leaver", cancellationToken: gone.Token);
        await pool.SettleAsync();
        var release = pool.Scheduler.Start(() => pool.Grain.Release(running.LeaseId, LeaseEnd.Finished));
        var leave = pool.Scheduler.Start(() =>
        {
            SimulatedPool.Leave(gone);
            return Task.CompletedTask;
        });
        await Task.WhenAll(release, leave);
        await pool.SettleAsync();
        try
        {
            // A grant that was under way when the client left is the client's to give back.
            if ((await waiting) is { Status: LeaseGrantStatus.Granted } grant) await pool.Grain.Release(grant.LeaseId, LeaseEnd.Finished);
        }
        catch (OperationCanceledException)
        {
            // The caller heard of its own leaving first; the grant, if there was one, is given back unseen.
            await pool.Grain.Release("leaver.1", LeaseEnd.Finished);
        }
        await AssertFreeAsync(pool, 1);
    });

    [Fact]
    public void A_full_queue_turns_the_next_job_away_at_once() => Simulate(
        async pool =>
        {
            await pool.AnnounceAsync("a");
            await pool.AcquireAsync();
            _ = pool.AcquireAsync();
            _ = pool.AcquireAsync();
            await pool.SettleAsync();
            var before = pool.Time.Elapsed;
            var refused = await pool.AcquireAsync();
            Assert.Equal((LeaseGrantStatus.QueueFull, before), (refused.Status, pool.Time.Elapsed));
            Assert.True(refused.RetryAfter >= Second);
        },
        options => options.MaxWaiting = 2);

    [Fact]
    public void A_node_that_had_no_slot_after_all_is_asked_again_only_when_it_says_so() => Simulate(async pool =>
    {
        await pool.AnnounceAsync("a", slots: 2, version: 10);
        var refused = await pool.AcquireAsync();
        await pool.Grain.Release(refused.LeaseId, LeaseEnd.NoSlot);
        var waiting = pool.AcquireAsync();
        await pool.PassAsync(2 * Second);
        Assert.False(waiting.IsCompleted);

        await pool.AnnounceAsync("a", slots: 2, version: 9);
        await pool.AnnounceAsync("a", slots: 2, version: 10);
        await pool.SettleAsync();
        Assert.False(waiting.IsCompleted, "What was said before the refusal counted as news.");

        await pool.AnnounceAsync("a", slots: 2, free: 0, version: 11);
        await pool.SettleAsync();
        Assert.False(waiting.IsCompleted);

        await pool.AnnounceAsync("a", slots: 2, version: 12);
        Assert.Equal("a", (await waiting).Member?.SessionId);
    });

    [Fact]
    public void A_lost_node_gets_no_more_leases_and_whoever_excluded_the_others_hears_at_once() => Simulate(async pool =>
    {
        await pool.AnnounceAsync("a", slots: 1);
        await pool.AnnounceAsync("b", slots: 1);
        var onA = await pool.AcquireAsync(excluded: ["b"]);
        var onB = await pool.AcquireAsync();
        var hopeless = pool.AcquireAsync(excluded: ["b"]);
        var hopeful = pool.AcquireAsync();
        await pool.SettleAsync();
        var before = pool.Time.Elapsed;

        await pool.Grain.Release(onA.LeaseId, LeaseEnd.NodeLost);

        Assert.Equal((LeaseGrantStatus.NoNode, before), ((await hopeless).Status, pool.Time.Elapsed));
        Assert.False(hopeful.IsCompleted);
        await pool.Grain.Release(onB.LeaseId, LeaseEnd.Finished);
        Assert.Equal("b", (await hopeful).Member?.SessionId);
    });

    [Fact]
    public void A_node_whose_engine_failed_is_asked_after_the_others_for_a_while_and_alone_it_is_asked_as_ever() => Simulate(async pool =>
    {
        await pool.AnnounceAsync("a", slots: 1);
        var first = await pool.AcquireAsync();
        await pool.Grain.Release(first.LeaseId, LeaseEnd.EngineFailed);
        var alone = await pool.AcquireAsync();
        Assert.Equal("a", alone.Member?.SessionId);
        await pool.Grain.Release(alone.LeaseId, LeaseEnd.EngineFailed);
        // The one with the model in memory would come first.
        await pool.AnnounceAsync("b", slots: 1, loaded: false);
        Assert.Equal(["b", "a"], await SessionsAsync(pool, 2));
    });

    [Fact]
    public void An_answer_clears_the_failure_before_it() => Simulate(async pool =>
    {
        await pool.AnnounceAsync("a", slots: 1);
        foreach (var end in (LeaseEnd[])[LeaseEnd.EngineFailed, LeaseEnd.Finished]) await pool.Grain.Release((await pool.AcquireAsync()).LeaseId, end);
        await pool.AnnounceAsync("b", slots: 1, loaded: false);
        Assert.Equal(["a", "b"], await SessionsAsync(pool, 2));
    });

    [Fact]
    public void After_a_while_it_is_asked_as_the_others_and_a_client_that_left_is_no_failure() => Simulate(async pool =>
    {
        await pool.AnnounceAsync("a", slots: 1);
        await pool.AnnounceAsync("b", slots: 1, loaded: false);
        var failed = await pool.AcquireAsync();
        await pool.Grain.Release(failed.LeaseId, LeaseEnd.EngineFailed);
        await pool.PassAsync(15 * Second);
        await pool.AnnounceAsync("a", slots: 1);
        var again = await pool.AcquireAsync();
        Assert.Equal("a", again.Member?.SessionId);
        await pool.Grain.Release(again.LeaseId, LeaseEnd.Finished);
        Assert.Equal(["a", "b"], await SessionsAsync(pool, 2));
    });

    [Fact]
    public void When_a_node_withdraws_whoever_excluded_the_others_hears_at_once() => Simulate(async pool =>
    {
        await pool.AnnounceAsync("a", slots: 1, free: 0);
        await pool.AnnounceAsync("b", slots: 1, free: 0);
        var hopeless = pool.AcquireAsync(excluded: ["b"]);
        var hopeful = pool.AcquireAsync();
        await pool.SettleAsync();

        await pool.WithdrawAsync("a");

        Assert.Equal(LeaseGrantStatus.NoNode, (await hopeless).Status);
        await pool.SettleAsync();
        Assert.False(hopeful.IsCompleted);
    });

    [Fact]
    public void When_the_last_node_withdraws_everybody_may_hope_for_the_next_one() => Simulate(async pool =>
    {
        await pool.AnnounceAsync("a", slots: 1, free: 0);
        var waiting = pool.AcquireAsync();
        await pool.SettleAsync();
        await pool.WithdrawAsync("a");
        await pool.PassAsync(10 * Second);
        Assert.False(waiting.IsCompleted);
        await pool.AnnounceAsync("b");
        Assert.Equal("b", (await waiting).Member?.SessionId);
    });

    [Fact]
    public void Who_excludes_every_node_hears_it_without_waiting() => Simulate(async pool =>
    {
        await pool.AnnounceAsync("a");
        Assert.Equal(LeaseGrantStatus.NoNode, (await pool.AcquireAsync(excluded: ["a"])).Status);
        await AssertFreeAsync(pool, 1);
    });

    [Fact]
    public void A_silent_node_is_dropped_and_whoever_excluded_the_others_hears() => Simulate(
        async pool =>
        {
            await pool.AnnounceAsync("a", slots: 1, free: 0);
            var hopeless = pool.AcquireAsync(excluded: ["b"]);
            for (var period = 0; period < 4; period++)
            {
                await pool.AnnounceAsync("b", slots: 1, free: 0);
                await pool.PassAsync(3 * Second);
            }
            Assert.False(hopeless.IsCompleted, "The node was dropped before its silence was long enough.");
            await pool.AnnounceAsync("b", slots: 1, free: 0);
            await pool.PassAsync(6 * Second);
            Assert.Equal(LeaseGrantStatus.NoNode, (await hopeless).Status);
        },
        options => (options.AnnouncePeriod, options.SilentPeriods) = (3 * Second, 4));

    [Fact]
    public void A_lease_that_is_never_given_back_frees_its_slot_after_its_lifetime() => Simulate(
        async pool =>
        {
            await pool.AnnounceAsync("a");
            await pool.AcquireAsync();
            var waiting = pool.AcquireAsync();
            while (pool.Time.Elapsed < TimeSpan.FromSeconds(59))
            {
                await pool.PassAsync(Second);
                await pool.AnnounceAsync("a", slots: 1);
                Assert.False(waiting.IsCompleted, $"The slot was free after {pool.Time.Elapsed}.");
            }
            await pool.PassAsync(6 * Second);
            Assert.Equal(LeaseGrantStatus.Granted, (await waiting).Status);
        },
        options => options.LeaseLifetime = TimeSpan.FromMinutes(1));

    [Fact]
    public void Asking_again_for_the_same_attempt_takes_the_slot_only_once() => Simulate(async pool =>
    {
        await pool.AnnounceAsync("a", slots: 1);
        Assert.Equal("job_1.1", (await pool.AcquireAsync(job: "job_1")).LeaseId);
        Assert.Equal("job_1.1", (await pool.AcquireAsync(job: "job_1")).LeaseId);
        await AssertFreeAsync(pool, 0);
        await pool.Grain.Release("job_1.1", LeaseEnd.Finished);
        await AssertFreeAsync(pool, 1);
    });

    [Fact]
    public void Giving_a_lease_back_twice_frees_one_slot() => Simulate(async pool =>
    {
        await pool.AnnounceAsync("a", slots: 3);
        var first = await pool.AcquireAsync();
        await pool.AcquireAsync();
        await pool.Grain.Release(first.LeaseId, LeaseEnd.Finished);
        await pool.Grain.Release(first.LeaseId, LeaseEnd.NodeLost);
        await pool.Grain.Release("job of another hub.1", LeaseEnd.NodeLost);
        await AssertFreeAsync(pool, 2);
    });

    [Fact]
    public void All_engines_of_a_node_that_have_the_model_are_used() => Simulate(async pool =>
    {
        string[] engines = ["gpu0", "gpu1", "gpu2", "gpu3", "gpu4", "gpu5"];
        foreach (var engine in engines) await pool.AnnounceAsync("a", slots: 2, with: member => member with { Engine = engine });
        await AssertFreeAsync(pool, 12);
        var grants = new List<LeaseGrant>();
        for (var slot = 0; slot < 12; slot++) grants.Add(await pool.AcquireAsync());
        Assert.All(engines, engine => Assert.Equal(2, grants.Count(grant => grant.Member!.Engine == engine)));

        // What one says of itself is not the others': full, gone, back.
        foreach (var grant in grants) await pool.Grain.Release(grant.LeaseId, LeaseEnd.Finished);
        await pool.AnnounceAsync("a", slots: 2, free: 0, with: member => member with { Engine = "gpu0" });
        await AssertFreeAsync(pool, 10);
        await pool.WithdrawAsync("a", "gpu1");
        await AssertFreeAsync(pool, 8);
        await pool.AnnounceAsync("a", slots: 2, with: member => member with { Engine = "gpu1" });
        await AssertFreeAsync(pool, 10);
    });

    [Fact]
    public void A_node_that_is_lost_is_lost_with_all_its_engines() => Simulate(async pool =>
    {
        await pool.AnnounceAsync("b");
        var other = await pool.AcquireAsync();
        foreach (var engine in (string[])["gpu0", "gpu1"]) await pool.AnnounceAsync("a", with: member => member with { Engine = engine });
        await pool.Grain.Release((await pool.AcquireAsync()).LeaseId, LeaseEnd.NodeLost);
        await pool.Grain.Release(other.LeaseId, LeaseEnd.Finished);
        await AssertFreeAsync(pool, 1);
    });

    [Fact]
    public void A_session_that_comes_back_still_holds_what_it_was_given() => Simulate(async pool =>
    {
        await pool.AnnounceAsync("a", slots: 3);
        var kept = await pool.AcquireAsync();
        await pool.WithdrawAsync("a");
        await pool.AnnounceAsync("a", slots: 3);
        await AssertFreeAsync(pool, 2);
        await pool.Grain.Release(kept.LeaseId, LeaseEnd.Finished);
        await AssertFreeAsync(pool, 3);
    });

    [Fact]
    public void Fewer_slots_than_leases_means_none_is_free_until_enough_are_given_back() => Simulate(async pool =>
    {
        await pool.AnnounceAsync("a", slots: 3);
        var leases = new[] { await pool.AcquireAsync(), await pool.AcquireAsync(), await pool.AcquireAsync() };
        await pool.AnnounceAsync("a", slots: 1);
        var waiting = pool.AcquireAsync();
        await pool.Grain.Release(leases[0].LeaseId, LeaseEnd.Finished);
        await pool.Grain.Release(leases[1].LeaseId, LeaseEnd.Finished);
        await pool.SettleAsync();
        Assert.False(waiting.IsCompleted);
        await pool.Grain.Release(leases[2].LeaseId, LeaseEnd.Finished);
        Assert.Equal(LeaseGrantStatus.Granted, (await waiting).Status);
    });

    [Fact]
    public void A_pool_without_nodes_and_jobs_is_forgotten_and_comes_back_empty() => Simulate(async pool =>
    {
        await pool.AnnounceAsync("a", version: 100);
        await pool.PassAsync(TimeSpan.FromMinutes(1));
        // A new activation takes any version: what the old one heard is gone with it.
        await pool.AnnounceAsync("a", version: 1);
        Assert.Equal(LeaseGrantStatus.Granted, (await pool.AcquireAsync()).Status);
    });

    /// <summary>Exactly so many slots can be had now; leaves all as it was.</summary>
    internal static async Task AssertFreeAsync(SimulatedPool pool, int slots)
    {
        await pool.SettleAsync();
        var taken = new List<string>();
        for (var slot = 0; slot < slots; slot++)
        {
            var grant = await pool.AcquireAsync(patience: TimeSpan.FromMilliseconds(1));
            Assert.True(grant.Status is LeaseGrantStatus.Granted, $"Of {slots} slots only {slot} are free ({grant.Status}).");
            taken.Add(grant.LeaseId);
        }
        var excess = await pool.AcquireAsync(patience: TimeSpan.FromMilliseconds(1));
        Assert.True(excess.Status is LeaseGrantStatus.TimedOut, $"More than {slots} slots are free.");
        foreach (var leaseId in taken) await pool.Grain.Release(leaseId, LeaseEnd.Finished);
    }

    private static async Task AssertNotGrantedAsync(Task<LeaseGrant> waiting)
    {
        try
        {
            Assert.NotEqual(LeaseGrantStatus.Granted, (await waiting).Status);
        }
        catch (OperationCanceledException)
        {
            // The caller's own cancellation.
        }
    }

    private static async Task<string[]> SessionsAsync(SimulatedPool pool, int count)
    {
        var sessions = new string[count];
        for (var index = 0; index < count; index++) sessions[index] = (await pool.AcquireAsync()).Member!.SessionId;
        return sessions;
    }

    private static void Simulate(Func<SimulatedPool, Task> scene, Action<Silo.Models.PoolOptions>? configure = null)
    {
        using var pool = new SimulatedPool(seed: 1, configure);
        pool.Run(() => scene(pool));
    }

    private static void ForSeeds(Func<SimulatedPool, Task> scene)
    {
        for (var seed = 0; seed < Seeds; seed++)
        {
            using var pool = new SimulatedPool(seed);
            try
            {
                pool.Run(() => scene(pool));
            }
            catch (Exception exception)
            {
                Assert.Fail($"Seed {seed}: {exception}");
            }
        }
    }
}
