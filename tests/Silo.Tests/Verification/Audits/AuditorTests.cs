using System.Text;
using Federation.Contracts.Nodes;
using Federation.Protocol.OpenAi;
using Federation.Protocol.Verification;
using Federation.Silo.Tests.Fakes;
using Federation.Silo.Tests.Storage;
using Federation.Silo.Verification.Audits;
using Federation.Silo.Verification.Inference;
using Microsoft.Extensions.Logging.Abstractions;
using static Microsoft.Extensions.Options.Options;

namespace Federation.Silo.Tests.Verification.Audits;

/// <summary>Which answer goes which way before others.</summary>
public sealed class AuditorTests(SqliteTestDatabase database) : IClassFixture<SqliteTestDatabase>, IAsyncDisposable
{
    private const string Chat = """{"model":"llama","messages":[{"role":"user","content":"hi"}],"temperature":0}""";
    private const string Text = "one two three four five six";

    private static readonly NodeView Worker = new("nd_worker", "acct_worker", "", Standing.Probation, "cpu", true, null, null);

    private readonly VerifyingNodes _nodes = new();

    [Fact]
    public async Task Vectors_go_before_a_node_that_makes_them_anew()
    {
        const string Vectors = """{"data":[{"index":0,"embedding":[1,0]}]}""";
        var audit = AuditAsync(VerifyingNodes.Kept(JobKind.Embedding, """{"model":"llama","input":"hi"}""", Vectors));
        await _nodes.AnswerAsync("a", JobKind.Embedding, Vectors);
        Assert.Equal(AuditOutcome.Passed, (await audit.WithinPatienceAsync())!.Outcome);
    }

    [Fact]
    public async Task Thoughts_go_before_nodes_that_answer_anew_and_what_is_no_answer_before_nobody()
    {
        var audit = AuditAsync(VerifyingNodes.Kept(JobKind.Chat, Chat, """{"choices":[{"index":0,"message":{"content":"42","reasoning":"hm"}}]}"""));
        await _nodes.AnswerAsync("a", JobKind.Chat, """{"choices":[{"index":0,"message":{"content":"42"}}]}""");
        Assert.Equal(AuditOutcome.Evaded, (await audit.WithinPatienceAsync())!.Outcome);
        Assert.Equal(AuditOutcome.Evaded, (await AuditAsync(VerifyingNodes.Kept(JobKind.Chat, Chat, """{"usage":{"prompt_tokens":9}}""")).WithinPatienceAsync())!.Outcome);
    }

    [Theory]
    [InlineData(6, 6 + 27, AuditOutcome.Passed)]
    [InlineData(6, 60, AuditOutcome.Unconfirmed)]
    [InlineData(null, 600, AuditOutcome.Passed)]
    public async Task Of_several_answers_one_is_scored_and_the_others_count_a_token_a_byte_at_most(int? counted, long claimed, AuditOutcome outcome)
    {
        var kept = VerifyingNodes.Kept(JobKind.Chat, Chat.Replace("\"temperature\":0", "\"temperature\":0,\"n\":2", StringComparison.Ordinal), $$$"""{"choices":[{"index":0,"message":{"content":"{{{Text}}}"}},{"index":1,"message":{"content":"{{{Text}}}"}}]}""");
        var audit = AuditAsync(kept with { Outcome = kept.Outcome with { CompletionTokens = claimed } });
        await _nodes.AnswerAsync("a", JobKind.Score, body => Score(body, counted));
        var verdict = (await audit.WithinPatienceAsync())!;
        Assert.Equal(outcome, verdict.Outcome);
        if (outcome is AuditOutcome.Unconfirmed) Assert.Contains("claims 60 tokens; the text has 33.", verdict.Finding, StringComparison.Ordinal);
    }

    public ValueTask DisposeAsync() => _nodes.DisposeAsync();

    /// <summary>All of it is what the model would have said.</summary>
    private static byte[] Score(ReadOnlyMemory<byte> body, int? answerTokens)
    {
        Assert.True(ScoreCodec.TryRead(body.Span, out ScoreRequest? request, out var fault), fault);
        Assert.Equal(Text, request.AnswerText);
        var positions = request.Offsets!.Value.Select(offset => new ScorePosition { Offset = offset, Token = Encoding.UTF8.GetBytes(Text).AsMemory(offset, 2), Logprob = -0.1, LikeliestLogprob = -0.1, Rank = 1, Margin = 0 });
        return ScoreCodec.Write(new ScoreAnswer { Method = "probe", ModelDigest = string.Empty, AnswerTokens = answerTokens, Positions = [.. positions] });
    }

    private async Task<AuditVerdict?> AuditAsync(KeptAnswer kept)
    {
        // It connects, so that there is somebody to ask.
        Assert.NotNull(_nodes["a"]);
        var (checks, audits) = (Create(new InferenceCheckOptions()), Create(new AuditOptions()));
        var judge = new InferenceJudge(checks.Value);
        using var memory = new AuditMemory(new InferenceHistories(database.Database), new AuditTrail(audits, _nodes.Clock), judge);
        var reveals = new Reveals(grains: null!, audits, NullLogger<Reveals>.Instance);
        var auditor = new Auditor(_nodes.Verifiers, new EmbeddingAuditor(_nodes.Verifiers, checks, audits, _nodes.Clock), new UnscoredAuditor(_nodes.Verifiers), reveals, memory, judge, checks, audits, _nodes.Clock);
        return await auditor.AuditAsync(kept, Worker, new AuditSeed(new byte[32]), CancellationToken.None);
    }
}
