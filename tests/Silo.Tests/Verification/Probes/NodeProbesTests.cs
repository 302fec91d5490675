using System.Text.Json;
using Federation.Contracts.Nodes;
using Federation.Protocol.V1;
using Federation.Silo.Gateway;
using Federation.Silo.Nodes;
using Federation.Silo.Tests.Fakes;
using Federation.Silo.Verification.Accrual;
using Federation.Silo.Verification.Probes;
using Microsoft.Extensions.Logging.Abstractions;
using static Microsoft.Extensions.Options.Options;

namespace Federation.Silo.Tests.Verification.Probes;

/// <summary>The hub probes a node on standby, on a clock that stands until it is moved.</summary>
public sealed class NodeProbesTests
{
    private const string Role = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
    private const string Token = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"7\"}}]}\n\n";

    [Fact]
    public async Task A_node_that_gives_its_first_token_in_time_passes()
    {
        await using var scene = new Scene();
        var probe = await scene.NextProbeAsync();
        using var body = JsonDocument.Parse(probe.Body.Memory);
        Assert.Equal((ScriptedSession.Model, 16, 0, true), (
            body.RootElement.GetProperty("model").GetString(), body.RootElement.GetProperty("max_tokens").GetInt32(), body.RootElement.GetProperty("temperature").GetInt32(), body.RootElement.GetProperty("stream").GetBoolean()));
        var sentAt = scene.Clock.GetUtcNow();
        await scene.PassAsync(probe);
        var report = await scene.ReportAsync(1);
        Assert.Equal((ProbeOutcome.Passed, sentAt, TimeSpan.Zero, ScriptedSession.Model), (report.Outcome, report.SentAt, report.Worked, report.DeterminismClass));
        Assert.Equal("got its first token after 0.0 s", report.Finding);
        // And so on.
        Assert.NotEqual(probe.Body, (await scene.NextProbeAsync()).Body);
    }

    [Fact]
    public async Task No_first_token_in_two_seconds_is_a_failure_and_is_tried_again_once_after_ten()
    {
        await using var scene = new Scene();
        var failed = await scene.NextProbeAsync();
        // A role is not a token.
        scene.Node.Say(Says.Head(failed.LeaseId), Says.Chunk(failed.LeaseId, 0, Role));
        scene.Node.Grains.Node.Probing = report => new ProbeFollowUp(report.SentAt.AddSeconds(10), 0);
        // Taken: what is waited for from here on is the token.
        await scene.Node.NextAsync(HubMessage.MessageOneofCase.Window);
        await scene.Clock.UntilWaitedForAsync(TimeSpan.FromSeconds(2));
        scene.Clock.Advance(TimeSpan.FromSeconds(2));
        var first = await scene.ReportAsync(1);
        Assert.Equal((ProbeOutcome.Failed, "got no first token within 2 s"), (first.Outcome, first.Finding));
        Assert.Equal(failed.LeaseId, (await scene.Node.NextAsync(HubMessage.MessageOneofCase.Cancel)).Cancel.LeaseId);

        scene.Node.Grains.Node.Probing = _ => new ProbeFollowUp(null, 0);
        await scene.Clock.UntilWaitedForAsync(TimeSpan.FromSeconds(8));
        scene.Clock.Advance(TimeSpan.FromSeconds(8));
        var retry = (await scene.Node.NextAsync(HubMessage.MessageOneofCase.Assign)).Assign;
        scene.Node.Say(Says.Failed(retry.LeaseId));
        var second = await scene.ReportAsync(2);
        Assert.Equal((ProbeOutcome.Failed, "was given up (EngineError)", first.SentAt.AddSeconds(10)), (second.Outcome, second.Finding, second.SentAt));
    }

