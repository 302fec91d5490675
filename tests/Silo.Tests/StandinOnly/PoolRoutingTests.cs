using Federation.Contracts.Models;
using Federation.Contracts.Nodes;
using Federation.Silo.Accounts;
using static Federation.Silo.Tests.StandinOnly.SimulatedPool;

namespace Federation.Silo.Tests.StandinOnly;

/// <summary>Which node a pool gives to whom.</summary>
public sealed class PoolRoutingTests
{
    [Fact]
    public void The_next_turn_of_a_conversation_goes_where_the_one_before_was_read_while_that_node_is_free() => Simulate(async pool =>
    {
        await pool.AnnounceAsync("a", slots: 2);
        await pool.AnnounceAsync("b", slots: 2);
        var first = await pool.AcquireAsync(with: request => request with { Prefixes = [1, 2, 3] });
        var home = first.Member!.SessionId;
        var second = await pool.AcquireAsync(with: request => request with { Prefixes = [1, 2, 3, 4] });
        Assert.Equal((home, "same conversation"), (second.Member!.SessionId, second.Why));
        Assert.NotEqual(home, (await pool.AcquireAsync(with: request => request with { Prefixes = [1, 2, 3, 5] })).Member!.SessionId);
        await pool.Grain.Release(second.LeaseId, LeaseEnd.NodeLost);
        Assert.NotEqual(home, (await pool.AcquireAsync(with: request => request with { Prefixes = [1, 2, 3, 4, 5] })).Member!.SessionId);
    });

    [Fact]
    public void A_faster_node_is_preferred_once_it_has_been_measured() => Simulate(async pool =>
    {
        await pool.AnnounceAsync("a", slots: 4);
        await pool.AnnounceAsync("b", slots: 4);
        var (one, two) = (await pool.AcquireAsync(), await pool.AcquireAsync());
        await pool.Grain.Release(one.LeaseId, LeaseEnd.Finished, 20);
        await pool.Grain.Release(two.LeaseId, LeaseEnd.Finished, 90);
        for (var again = 0; again < 4; again++) Assert.Equal(two.Member!.SessionId, (await pool.AcquireAsync()).Member!.SessionId);
        Assert.Equal(one.Member!.SessionId, (await pool.AcquireAsync()).Member!.SessionId);
    });

    [Theory]
    [InlineData(Privacy.Any, "a b c d")]
    [InlineData(Privacy.Trusted, "b c d")]
    [InlineData(Privacy.Own, "d")]
    public void Privacy_is_kept(Privacy privacy, string allowed) => Simulate(async pool =>
    {
        await pool.AnnounceAsync("a", with: member => member with { AccountId = "acct_1" });
        await pool.AnnounceAsync("b", with: member => member with { AccountId = "acct_2", Standing = Standing.Trusted });
        await pool.AnnounceAsync("c", with: member => member with { AccountId = OperatorAccount.AccountId });
        await pool.AnnounceAsync("d", with: member => member with { AccountId = "acct_me" });
        var granted = new List<string>();
        foreach (var _ in allowed.Split(' ')) granted.Add((await pool.AcquireAsync(with: Mine)).Member!.SessionId);
        Assert.Equal(allowed.Split(' '), granted.Order(StringComparer.Ordinal));
        // The others are free, and nobody may have them: whoever waits, waits for one that he may have.
        var waiting = pool.AcquireAsync(with: Mine);
        await pool.SettleAsync();
        Assert.False(waiting.IsCompleted);

        LeaseRequest Mine(LeaseRequest request) => request with { Privacy = privacy, Caller = "acct_me" };
    });

    [Fact]
    public void Who_may_have_no_node_at_all_hears_so_at_once_and_which_there_are() => Simulate(async pool =>
    {
        await pool.AnnounceAsync("a", with: member => member with { AccountId = "acct_1" });
        var grant = await pool.AcquireAsync(with: request => request with { Privacy = Privacy.Own, Caller = "acct_me" });
        Assert.Equal(LeaseGrantStatus.NotAllowed, grant.Status);
        Assert.Equal((NodeOf("a"), "privacy"), (grant.Candidates.Single().NodeId, grant.Candidates.Single().Verdict));
        grant = await pool.AcquireAsync(with: request => request with { Sources = new NodeSources(0, -1) });
        Assert.Equal((LeaseGrantStatus.NotAllowed, "source not allowed"), (grant.Status, grant.Candidates.Single().Verdict));
    });

