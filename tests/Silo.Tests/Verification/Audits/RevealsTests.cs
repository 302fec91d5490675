using System.Text;
using Federation.Contracts.Jobs;
using Federation.Contracts.Nodes;
using Federation.Protocol.OpenAi;
using Federation.Protocol.Verification;
using Federation.Silo.Tests.Fakes;
using Federation.Silo.Verification.Audits;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using static Federation.Protocol.V1.HubMessage;

namespace Federation.Silo.Tests.Verification.Audits;

/// <summary>What a node is asked to show, and what of its silence counts against it.</summary>
public sealed class RevealsTests
{
    private static readonly AnswerText Answer = new("42", "stop");

    [Fact]
    public async Task Forgetting_is_marked_once_in_a_connection_whichever_silo_asks_and_once_more_in_the_next()
    {
        await using var node = new ScriptedSession();
        node.Start();
        Reveals[] silos = [Of(node), Of(node)];
        RevealFinding[] expected = [RevealFinding.Withheld, RevealFinding.Forgotten, RevealFinding.Withheld, RevealFinding.Forgotten];
        // The first job again: an audit that could not be judged is repeated and finds the same.
        foreach (var (job, at) in new[] { "job_1", "job_2", "job_1", "job_3" }.Select((job, at) => (job, at))) Assert.Equal(expected[at], (await ForgottenAsync(node, silos[at % 2], job)).Finding);

        await using var later = new ScriptedSession("later", grains: node.Grains);
        later.Start();
        node.Grains.Node.Connections.Enqueue(new NodeConnection(later.Session.SessionId, later.Session, later.Session.Report));
        Assert.Equal(RevealFinding.Withheld, (await ForgottenAsync(later, silos[0], "job_4")).Finding);
        Assert.Equal(RevealFinding.Forgotten, (await ForgottenAsync(later, silos[1], "job_1")).Finding);
    }

    [Theory]
    [InlineData("builtin", 256, nameof(RevealFinding.Withheld))]
    [InlineData("ollama", 256, nameof(RevealFinding.None))]
    [InlineData("builtin", 0, nameof(RevealFinding.None))]
    [InlineData("builtin", 256, nameof(RevealFinding.None), JobStatus.Failed)]
    [InlineData("builtin", 256, nameof(RevealFinding.None), JobStatus.Cancelled)]
    public async Task Our_own_engine_commits_to_every_answer_that_it_ends(string engine, int asked, string finding, JobStatus status = JobStatus.Succeeded)
    {
        await using var node = new ScriptedSession();
        node.Start();
        var check = await Of(node, asked).AskAsync(Kept(node, "job_1", []) with { Outcome = Outcome(node, "job_1", []) with { DeterminismClass = $"sha256:aa/{engine}/1/cpu/x64/np1", Status = status } }, Answer, Seed, hasStop: false);
        Assert.Equal(finding, check.Finding.ToString());
    }

    private static AuditSeed Seed => new(new byte[32]);

    private static async Task<RevealCheck> ForgottenAsync(ScriptedSession node, Reveals reveals, string job)
    {
        var asking = reveals.AskAsync(Kept(node, job, LogprobCommitment.Root([new CommittedToken("42"u8.ToArray(), -1, [])])), Answer, Seed, hasStop: false);
        var question = (await node.NextAsync(MessageOneofCase.AuditRequest)).AuditRequest;
        Assert.Equal($"{job}.1", question.LeaseId);
        node.Say(Says.Reveal(question.LeaseId, 0));
        return await asking.WithinPatienceAsync();
    }

    private static Reveals Of(ScriptedSession node, int asked = 256)
    {
        node.Grains.Node.Connections.Enqueue(new NodeConnection(node.Session.SessionId, node.Session, node.Session.Report));
        return new Reveals(node.Grains.Grains, Options.Create(new AuditOptions { RevealedTokens = asked }), NullLogger<Reveals>.Instance);
    }

    private static KeptAnswer Kept(ScriptedSession node, string job, byte[] commitment) => new(Outcome(node, job, commitment), "engine", Encoding.UTF8.GetBytes("{}"), []);

    private static JobOutcome Outcome(ScriptedSession node, string job, byte[] commitment) => new(
        job, 1, "acct", "key", JobKind.Chat, "m", "", 0, node.NodeId, JobStatus.Succeeded, "stop", 1, 1, [], [], 0, 0, 0, 0, "sha256:aa/ollama/1/cpu/x64/np1")
    { LogprobCommitment = [.. commitment] };
}
