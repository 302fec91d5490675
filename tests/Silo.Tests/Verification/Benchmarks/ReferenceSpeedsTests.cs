using Federation.Contracts.Nodes;
using Federation.Silo.Storage;
using Federation.Silo.Tests.Fakes;
using Federation.Silo.Tests.Storage;
using Federation.Silo.Verification;
using Federation.Silo.Verification.Benchmarks;
using static Microsoft.Extensions.Options.Options;

namespace Federation.Silo.Tests.Verification.Benchmarks;

public sealed class ReferenceSpeedsTests(SqliteTestDatabase database) : IClassFixture<SqliteTestDatabase>
{
    [Fact]
    public async Task All_who_ask_at_once_share_one_reading_and_it_is_read_anew_when_it_is_old()
    {
        await using var hub = await TestHub.StartAsync(database);
        var clock = new TestClock();
        var reads = new CountedReads(clock);
        var speeds = Speeds(hub, new SpeedStore(hub.Database), reads);
        Assert.False((await speeds.FindAsync("cpu", "w", 0, "acct_payee", default)).IsMeasured);
        await MeasureAsync(hub, accounts: 5);
        // What was read before holds for its time.
        Assert.All(await AskAsync(), speed => Assert.False(speed.IsMeasured));
        Assert.Equal(1, reads.Count);
        clock.Advance(new BenchmarkOptions().MedianAge);
        Assert.All(await AskAsync(), speed => Assert.Equal(5, speed.Accounts));
        Assert.Equal(2, reads.Count);

        Task<ReferenceSpeed[]> AskAsync() => Task.WhenAll(Enumerable.Range(0, 50).Select(_ => speeds.FindAsync("cpu", "w", 0, "acct_payee", default).AsTask()));
    }

    [Fact]
    public async Task A_reading_that_failed_is_no_answer_to_the_next_who_asks()
    {
        await using var hub = await TestHub.StartAsync(database);
        var speeds = Speeds(hub, new SpeedStore(hub.Database), new TestClock());
        await RenameAsync("node_speeds", "node_speeds_away");
        await Assert.ThrowsAsync<StorageException>(() => speeds.FindAsync("cpu", "v", 0, "acct_payee", default).AsTask());
        await RenameAsync("node_speeds_away", "node_speeds");
        Assert.Equal(0, (await speeds.FindAsync("cpu", "v", 0, "acct_payee", default)).Accounts);

        Task RenameAsync(string from, string to) => hub.Database.WriteAsync(
            (connection, transaction) => Dapper.SqlMapper.ExecuteAsync(connection, $"ALTER TABLE {from} RENAME TO {to}", transaction: transaction), default);
    }

    private static async Task MeasureAsync(TestHub hub, int accounts)
    {
        for (var account = 0; account < accounts; account++)
        {
            var node = await hub.EnrolAsync();
            await node.Grain.RecordChallenge(
                new ChallengeReport($"rs_{account}", "MM+MEM+IB", ChallengeOutcome.Passed, "cpu", "Measured.", string.Empty) { Speed = new SpeedReport("w", "w", 270_000, 6_000_000) });
            await node.Grain.SetStanding(Standing.Trusted);
        }
    }

    private static ReferenceSpeeds Speeds(TestHub hub, SpeedStore store, TimeProvider time)
        => new(store, new HardwareClasses(Create(new HardwareClassOptions())), hub.Sizes, Create(new BenchmarkOptions()), time);

    /// <summary>A clock that is asked for the date once a reading.</summary>
    private sealed class CountedReads(TestClock clock) : TimeProvider
    {
        private int _count;

        public int Count => Volatile.Read(ref _count);

        public override long TimestampFrequency => clock.TimestampFrequency;

        public override long GetTimestamp() => clock.GetTimestamp();

        public override DateTimeOffset GetUtcNow()
        {
            Interlocked.Increment(ref _count);
            return clock.GetUtcNow();
        }
    }
}