    [Fact]
    public void Whoever_waits_for_a_node_of_his_own_hears_so_when_the_last_one_leaves() => Simulate(async pool =>
    {
        await pool.AnnounceAsync("mine", with: member => member with { AccountId = "acct_me" });
        await pool.AnnounceAsync("other", with: member => member with { AccountId = "acct_1" });
        await pool.AcquireAsync(with: Mine);
        var waiting = pool.AcquireAsync(with: Mine);
        await pool.SettleAsync();
        await pool.WithdrawAsync("mine");
        Assert.Equal(LeaseGrantStatus.NotAllowed, (await waiting).Status);

        static LeaseRequest Mine(LeaseRequest request) => request with { Privacy = Privacy.Own, Caller = "acct_me" };
    });

    [Fact]
    public void Where_one_engine_failed_another_node_is_asked_first_and_then_the_others_of_the_same() => Simulate(async pool =>
    {
        foreach (var engine in (string[])["gpu0", "gpu1", "gpu2"]) await pool.AnnounceAsync("a", with: member => member with { Engine = engine });
        await pool.AnnounceAsync("ab", loaded: false);
        var tried = new List<string> { "a/gpu1" };
        for (var attempt = 0; attempt < 3; attempt++)
        {
            var grant = await pool.AcquireAsync(excluded: [.. tried]);
            Assert.Equal(LeaseGrantStatus.Granted, grant.Status);
            tried.Add(grant.Member!.Id);
            await pool.Grain.Release(grant.LeaseId, LeaseEnd.EngineFailed);
        }
        Assert.Equal(("ab/ollama", "a/gpu0 a/gpu2"), (tried[1], string.Join(' ', tried.Skip(2).Order(StringComparer.Ordinal))));
        var none = await pool.AcquireAsync(excluded: [.. tried]);
        Assert.Equal((LeaseGrantStatus.NoNode, 4), (none.Status, none.Candidates.Count(candidate => candidate.Verdict == "failed before")));
        // A session that is excluded is so with all its engines.
        Assert.Equal("ab", (await pool.AcquireAsync(excluded: ["a"])).Member!.SessionId);
    });

    [Fact]
    public void By_naming_many_engines_a_node_has_no_more_turns() => Simulate(async pool =>
    {
        await pool.AnnounceAsync("b");
        for (var engine = 0; engine < 16; engine++) await pool.AnnounceAsync("a", with: member => member with { Engine = $"gpu{engine}" });
        var granted = new List<PoolMember>();
        for (var turn = 0; turn < 32; turn++)
        {
            var grant = await pool.AcquireAsync();
            granted.Add(grant.Member!);
            await pool.Grain.Release(grant.LeaseId, LeaseEnd.Finished);
        }
        Assert.Equal(16, granted.Count(member => member.SessionId == "b"));
        // And each of them has its turn of the node's.
        Assert.Equal(16, granted.Where(member => member.SessionId == "a").Select(member => member.Engine).Distinct().Count());
        // Nor by naming one more.
        await pool.AnnounceAsync("a", with: member => member with { Engine = "another" });
        var last = granted[^1].SessionId;
        Assert.NotEqual(last, (await pool.AcquireAsync()).Member!.SessionId);
    });

    [Fact]
    public void Sources_come_in_their_order_and_the_next_only_when_the_one_before_is_full() => Simulate(async pool =>
    {
        await pool.AnnounceAsync("theirs", slots: 4, with: member => member with { AccountId = "acct_1" });
        await pool.AnnounceAsync("own", slots: 2, loaded: false, with: member => member with { AccountId = OperatorAccount.AccountId });
        var granted = new List<string>();
        for (var number = 0; number < 3; number++) granted.Add((await pool.AcquireAsync(with: request => request with { Sources = new NodeSources(0, 1) })).Member!.SessionId);
        Assert.Equal(["own", "own", "theirs"], granted);
    });

