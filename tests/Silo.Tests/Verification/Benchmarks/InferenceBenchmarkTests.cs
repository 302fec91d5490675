using System.Text.Json;
using Federation.Contracts.Nodes;
using Federation.Protocol.V1;
using Federation.Silo.Gateway;
using Federation.Silo.Nodes;
using Federation.Silo.Tests.Fakes;
using Federation.Silo.Tests.Storage;
using Federation.Silo.Verification;
using Federation.Silo.Verification.Audits;
using Federation.Silo.Verification.Benchmarks;
using Microsoft.Extensions.Logging.Abstractions;
using static Microsoft.Extensions.Options.Options;

namespace Federation.Silo.Tests.Verification.Benchmarks;

/// <summary>A benchmark from its prompt to a class, against a node whose every word the test says, on a clock that it moves.</summary>
public sealed class InferenceBenchmarkTests(SqliteTestDatabase database) : IClassFixture<SqliteTestDatabase>
{
    private const string Class = "rtx-3060-12gb";

    [Fact]
    public async Task Slow_inference_takes_the_class_of_the_hardware_where_the_reference_was_measured_and_not_before()
    {
        await using var hub = await TestHub.StartAsync(database);
        await using var node = new ScriptedSession(options: new NodeLinkOptions { SilentHeartbeats = 1_000 }).Start();
        var shown = await MeasureAsync(hub, node, slowAnswers: 1);
        Assert.Equal(Class, shown.HardwareClass);
        Assert.EndsWith("by configured figures, which are not calibrated and take no class.", shown.Sentence, StringComparison.Ordinal);
        Assert.StartsWith("With llama it reads 204.8 and writes 5 tokens a second; rtx-3060-12gb 37", shown.Sentence, StringComparison.Ordinal);
        Assert.Equal(new SpeedReport("llama", "llama", 4_882_812, 200_000_000), shown.Report);
        // It was a job, settled as one.
        Assert.Equal((2_048, 128, ScriptedSession.Model), (node.Grains.Jobs.Settled.Single().PromptTokens, node.Grains.Jobs.Settled.Single().CompletionTokens, node.Grains.Jobs.Settled.Single().Model));

        for (var account = 0; account < 5; account++)
        {
            var other = await hub.EnrolAsync();
            await other.Grain.RecordChallenge(
                new ChallengeReport($"ib_{account}", "MM+MEM+IB", ChallengeOutcome.Passed, Class, "Measured.", string.Empty) { Speed = new SpeedReport("llama", "llama", 270_000, 6_000_000) });
            await other.Grain.SetStanding(Standing.Trusted);
        }
        var taken = await MeasureAsync(hub, node, slowAnswers: 2);
        Assert.Equal("cpu", taken.HardwareClass);
        Assert.EndsWith("; rtx-3060-12gb 3703.7 and 166.7, the median of 5 accounts' nodes.", taken.Sentence, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Work_that_comes_ends_a_benchmark_without_a_word()
    {
        await using var hub = await TestHub.StartAsync(database);
        await using var node = new ScriptedSession(slots: 1).Start();
        var measuring = Benchmark(hub, node).MeasureAsync(node.Session, "acct_payee", Class, TimeSpan.Zero, default);
        var asked = (await node.NextAsync(HubMessage.MessageOneofCase.Assign)).Assign;
        Assert.Equal(AssignStatus.Sent, node.Session.TryAssign(ScriptedSession.Assignment(), out _));
        Assert.Equal(asked.LeaseId, (await node.NextAsync(HubMessage.MessageOneofCase.Cancel)).Cancel.LeaseId);
        Assert.Equal((null, BenchmarkLack.Undecided), await measuring.WithinPatienceAsync());
        Assert.Empty(node.Grains.Jobs.Settled);
    }

    [Theory]
    [InlineData("refuses")]
    [InlineData("gives up")]
    [InlineData("pauses")]
    public async Task A_node_without_work_that_does_not_answer_has_refused(string how)
    {
        await using var hub = await TestHub.StartAsync(database);
        await using var node = new ScriptedSession().Start();
        if (how == "pauses")
        {
            node.Say(Says.Paused());
            await node.HeardAsync();
        }
        var measuring = Benchmark(hub, node).MeasureAsync(node.Session, "acct_payee", Class, TimeSpan.Zero, default);
        if (how != "pauses")
        {
            var asked = (await node.NextAsync(HubMessage.MessageOneofCase.Assign)).Assign;
            node.Say(how == "refuses" ? Says.Refuse(asked.LeaseId) : Says.Failed(asked.LeaseId));
        }
        Assert.Equal((null, BenchmarkLack.Refused), await measuring.WithinPatienceAsync());
    }

    [Fact]
    public async Task A_node_that_was_never_measured_is_asked_though_it_holds_no_model_in_memory_and_later_it_is_not()
    {
        await using var hub = await TestHub.StartAsync(database);
        var enrolled = await hub.EnrolAsync();
        await using var node = new ScriptedSession(enrolled.Id["nd_".Length..]).Start();
        node.Say(Says.Inventory(2, ScriptedSession.Model));
        await node.HeardAsync();
        var benchmark = Benchmark(hub, node);
        var measuring = benchmark.MeasureAsync(node.Session, enrolled.AccountId, Class, TimeSpan.Zero, default);
        node.Say(Says.Refuse((await node.NextAsync(HubMessage.MessageOneofCase.Assign)).Assign.LeaseId));
        Assert.Equal((null, BenchmarkLack.Refused), await measuring.WithinPatienceAsync());
        await enrolled.Grain.RecordChallenge(
            new ChallengeReport("ib_of_once", "MM+MEM+IB", ChallengeOutcome.Passed, Class, "Measured.", string.Empty) { Speed = new SpeedReport("llama", "llama", 270_000, 6_000_000) });
        Assert.Equal((null, BenchmarkLack.NothingToAsk), await benchmark.MeasureAsync(node.Session, enrolled.AccountId, Class, TimeSpan.Zero, default));
    }

    private static async Task<BenchmarkResult> MeasureAsync(TestHub hub, ScriptedSession node, int slowAnswers)
    {
        var measuring = Benchmark(hub, node).MeasureAsync(node.Session, "acct_payee", Class, TimeSpan.Zero, default);
        var prompts = new HashSet<string>();
        for (var answer = 0; answer < slowAnswers; answer++)
        {
            var asked = (await node.NextAsync(HubMessage.MessageOneofCase.Assign)).Assign;
            using var body = JsonDocument.Parse(asked.Body.Memory);
            Assert.Equal((128, 0), (body.RootElement.GetProperty("max_tokens").GetInt32(), body.RootElement.GetProperty("temperature").GetInt32()));
            Assert.True(prompts.Add(body.RootElement.GetProperty("messages")[0].GetProperty("content").GetString()!));
            node.Say(Says.Head(asked.LeaseId), Says.Chunk(asked.LeaseId, 0, Delta("role", "assistant")));
            await node.NextAsync(HubMessage.MessageOneofCase.Window);
            node.Clock.Advance(TimeSpan.FromSeconds(10));
            node.Say(Says.Chunk(asked.LeaseId, 1, Delta("content", "b")));
            await node.NextAsync(HubMessage.MessageOneofCase.Window);
            node.Clock.Advance(TimeSpan.FromSeconds(25.4));
            node.Say(Says.Chunk(asked.LeaseId, 2, Delta("content", new string('a', 127))));
            await node.NextAsync(HubMessage.MessageOneofCase.Window);
            node.Say(Says.Done(asked.LeaseId, 2_048, 128, "length"));
        }
        return (await measuring.WithinPatienceAsync()).Result!;
    }

    private static InferenceBenchmark Benchmark(TestHub hub, ScriptedSession node)
    {
        var sessions = new NodeSessions(Create(node.Options));
        Assert.True(sessions.TryAdd(node.Session));
        node.Grains.Node.Connections.Enqueue(new NodeConnection(node.Session.SessionId, node.Session, node.Session.Report));
        var gateway = Create(new GatewayOptions { GrantAt = 1 });
        var leases = new DirectLeases(node.Grains.Grains, new LeaseDispatcher(sessions, node.Grains.Grains, node.Clock, NullLogger<LeaseDispatcher>.Instance), node.Clock, NullLogger<DirectLeases>.Instance);
        var settlements = new Settlements(node.Grains.Grains, gateway, node.Clock, NullLogger<Settlements>.Instance);
        var classes = new HardwareClasses(Create(new HardwareClassOptions()));
        var options = Create(new BenchmarkOptions());
        var store = new SpeedStore(hub.Database);
        var speeds = new ReferenceSpeeds(store, classes, hub.Sizes, options, TimeProvider.System);
        // Nobody audits here.
        return new InferenceBenchmark(
            new OwnJobs(leases, settlements, new Abandonments(node.Grains.Grains, NullLogger<Abandonments>.Instance), Create(new AuditOptions()), gateway, node.Clock), auditor: null!, store, speeds, classes, node.Grains.Grains, options, new Random(7), NullLogger<InferenceBenchmark>.Instance);
    }

    private static string Delta(string name, string value) => $"data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"{name}\":\"{value}\"}}}}]}}\n\n";
}
