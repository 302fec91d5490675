using Federation.Contracts.Nodes;
using Federation.Protocol.Challenges;
using Federation.Protocol.V1;
using Federation.Silo.Tests.Fakes;
using Federation.Silo.Tests.Storage;
using Federation.Silo.Verification;
using Federation.Silo.Verification.Benchmarks;
using Federation.Silo.Verification.Challenges;
using Google.Protobuf;
using Microsoft.Extensions.Logging.Abstractions;
using static Microsoft.Extensions.Options.Options;
using ChallengeOutcome = Federation.Contracts.Nodes.ChallengeOutcome;

namespace Federation.Silo.Tests.Verification.Challenges;

public sealed class NodeChallengesTests(SqliteTestDatabase database) : IClassFixture<SqliteTestDatabase>
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

    [Theory]
    [InlineData(null, nameof(BenchmarkLack.Refused), "cpu", true)]
    [InlineData(null, nameof(BenchmarkLack.Undecided), "cpu", true)]
    [InlineData(null, nameof(BenchmarkLack.NothingToAsk), "rtx-4090-24gb", false)]
    [InlineData("cpu", nameof(BenchmarkLack.Refused), "cpu", false)]
    [InlineData("cpu", nameof(BenchmarkLack.NothingToAsk), "cpu", false)]
    [InlineData("rtx-3060-12gb", nameof(BenchmarkLack.Undecided), "rtx-3060-12gb", false)]
    [InlineData("rtx-4090-24gb", nameof(BenchmarkLack.Undecided), "rtx-4090-24gb", false)]
    [InlineData("rtx-4090-24gb", nameof(BenchmarkLack.NothingToAsk), "rtx-4090-24gb", false)]
    public void A_new_node_is_paid_as_the_least_class_until_it_has_answered_a_benchmark_if_it_has_anything_to_answer_with(string? paidBefore, string lack, string paid, bool isProvisional)
    {
        var classes = new HardwareClasses(Create(new HardwareClassOptions()));
        const string measured = "rtx-4090-24gb";
        var known = paidBefore is null ? null : new MeasuredClasses(measured, paidBefore);
        Assert.Equal((paid, isProvisional), NodeChallenges.WithoutBenchmark(classes.Find(measured), known, Enum.Parse<BenchmarkLack>(lack), classes.Find(classes.Fallback), classes));
    }

    [Theory]
    [InlineData("declines")]
    [InlineData("hangs up")]
    public async Task A_measured_node_that_declines_or_hangs_up_three_times_in_a_row_is_paid_as_the_least_class(string how)
    {
        await using var hub = await TestHub.StartAsync(database);
        await hub.EpochClosing.LookAsync(default);
        var node = await hub.EnrolAsync();
        await node.Grain.RecordChallenge(new ChallengeReport($"sat_{node.Id}", "MM+MEM", ChallengeOutcome.Passed, "a100-80gb", "Rented.", ""));
        for (var sitting = 1; sitting <= 3; sitting++)
        {
            await SitAsync(hub, node, how);
            Assert.Equal(sitting == 3, (await node.Grain.GetMeasuredClasses())!.HasLapsed);
        }
        Assert.Equal("cpu", (await node.Grain.GetView())!.HardwareClass);
    }

    [Theory]
    [InlineData("declines while paused")]
    [InlineData("declines at work")]
    [InlineData("is told to go")]
    public async Task A_node_that_is_paused_or_works_or_whose_hub_stops_has_declined_nothing(string how)
    {
        await using var hub = await TestHub.StartAsync(database);
        await hub.EpochClosing.LookAsync(default);
        var node = await hub.EnrolAsync();
        await node.Grain.RecordChallenge(new ChallengeReport($"sat_{node.Id}", "MM+MEM", ChallengeOutcome.Passed, "a100-80gb", "Measured.", ""));
        for (var sitting = 1; sitting <= 4; sitting++) await SitAsync(hub, node, how);
        Assert.False((await node.Grain.GetMeasuredClasses())!.HasLapsed);
        Assert.Equal(0, (await hub.Verification.FindStandingAsync(node.Id, default, default))!.Declines);
    }

    /// <summary>One connection with one sitting.</summary>
    private static async Task SitAsync(TestHub hub, Fakes.TestNode node, string how)
    {
        await using var line = new ScriptedSession(node.Id["nd_".Length..]).Start();
        if (how == "declines while paused") line.Say(Says.Paused());
        if (how == "declines at work") line.Assign();
        await line.HeardAsync();
        // Nothing but its first round comes, however long the test takes.
        var schedule = new ChallengeScheduleOptions
        {
            FirstAfter = TimeSpan.Zero,
            MeanPeriod = TimeSpan.FromMilliseconds(1),
            AgainAfter = TimeSpan.FromHours(1),
            WaitForLeisure = TimeSpan.Zero,
            PingTimeout = TimeSpan.FromMilliseconds(1),
        };
        using var thread = new VerificationThread(Create(schedule));
        var hardware = Create(new HardwareClassOptions());
        var room = new ChallengeRoom(
            Create(new ChallengeOptions()), Create(schedule), hardware, new HardwareClasses(hardware), hub.Identity, hub.Epochs, thread, benchmark: null!, hub.Grains, TimeProvider.System,
            NullLogger<NodeChallenges>.Instance);
        var running = room.For(room.TalkTo(line.Session, new NodeIdentity(node.AccountId, [.. node.Key.PublicKey.Span], Standing.Probation))).RunAsync(line.Session.Ended);
        var start = (await line.NextAsync(HubMessage.MessageOneofCase.ChallengeStart)).ChallengeStart.Message.Memory;
        if (how.StartsWith("declines", StringComparison.Ordinal))
        {
            line.Say(new NodeMessage { ChallengeDecline = new ChallengeDecline { ChallengeId = ByteString.CopyFrom(ChallengeCodec.IdOf(start).ToArray()), Reason = "not now" } });
            await line.HeardAsync();
        }
        if (how == "is told to go") await line.Session.Close(SessionEnd.Stopping);
        else line.HangUp();
        // It ends with the connection, whatever it was waiting for.
        await Task.WhenAny(running).WithinPatienceAsync();
        Assert.False(running.IsFaulted, running.Exception?.ToString());
    }

    private static HardwarePlacement Placed(string name, double creditsPerHour = 1) => new(new HardwareClass { Name = name, CreditsPerHour = name[0] }, creditsPerHour, string.Empty);
}