    [Fact]
    public async Task A_first_token_that_comes_late_is_a_failure_even_if_the_hub_reads_it_late()
    {
        await using var scene = new Scene();
        var probe = await scene.NextProbeAsync();
        await scene.Clock.UntilWaitedForAsync(TimeSpan.FromSeconds(2));
        scene.Clock.Advance(TimeSpan.FromSeconds(1.5));
        await scene.PassAsync(probe);
        Assert.Equal((ProbeOutcome.Passed, "got its first token after 1.5 s"), await scene.OutcomeAsync(1));
        var late = await scene.NextProbeAsync();
        await scene.Clock.UntilWaitedForAsync(TimeSpan.FromSeconds(2));
        scene.Clock.Advance(TimeSpan.FromSeconds(2));
        await scene.PassAsync(late);
        Assert.Equal((ProbeOutcome.Failed, "got no first token within 2 s"), await scene.OutcomeAsync(2));
    }

    [Theory]
    [InlineData(500, "was answered with status 500")]
    [InlineData(200, "got an answer without text")]
    public async Task An_answer_that_is_none_is_a_failure(uint status, string finding)
    {
        await using var scene = new Scene();
        var probe = await scene.NextProbeAsync();
        scene.Node.Say(Says.Head(probe.LeaseId, status), Says.Done(probe.LeaseId));
        Assert.Equal((ProbeOutcome.Failed, finding), await scene.OutcomeAsync(1));
    }

    [Fact]
    public async Task A_node_at_work_or_without_work_to_take_is_not_probed()
    {
        await using var scene = new Scene();
        scene.Node.Assign();
        await scene.LetPassAsync();
        await scene.Node.Session.Cancel("job_1.1", "client_gone");
        scene.Node.Say(Says.Paused());
        await scene.Node.HeardAsync();
        await scene.LetPassAsync();
        scene.Node.Say(Says.Paused(false));
        await scene.Node.HeardAsync();
        scene.Node.Session.IsChallenged = true;
        await scene.LetPassAsync();
        scene.Node.Session.IsChallenged = false;
        await scene.Node.Session.SetStanding(Standing.Quarantined);
        await scene.LetPassAsync();
        await scene.Node.Session.SetStanding(Standing.Probation);
        Assert.Empty(scene.Node.Grains.Node.Probes);
        await scene.PassAsync(await scene.NextProbeAsync());
        Assert.Equal(ProbeOutcome.Passed, (await scene.ReportAsync(1)).Outcome);
    }

    [Fact]
    public async Task A_node_whose_models_are_not_in_memory_is_not_on_standby()
    {
        await using var scene = new Scene();
        scene.Node.Say(Says.Inventory(1, ScriptedSession.Model));
        await scene.Node.HeardAsync();
        await scene.Clock.UntilWaitedForAsync(scene.Wait);
        scene.Clock.Advance(scene.Wait);
        Assert.Equal((ProbeOutcome.Void, "found no model in memory"), await scene.OutcomeAsync(1));
    }

