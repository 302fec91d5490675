using Federation.Contracts.Nodes;
using Federation.Protocol.Challenges;
using Federation.Protocol.V1;
using Federation.Silo.Hubs;
using Federation.Silo.Tests.Fakes;
using Federation.Silo.Tests.Storage;
using Federation.Silo.Verification;
using Federation.Silo.Verification.Challenges;
using Federation.Silo.Verification.CommonSlots;
using Federation.Silo.Verification.Epochs;
using Google.Protobuf;
using Microsoft.Extensions.Logging.Abstractions;
using static Microsoft.Extensions.Options.Options;

namespace Federation.Silo.Tests.Verification.CommonSlots;

/// <summary>Common slots as nodes see them, on a clock that stands until it is moved.</summary>
public sealed class NodeSlotsTests(SqliteTestDatabase database) : IClassFixture<SqliteTestDatabase>
{
    private static readonly TimeSpan Ahead = TimeSpan.FromSeconds(1);

    [Fact]
    public async Task All_of_an_account_are_challenged_in_one_moment_and_who_is_slow_or_declines_has_not_passed()
    {
        await using var hub = await TestHub.StartAsync(database);
        using var scene = await Scene.BeforeASlotAsync(hub);
        await using var fast = await scene.ConnectAsync();
        await using var slow = await scene.ConnectAsync();
        await using var unwilling = await scene.ConnectAsync();
        await scene.BeginSlotAsync(waiting: 3);

        ChallengeStart[] starts = [await fast.StartAsync(), await slow.StartAsync(), await unwilling.StartAsync()];
        Assert.Single(starts.Select(start => start.Slot).Distinct());
        Assert.Equal(scene.Slot.ToUnixTimeMilliseconds() / 10_000, starts[0].Slot);
        Assert.All([fast, slow, unwilling], node => Assert.True(node.Line.Session.IsChallenged));
        await fast.AnswerAsync(starts[0]);
        unwilling.Line.Say(new NodeMessage { ChallengeDecline = new ChallengeDecline { ChallengeId = ByteString.CopyFrom(starts[2].Id.ToArray()), Reason = "not now" } });
        await unwilling.Line.HeardAsync();
        scene.Clock.Advance(TimeSpan.FromSeconds(7));
        await slow.AnswerAsync(starts[1]);

        var results = await scene.ResultsAsync(3);
        Assert.Equal((true, "took 0.00 s of 6.55 s"), results[fast.Id]);
        Assert.Equal((false, "took 7.00 s of 6.55 s"), results[slow.Id]);
        Assert.Equal((false, "declined"), results[unwilling.Id]);
    }

    [Theory]
    [InlineData("at work")]
    [InlineData("paused")]
    [InlineData("given work meanwhile")]
    [InlineData("paused meanwhile")]
    public async Task Who_works_or_takes_no_work_shows_nothing(string how)
    {
        await using var hub = await TestHub.StartAsync(database);
        using var scene = await Scene.BeforeASlotAsync(hub);
        await using var idle = await scene.ConnectAsync();
        await using var other = await scene.ConnectAsync();
        if (how == "at work") other.Line.Assign();
        if (how == "paused") other.Line.Say(Says.Paused());
        await other.Line.HeardAsync();
        await scene.BeginSlotAsync(waiting: 2);
        await idle.AnswerAsync(await idle.StartAsync());
        if (how.EndsWith("meanwhile", StringComparison.Ordinal))
        {
            var start = await other.StartAsync();
            if (how == "given work meanwhile") other.Line.Assign();
            else other.Line.Say(Says.Paused());
            await other.Line.HeardAsync();
            await other.AnswerAsync(start);
        }
        // It has gone on to wait for the next slot.
        await scene.UntilAllWaitAsync(2);
        Assert.Equal([idle.Id], (await scene.ResultsAsync(1)).Keys);
    }

    [Fact]
    public async Task A_node_that_nobody_is_beside_is_not_asked()
    {
        await using var hub = await TestHub.StartAsync(database);
        using var scene = await Scene.BeforeASlotAsync(hub);
        await using var alone = await scene.ConnectAsync();
        await scene.BeginSlotAsync(waiting: 1);
        await scene.UntilAllWaitAsync(1);
        Assert.Empty(await scene.ResultsAsync(0));
    }

    /// <summary>A hub whose account has a common slot in a second.</summary>
    private sealed class Scene : IDisposable
    {
        private readonly TestHub _hub;
        private readonly string _accountId;
        private readonly VerificationThread _thread;
        private readonly SlotRoom _room;
        private readonly SlotResultStore _results;
        private readonly List<string> _nodes = [];
        private DateTimeOffset? _next;

