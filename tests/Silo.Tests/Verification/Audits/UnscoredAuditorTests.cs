using Federation.Contracts.Nodes;
using Federation.Protocol.OpenAi;
using Federation.Silo.Tests.Fakes;
using Federation.Silo.Verification.Audits;

namespace Federation.Silo.Tests.Verification.Audits;

/// <summary>Answers that nobody can score, before nodes that answer the same request.</summary>
public sealed class UnscoredAuditorTests : IAsyncDisposable
{
    private const string Text = """{"choices":[{"index":0,"message":{"content":"42"}}]}""";
    private const string Thought = """{"choices":[{"index":0,"message":{"content":"42","reasoning_content":"hm"}}]}""";
    private const string Call = """{"choices":[{"index":0,"message":{"content":null,"tool_calls":[{"id":"1","function":{"name":"f","arguments":"{}"}}]}}]}""";

    private readonly VerifyingNodes _nodes = new();

    [Fact]
    public async Task A_thought_where_the_model_has_none_evades_the_audit()
    {
        var audit = AuditAsync(Unscored.Thoughts, "a", "b", "c");
        await AnswerAsync("a", Text);
        await AnswerAsync("b", Call);
        var verdict = (await audit.WithinPatienceAsync())!;
        Assert.Equal((AuditOutcome.Evaded, "The answer has thoughts, which nobody can score; of 2 other nodes with the same weights none answers the same request so."), (verdict.Outcome, verdict.Finding));
        Assert.Equal("""{"unscored":"Thoughts","others":[{"node":"nd_a","determinism_class":"llama","unscored":"None"},{"node":"nd_b","determinism_class":"llama","unscored":"ToolCalls"}]}""", verdict.Evidence);
    }

    [Fact]
    public async Task What_another_node_does_too_counts_neither_way()
    {
        var audit = AuditAsync(Unscored.ToolCalls, "a", "b", "c");
        await AnswerAsync("a", Text);
        await AnswerAsync("b", Call);
        Assert.Equal(AuditOutcome.Inconclusive, (await audit.WithinPatienceAsync())!.Outcome);

        audit = AuditAsync(Unscored.Thoughts, "a");
        await AnswerAsync("a", Thought);
        Assert.Equal(AuditOutcome.Inconclusive, (await audit.WithinPatienceAsync())!.Outcome);
    }

    [Theory]
    [InlineData("<think>hm</think>42", Unscored.Thoughts)]
    [InlineData("<tool_call>{}</tool_call>", Unscored.ToolCalls)]
    internal async Task What_another_engine_leaves_in_the_text_is_the_same(string content, Unscored what)
    {
        var audit = AuditAsync(what, "a");
        await AnswerAsync("a", Text.Replace("42", content, StringComparison.Ordinal));
        Assert.Equal(AuditOutcome.Inconclusive, (await audit.WithinPatienceAsync())!.Outcome);
    }

    [Fact]
    public async Task Where_nobody_has_an_answer_there_is_no_verdict()
    {
        _nodes["a"].Assign();
        var audit = AuditAsync(Unscored.Thoughts, "a", "b");
        await AnswerAsync("b", """{"error":{"message":"no"}}""");
        Assert.Null(await audit.WithinPatienceAsync());
    }

    public ValueTask DisposeAsync() => _nodes.DisposeAsync();

    private Task<AuditVerdict?> AuditAsync(Unscored what, params string[] candidates) => new UnscoredAuditor(_nodes.Verifiers).AuditAsync(
        VerifyingNodes.Kept(JobKind.Chat, """{"model":"llama","messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function"}]}""", Thought), new AskedFor(Tools: true, Choices: false), what, _nodes.Of(candidates), CancellationToken.None);

    private Task AnswerAsync(string name, string body) => _nodes.AnswerAsync(name, JobKind.Chat, body);
}