    [Fact]
    public void A_begun_answer_goes_to_an_engine_that_goes_on_and_to_the_same_weights_before_those_of_its_account_who_wait() => Simulate(async pool =>
    {
        await pool.AnnounceAsync("old", slots: 2);
        await pool.AnnounceAsync("other", with: Able("sha256:other"));
        await pool.AnnounceAsync("same", with: Able("sha256:same"));
        Assert.Equal("same", (await pool.AcquireAsync(with: Begun)).Member!.SessionId);
        var refused = pool.AcquireAsync(with: request => Begun(request) with { Excluded = ["same"] });
        var heard = await refused;
        Assert.Equal(LeaseGrantStatus.NoNode, heard.Status);
        Assert.Equal(["cannot go on with a begun answer", "failed before", "other weights"], heard.Candidates.Select(candidate => candidate.Verdict).Order(StringComparer.Ordinal));

        var others = new List<Task<LeaseGrant>>();
        for (var number = 0; number < 20; number++) others.Add(pool.AcquireAsync(with: request => request with { Excluded = ["old", "other"] }));
        var begun = pool.AcquireAsync(job: "late", with: Begun);
        await pool.SettleAsync();
        await pool.Grain.Release("job1.1", LeaseEnd.Finished);
        await pool.SettleAsync();
        // At most one of its account, which came before, is served first.
        if (!begun.IsCompleted)
        {
            await pool.Grain.Release((await await Task.WhenAny(others)).LeaseId, LeaseEnd.Finished);
            await pool.SettleAsync();
        }
        Assert.True(begun.IsCompletedSuccessfully);

        static LeaseRequest Begun(LeaseRequest request) => request with { Continues = true, Digest = "sha256:same" };
        static Func<PoolMember, PoolMember> Able(string digest) => member => member with { Model = member.Model with { Digest = digest, Continues = ["chat"] } };
    });

    [Fact]
    public void Who_waits_can_ask_where_it_stands_and_how_long_it_may_take() => Simulate(async pool =>
    {
        await pool.AnnounceAsync("a", slots: 2);
        var (one, _) = (await pool.AcquireAsync(account: "ann"), await pool.AcquireAsync(account: "ann"));
        var waiting = Enumerable.Range(0, 4).Select(number => pool.AcquireAsync(account: "ann", job: $"w{number}")).ToArray();
        await pool.SettleAsync();
        Assert.Equal(new QueuePlace(3, null, "a free slot"), await pool.Grain.Locate("w2.1"));
        await pool.PassAsync(TimeSpan.FromSeconds(6));
        await pool.Grain.Release(one.LeaseId, LeaseEnd.Finished);
        await pool.SettleAsync();
        Assert.True(waiting[0].IsCompletedSuccessfully);
        Assert.Null(await pool.Grain.Locate("w0.1"));
        // Two are served at once, and each takes about six seconds.
        var etas = new List<int>();
        for (var number = 1; number <= 3; number++) etas.Add((int)Math.Round((await pool.Grain.Locate($"w{number}.1"))!.Eta!.Value.TotalSeconds));
        Assert.Equal([6, 6, 12], etas);
        await pool.WithdrawAsync("a");
        Assert.Equal(new QueuePlace(1, null, "a node with the model"), await pool.Grain.Locate("w1.1"));
    });

    [Fact]
    public void When_full_the_hint_when_to_come_back_goes_by_what_answers_took() => Simulate(async pool =>
    {
        await pool.AnnounceAsync("a");
        var first = await pool.AcquireAsync();
        await pool.PassAsync(TimeSpan.FromSeconds(9));
        await pool.Grain.Release(first.LeaseId, LeaseEnd.Finished);
        await pool.AcquireAsync();
        var grant = await pool.AcquireAsync(patience: TimeSpan.FromSeconds(1));
        Assert.Equal((LeaseGrantStatus.TimedOut, 9), (grant.Status, (int)Math.Round(grant.RetryAfter.TotalSeconds)));
    });

    private static void Simulate(Func<SimulatedPool, Task> scene)
    {
        using var pool = new SimulatedPool(seed: 1);
        pool.Run(() => scene(pool));
    }
}