        private Scene(TestHub hub, string accountId)
        {
            (_hub, _accountId, _results) = (hub, accountId, new SlotResultStore(hub.Database));
            var schedule = Create(new ChallengeScheduleOptions());
            // A reference so slow that a few products of the smallest matrices take it 5 s.
            var hardware = Create(new HardwareClassOptions { Classes = [new HardwareClass { Name = "cpu", CreditsPerHour = 2, MatrixTeraops = 1e-6 }] });
            var classes = new HardwareClasses(hardware);
            _thread = new VerificationThread(schedule);
            var challenges = new ChallengeRoom(
                Create(new ChallengeOptions { SmallMatrix = 64 }), schedule, hardware, classes, hub.Identity, hub.Epochs, _thread, benchmark: null!, hub.Grains, Clock, NullLogger<NodeChallenges>.Instance);
            var options = Create(new CommonSlotOptions { MeanPeriod = TimeSpan.FromMinutes(5) });
            var directory = new HubDirectoryView(hub.Grains, Create(new HubOptions { DirectoryAge = TimeSpan.Zero }), TimeProvider.System, NullLogger<HubDirectoryView>.Instance);
            _room = new SlotRoom(challenges, new Neighbourhood(directory, _results, options, Clock), _results, hub.Epochs, options, NullLogger<NodeSlots>.Instance);
        }

        public TestClock Clock { get; } = new();

        public DateTimeOffset Slot { get; private set; }

        public static async Task<Scene> BeforeASlotAsync(TestHub hub)
        {
            var account = await hub.Accounts.CreateAsync("someone", Contracts.Accounts.Tier.Contributor, default);
            var scene = new Scene(hub, account.Id);
            await hub.Epochs.EnsureAsync(EpochClosing.EpochOf(scene.Clock.GetUtcNow()), [.. Enumerable.Repeat((byte)7, 32)], scene.Clock.GetUtcNow(), default);
            var next = await scene._room.NextAsync(new Neighbour(string.Empty, account.Id, string.Empty), default);
            scene.Slot = next.Slot ?? throw new InvalidOperationException($"Account {account.Id} has no slot within an hour.");
            scene.Clock.Advance(scene.Slot - Ahead - scene.Clock.GetUtcNow());
            return scene;
        }

        public async Task<Sitter> ConnectAsync()
        {
            var node = new Fakes.TestNode(_hub, _accountId);
            await node.EnrolAsync(_accountId);
            // To the hub's directory by one end, and to the challenger by another.
            await node.ConnectAsync();
            _nodes.Add(node.Id);
            var line = new ScriptedSession(node.Id["nd_".Length..], clock: Clock).Start();
            var talk = _room.Challenges.TalkTo(line.Session, new NodeIdentity(_accountId, [.. node.Key.PublicKey.Span], Standing.Probation));
            return new Sitter(node, line, _room.For(talk).RunAsync(line.Session.Ended));
        }

        public async Task BeginSlotAsync(int waiting)
        {
            await Clock.UntilWaitedForAsync(Ahead, waiting);
            Clock.Advance(Ahead);
            var (slot, end) = await _room.NextAsync(new Neighbour(string.Empty, _accountId, string.Empty), default);
            _next = slot ?? end;
        }

        public Task UntilAllWaitAsync(int nodes) => Clock.UntilWaitedForAsync(_next!.Value - Clock.GetUtcNow(), nodes);

        public async Task<Dictionary<string, (bool Passed, string Finding)>> ResultsAsync(int count)
        {
            await Eventually.TrueAsync(async () => (await _results.ListAsync(_nodes, Slot, default)).Length >= count, $"{count} results");
            return (await _results.ListAsync(_nodes, Slot, default)).ToDictionary(result => result.NodeId, result => (result.Passed, result.Finding));
        }

        public void Dispose() => _thread.Dispose();
    }

    /// <summary>A node that sits a slot.</summary>
    private sealed class Sitter(Fakes.TestNode node, ScriptedSession line, Task running) : IAsyncDisposable
    {
        private readonly Challenges.TestNode _prover = new(node.Key);

        public string Id => node.Id;

        public ScriptedSession Line => line;

        public async Task<ChallengeStart> StartAsync() => ChallengeCodec.DecodeStart((await line.NextAsync(HubMessage.MessageOneofCase.ChallengeStart)).ChallengeStart.Message.Memory);

        public async Task AnswerAsync(ChallengeStart start)
        {
            var work = _prover.Compute(start);
            line.Say(new NodeMessage { ChallengeCommit = new Signed { Message = ByteString.CopyFrom(_prover.Commit(work)) } });
            var open = ChallengeCodec.DecodeOpen((await line.NextAsync(HubMessage.MessageOneofCase.ChallengeOpen)).ChallengeOpen.Message.Memory, start.Parameters);
            line.Say(new NodeMessage { ChallengeProof = new Signed { Message = ByteString.CopyFrom(_prover.Prove(work, open.Cells)) } });
            await line.NextAsync(HubMessage.MessageOneofCase.ChallengeResult);
        }

        public async ValueTask DisposeAsync()
        {
            await line.DisposeAsync();
            await Task.WhenAny(running).WithinPatienceAsync();
            Assert.False(running.IsFaulted, running.Exception?.ToString());
        }
    }
}
