using Federation.Contracts.Nodes;
using Federation.Protocol.OpenAi;
using Federation.Protocol.V1;
using Federation.Silo.Gateway;
using Federation.Silo.Nodes;
using Federation.Silo.Tests.Fakes;
using Federation.Silo.Verification.Audits;
using Microsoft.Extensions.Logging.Abstractions;
using static Microsoft.Extensions.Options.Options;

namespace Federation.Silo.Tests.Gateway;

/// <summary>What the hub itself asks of a node, which must not be able to hold it up.</summary>
public sealed class DirectLeasesTests
{
    [Fact]
    public async Task A_word_now_and_then_does_not_keep_the_hub_waiting_beyond_the_leases_time()
    {
        await using var node = Connected(out var jobs);
        var asked = jobs.AskAsync(Job(node, TimeSpan.FromMinutes(5)), CancellationToken.None);
        var lease = (await node.NextAsync(HubMessage.MessageOneofCase.Assign)).Assign.LeaseId;
        node.Say(Says.Head(lease));
        for (uint word = 0; word < 13; word++)
        {
            Assert.False(asked.IsCompleted);
            node.Say(Says.Chunk(lease, word, "data: {}\n\n"));
            await node.HeardAsync();
            // The silence between two words is below what a reader allows.
            node.Clock.Advance(TimeSpan.FromSeconds(25));
        }
        Assert.Null(await asked);
        Assert.Equal("deadline", (await node.NextAsync(HubMessage.MessageOneofCase.Cancel)).Cancel.Reason);
    }

    [Fact]
    public async Task Empty_words_take_memory_and_count_as_such()
    {
        await using var node = Connected(out var jobs, audits => audits.MaxAnswerBytes = 2_000);
        var asked = jobs.AskAsync(Job(node, TimeSpan.FromMinutes(5)), CancellationToken.None);
        var lease = (await node.NextAsync(HubMessage.MessageOneofCase.Assign)).Assign.LeaseId;
        node.Say(Says.Head(lease));
        for (uint word = 0; word < 40; word++) node.Say(Says.Chunk(lease, word, string.Empty));
        Assert.Null(await asked);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_canary_that_its_node_breaks_off_is_told_of_it_whatever_it_says_and_one_that_the_hub_ends_is_not(bool byTheHub)
    {
        await using var node = Connected(out var jobs);
        var asked = jobs.AskAsync(Job(node, TimeSpan.FromMinutes(5)), CancellationToken.None);
        var lease = (await node.NextAsync(HubMessage.MessageOneofCase.Assign)).Assign.LeaseId;
        node.Say(Says.Head(lease), Says.Chunk(lease, 0, "data: {}\n\n"));
        await node.HeardAsync();
        if (byTheHub) await node.Session.Cancel(lease, "work has come");
        else node.Say(Says.Failed(lease, FailReason.Cancelled));
        Assert.Null(await asked.WithinPatienceAsync());
        Assert.Equal(byTheHub ? [] : ["The node took job job_own and did not end it: GivenUp: it broke."], node.Grains.Node.Abandoned.Select(told => told.Finding));
    }

    private static ScriptedSession Connected(out OwnJobs jobs, Action<AuditOptions>? configure = null)
    {
        var node = new ScriptedSession(options: new NodeLinkOptions { SilentHeartbeats = 1_000 }).Start();
        var sessions = new NodeSessions(Create(node.Options));
        Assert.True(sessions.TryAdd(node.Session));
        node.Grains.Node.Connections.Enqueue(new NodeConnection(node.Session.SessionId, node.Session, node.Session.Report));
        var audits = new AuditOptions();
        configure?.Invoke(audits);
        var gateway = Create(new GatewayOptions { GrantAt = 1 });
        var leases = new DirectLeases(node.Grains.Grains, new LeaseDispatcher(sessions, node.Grains.Grains, node.Clock, NullLogger<LeaseDispatcher>.Instance), node.Clock, NullLogger<DirectLeases>.Instance);
        jobs = new OwnJobs(leases, new Settlements(node.Grains.Grains, gateway, node.Clock, NullLogger<Settlements>.Instance), new Abandonments(node.Grains.Grains, NullLogger<Abandonments>.Instance), Create(audits), gateway, node.Clock);
        return node;
    }

    private static DirectLease Job(ScriptedSession node, TimeSpan limit)
    {
        var engine = node.Session.Report.Engines[0];
        return new DirectLease(node.Session.NodeId, engine, engine.Models[0], "job_own", JobKind.Chat, new byte[10], Stream: true, limit);
    }
}
