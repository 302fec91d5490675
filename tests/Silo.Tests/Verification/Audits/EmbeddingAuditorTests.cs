using Federation.Contracts.Nodes;
using Federation.Protocol.OpenAi;
using Federation.Silo.Tests.Fakes;
using Federation.Silo.Verification.Audits;
using Federation.Silo.Verification.Inference;
using static Microsoft.Extensions.Options.Options;

namespace Federation.Silo.Tests.Verification.Audits;

/// <summary>Vectors, before nodes that make them anew.</summary>
public sealed class EmbeddingAuditorTests : IAsyncDisposable
{
    private const string Honest = """{"data":[{"index":0,"embedding":[1,0,0]}],"usage":{"prompt_tokens":3,"total_tokens":3}}""";
    private const string Random = """{"data":[{"index":0,"embedding":[0.1,0.7,-0.7]}],"usage":{"prompt_tokens":3,"total_tokens":3}}""";

    private readonly VerifyingNodes _nodes = new();

    [Fact]
    public async Task Vectors_that_another_node_makes_too_pass()
    {
        var audit = AuditAsync(Honest, "a");
        await AnswerAsync("a", Honest);
        var verdict = await audit.WithinPatienceAsync();
        Assert.Equal(AuditOutcome.Passed, verdict!.Outcome);
        Assert.Contains("\"verifier\":\"nd_a\"", verdict.Evidence, StringComparison.Ordinal);
        Assert.Contains("\"cosine_min\":1", verdict.Evidence, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Random_vectors_are_confirmed_by_two_arbiters_and_not_by_one()
    {
        var audit = AuditAsync(Random, "a", "b", "c");
        foreach (var node in new[] { "a", "b", "c" }) await AnswerAsync(node, Honest);
        var verdict = await audit.WithinPatienceAsync();
        Assert.Equal(AuditOutcome.Mismatch, verdict!.Outcome);
        Assert.Contains("1 of 1 vectors point elsewhere", verdict.Finding, StringComparison.Ordinal);
        Assert.Contains("Two arbiters found the same.", verdict.Finding, StringComparison.Ordinal);

        audit = AuditAsync(Random, "a", "b");
        foreach (var node in new[] { "a", "b" }) await AnswerAsync(node, Honest);
        Assert.Equal(AuditOutcome.Unconfirmed, (await audit.WithinPatienceAsync())!.Outcome);

        // A verifier that is wrong itself convicts nobody.
        audit = AuditAsync(Honest, "a", "b", "c");
        await AnswerAsync("a", Random);
        await AnswerAsync("b", Honest);
        Assert.Equal(AuditOutcome.Unconfirmed, (await audit.WithinPatienceAsync())!.Outcome);
    }

    [Fact]
    public async Task A_verifier_at_work_is_passed_over_and_one_without_vectors_says_nothing()
    {
        _nodes["a"].Assign();
        var audit = AuditAsync(Honest, "a", "b", "c");
        await AnswerAsync("b", """{"error":{"message":"no such model"}}""");
        await AnswerAsync("c", Honest);
        Assert.Contains("\"verifier\":\"nd_c\"", (await audit.WithinPatienceAsync())!.Evidence, StringComparison.Ordinal);
        Assert.Null(await AuditAsync(Honest, "a").WithinPatienceAsync());
    }

    public ValueTask DisposeAsync() => _nodes.DisposeAsync();

    private Task<AuditVerdict?> AuditAsync(string answer, params string[] candidates)
    {
        var auditor = new EmbeddingAuditor(_nodes.Verifiers, Create(new InferenceCheckOptions()), Create(new AuditOptions()), _nodes.Clock);
        return auditor.AuditAsync(VerifyingNodes.Kept(JobKind.Embedding, """{"model":"llama","input":"hi"}""", answer), _nodes.Of(candidates), CancellationToken.None);
    }

    private Task AnswerAsync(string name, string body) => _nodes.AnswerAsync(name, JobKind.Embedding, body);
}