    [Theory]
    [InlineData(false, ProbeOutcome.Void, "gave way to work")]
    [InlineData(true, ProbeOutcome.Passed, "got its first token after 0.0 s, and gave way to work")]
    public async Task Work_that_comes_takes_the_probes_place_at_once(bool afterTheFirstToken, ProbeOutcome outcome, string finding)
    {
        await using var scene = new Scene(slots: 1);
        var probe = await scene.NextProbeAsync();
        if (afterTheFirstToken)
        {
            scene.Node.Say(Says.Head(probe.LeaseId), Says.Chunk(probe.LeaseId, 0, Token));
            await scene.Node.NextAsync(HubMessage.MessageOneofCase.Window);
        }
        Assert.Equal(AssignStatus.Sent, scene.Node.Session.TryAssign(ScriptedSession.Assignment(), out _));
        // In this order, so that the node has the slot free.
        Assert.Equal(probe.LeaseId, (await scene.Node.NextAsync(HubMessage.MessageOneofCase.Cancel)).Cancel.LeaseId);
        Assert.Equal("job_1.1", (await scene.Node.NextAsync(HubMessage.MessageOneofCase.Assign)).Assign.LeaseId);
        Assert.Equal((outcome, finding), await scene.OutcomeAsync(1));
        // What the node still says about it was on its way.
        scene.Node.Say(Says.Failed(probe.LeaseId, FailReason.Cancelled));
        await scene.Node.HeardAsync();
        Assert.False(scene.Node.Running.IsCompleted);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_node_that_only_says_that_it_was_cancelled_has_failed(bool afterTheFirstToken)
    {
        await using var scene = new Scene();
        var probe = await scene.NextProbeAsync();
        if (afterTheFirstToken) scene.Node.Say(Says.Head(probe.LeaseId), Says.Chunk(probe.LeaseId, 0, Token));
        scene.Node.Say(Says.Failed(probe.LeaseId, FailReason.Cancelled));
        Assert.Equal((ProbeOutcome.Failed, "was given up (GivenUp)"), await scene.OutcomeAsync(1));
    }

    [Fact]
    public async Task A_probe_takes_no_slot_from_anybody()
    {
        await using var scene = new Scene(slots: 1);
        await scene.NextProbeAsync();
        scene.Node.Say(Says.Inventory(new Engine { Name = ScriptedSession.Engine, Kind = "ollama", Slots = 1, Models = { new Model { Name = ScriptedSession.Model, Loaded = true } } }));
        await scene.Node.HeardAsync();
        Assert.Equal(1, scene.Node.Grains.Pool(ScriptedSession.Model).Announced.Last().FreeSlots);
        // But there is never more than one.
        Assert.Equal(AssignStatus.NoSlot, scene.Node.Session.TryAssign(ScriptedSession.Assignment("probe_2.1") with { Yields = true }, out _));
    }

    [Fact]
    public async Task Work_between_two_probes_that_pass_is_told_once_and_probes_are_no_work()
    {
        await using var scene = new Scene();
        await scene.PassAsync(await scene.NextProbeAsync());
        await scene.ReportAsync(1);
        await scene.Clock.UntilWaitedForAsync(scene.Wait);
        // Two at once are one time of work.
        scene.Node.Assign("job_1.1");
        scene.Clock.Advance(TimeSpan.FromSeconds(20));
        scene.Node.Assign("job_2.1");
        await scene.Node.Session.Cancel("job_1.1", "done");
        scene.Clock.Advance(TimeSpan.FromSeconds(4));
        await scene.Node.Session.Cancel("job_2.1", "done");
        // A benchmark yields, and is paid; an audit of somebody's answer is neither paid nor work.
        Assert.Equal(AssignStatus.Sent, scene.Node.Session.TryAssign(ScriptedSession.Assignment("job_3.1") with { Yields = true }, out _));
        scene.Clock.Advance(TimeSpan.FromSeconds(5));
        await scene.Node.Session.Cancel("job_3.1", "done");
        Assert.Equal(AssignStatus.Sent, scene.Node.Session.TryAssign(ScriptedSession.Assignment("audit_1.1") with { Unpaid = true }, out _));
        scene.Clock.Advance(TimeSpan.FromSeconds(1));
        await scene.Node.Session.Cancel("audit_1.1", "done");

        var failed = await scene.NextProbeAsync(scene.Wait - TimeSpan.FromSeconds(30));
        scene.Node.Grains.Node.Probing = report => new ProbeFollowUp(report.SentAt, 0);
        scene.Node.Say(Says.Failed(failed.LeaseId));
        Assert.Equal(TimeSpan.FromSeconds(29), (await scene.ReportAsync(2)).Worked);
        scene.Node.Grains.Node.Probing = _ => new ProbeFollowUp(null, 0);
        // The failed one ended nothing.
        await scene.PassAsync(await scene.HearProbeAsync());
        Assert.Equal(TimeSpan.FromSeconds(29), (await scene.ReportAsync(3)).Worked);
        await scene.PassAsync(await scene.NextProbeAsync());
        Assert.Equal(TimeSpan.Zero, (await scene.ReportAsync(4)).Worked);
    }

    [Fact]
    public async Task A_retry_that_cannot_be_made_says_nothing()
    {
        await using var scene = new Scene();
        var failed = await scene.NextProbeAsync();
        scene.Node.Grains.Node.Probing = report => new ProbeFollowUp(report.SentAt.AddSeconds(10), 0);
        scene.Node.Say(Says.Failed(failed.LeaseId));
        await scene.ReportAsync(1);
        await scene.Clock.UntilWaitedForAsync(TimeSpan.FromSeconds(10));
        scene.Node.Assign();
        scene.Clock.Advance(TimeSpan.FromSeconds(10));
        Assert.Equal((ProbeOutcome.Void, "found it at work or taking none"), await scene.OutcomeAsync(2));
    }

    /// <summary>A connected node and its probes, which come at even distances.</summary>
    private sealed class Scene : IAsyncDisposable
    {
        private readonly CancellationTokenSource _stop = new();
        private readonly Task _probing;

        public Scene(int slots = 2)
        {
            // Nobody sends heartbeats here.
            var link = new NodeLinkOptions { SilentHeartbeats = 1_000 };
            Node = new ScriptedSession(options: link, clock: Clock, slots: slots).Start();
            var sessions = new NodeSessions(Create(link));
            Assert.True(sessions.TryAdd(Node.Session));
            Node.Grains.Node.Connections.Enqueue(new NodeConnection(Node.Session.SessionId, Node.Session, Node.Session.Report));
            var leases = new DirectLeases(
                Node.Grains.Grains, new LeaseDispatcher(sessions, Node.Grains.Grains, Clock, NullLogger<LeaseDispatcher>.Instance), Clock, NullLogger<DirectLeases>.Instance);
            var room = new ProbeRoom(Create(new ProbeOptions()), Create(Accrual), leases, Node.Grains.Grains, new EvenRandom(), Clock, NullLogger<NodeProbes>.Instance);
            // Delays are whole milliseconds.
            Wait = TimeSpan.FromMilliseconds(Math.Truncate(room.NextWait().TotalMilliseconds));
            _probing = room.For(Node.Session).RunAsync(_stop.Token);
        }

        public TestClock Clock { get; } = new();

        public ScriptedSession Node { get; }

        /// <summary>Time from one probe to the next.</summary>
        public TimeSpan Wait { get; }

        private static AccrualOptions Accrual { get; } = new();

        public async Task<Assign> NextProbeAsync(TimeSpan? wait = null)
        {
            await Clock.UntilWaitedForAsync(wait ?? Wait);
            Clock.Advance(wait ?? Wait);
            return await HearProbeAsync();
        }

        /// <summary>The next lease that is a probe.</summary>
        public async Task<Assign> HearProbeAsync()
        {
            while (true)
            {
                var assign = (await Node.NextAsync(HubMessage.MessageOneofCase.Assign)).Assign;
                if (assign.LeaseId.StartsWith("probe_", StringComparison.Ordinal)) return assign;
            }
        }

        /// <summary>A probe's moment comes, and the next is drawn.</summary>
        public async Task LetPassAsync()
        {
            await Clock.UntilWaitedForAsync(Wait);
            Clock.Advance(Wait);
            await Clock.UntilWaitedForAsync(Wait);
        }

        public async Task PassAsync(Assign probe)
        {
            Node.Say(Says.Head(probe.LeaseId), Says.Chunk(probe.LeaseId, 0, Role), Says.Chunk(probe.LeaseId, 1, Token), Says.Done(probe.LeaseId, 12, 1, "stop"));
            await Node.HeardAsync();
        }

        public async Task<ProbeReport> ReportAsync(int number)
        {
            await Eventually.TrueAsync(() => Node.Grains.Node.Probes.Count >= number || _probing.IsCompleted, $"probe {number} to be recorded");
            return Node.Grains.Node.Probes.ElementAt(number - 1);
        }

        public async Task<(ProbeOutcome Outcome, string Finding)> OutcomeAsync(int number)
        {
            var report = await ReportAsync(number);
            return (report.Outcome, report.Finding);
        }

        public async ValueTask DisposeAsync()
        {
            await _stop.CancelAsync();
            await Node.DisposeAsync();
            await _probing.ContinueWith(_ => { }, TaskScheduler.Default).WithinPatienceAsync();
            _stop.Dispose();
        }
    }

    /// <summary>Draws the same wait each time.</summary>
    private sealed class EvenRandom() : Random(1)
    {
        public override double NextDouble() => 0.5;
    }
}
