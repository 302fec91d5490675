using System.Text.Json;
using Federation.Contracts.Nodes;
using Federation.Protocol.V1;
using Federation.Protocol.Verification;
using Federation.Silo.Gateway;
using Federation.Silo.Nodes;
using Federation.Silo.Tests.Fakes;
using Federation.Silo.Verification.Audits;
using Microsoft.Extensions.Logging.Abstractions;
using static Microsoft.Extensions.Options.Options;

namespace Federation.Silo.Tests.Verification.Audits;

/// <summary>Scoring answers is nobody's work: it must not stand in the way of any.</summary>
public sealed class VerifiersTests
{
    [Fact]
    public async Task A_node_at_work_is_asked_for_no_score()
    {
        await using var node = new ScriptedSession(slots: 2).Start();
        var verifiers = Of(node);
        node.Assign();
        Assert.Null(await ScoreAsync(verifiers, node).WithinPatienceAsync());
        Assert.Equal("job_1.1", (await node.NextAsync(HubMessage.MessageOneofCase.Assign)).Assign.LeaseId);
        await node.Session.Cancel("job_1.1", "done");
        var asked = ScoreAsync(verifiers, node);
        var assign = (await node.NextAsync(HubMessage.MessageOneofCase.Assign)).Assign;
        Assert.Equal("score", assign.Kind);
        await node.Session.Cancel(assign.LeaseId, "done");
        Assert.Null(await asked.WithinPatienceAsync());
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Work_that_comes_takes_the_place_of_a_score_at_once(int slots)
    {
        await using var node = new ScriptedSession(slots: slots).Start();
        var asked = ScoreAsync(Of(node), node);
        var score = (await node.NextAsync(HubMessage.MessageOneofCase.Assign)).Assign;
        Assert.Equal(AssignStatus.Sent, node.Session.TryAssign(ScriptedSession.Assignment(), out _));
        var cancel = (await node.NextAsync(HubMessage.MessageOneofCase.Cancel)).Cancel;
        Assert.Equal((score.LeaseId, "work has come"), (cancel.LeaseId, cancel.Reason));
        Assert.Equal("job_1.1", (await node.NextAsync(HubMessage.MessageOneofCase.Assign)).Assign.LeaseId);
        // Another verifier is asked, or this one later.
        Assert.Null(await asked.WithinPatienceAsync());
        Assert.Empty(node.Grains.Node.Abandoned);
    }

    [Fact]
    public async Task Scores_go_beside_each_other_as_far_as_there_are_slots_and_all_give_way()
    {
        await using var node = new ScriptedSession(slots: 2).Start();
        var verifiers = Of(node);
        Task<ScoreAnswer?>[] asked = [ScoreAsync(verifiers, node), ScoreAsync(verifiers, node)];
        var leases = new[] { await AssignedAsync(), await AssignedAsync() };
        Assert.Null(await ScoreAsync(verifiers, node).WithinPatienceAsync());
        // What must measure the node alone does not come beside them.
        Assert.Equal(AssignStatus.NoSlot, node.Session.TryAssign(ScriptedSession.Assignment("probe_1.1") with { Yields = true }, out _));
        Assert.Equal(AssignStatus.Sent, node.Session.TryAssign(ScriptedSession.Assignment(), out _));
        var cancelled = new[] { await CancelledAsync(), await CancelledAsync() };
        Assert.Equal(leases.Order(), cancelled.Order());
        Assert.All(await Task.WhenAll(asked).WithinPatienceAsync(), Assert.Null);

        async Task<string> AssignedAsync() => (await node.NextAsync(HubMessage.MessageOneofCase.Assign)).Assign.LeaseId;
        async Task<string> CancelledAsync() => (await node.NextAsync(HubMessage.MessageOneofCase.Cancel)).Cancel.LeaseId;
    }

    private static Task<ScoreAnswer?> ScoreAsync(Verifiers verifiers, ScriptedSession node)
    {
        var engine = node.Session.Report.Engines[0];
        var view = new NodeView(node.NodeId, "acct_other", "", Standing.Trusted, "cpu", true, null, node.Session.Report);
        using var request = JsonDocument.Parse("""{"model":"llama","messages":[{"role":"user","content":"hi"}]}""");
        var ask = new ScoreRequest { Kind = "chat", Model = engine.Models[0].Name, Request = request.RootElement.Clone(), AnswerText = "42", FinishReason = "stop", Offsets = null };
        return verifiers.ScoreAsync(new Verifier(view, engine, engine.Models[0]), ask, CancellationToken.None);
    }

    private static Verifiers Of(ScriptedSession node)
    {
        var sessions = new NodeSessions(Create(node.Options));
        Assert.True(sessions.TryAdd(node.Session));
        node.Grains.Node.Connections.Enqueue(new NodeConnection(node.Session.SessionId, node.Session, node.Session.Report));
        var leases = new DirectLeases(node.Grains.Grains, new LeaseDispatcher(sessions, node.Grains.Grains, node.Clock, NullLogger<LeaseDispatcher>.Instance), node.Clock, NullLogger<DirectLeases>.Instance);
        // Whom to ask is said here.
        return new Verifiers(directory: null!, leases, Create(new AuditOptions()), node.Clock, NullLogger<Verifiers>.Instance);
    }
}
