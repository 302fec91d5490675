using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Federation.NodeAgent.Engines;
using Federation.NodeAgent.Engines.Ollama;
using Federation.NodeAgent.Engines.OpenAi;
using Federation.NodeAgent.Tests.Engines.Builtin;
using Federation.Protocol.OpenAi;
using Federation.Protocol.Verification;
using Microsoft.AspNetCore.Http;

namespace Federation.NodeAgent.Tests.Engines.Scoring;

/// <summary>Engines behind HTTP as verifiers.</summary>
public sealed class ProbeTests
{
    private const string Answer = "3 4 5 6 7 8 9 10 11 12";

    [Fact]
    public async Task Probes_of_a_server_find_what_one_reading_of_the_text_finds()
    {
        await using var demo = DemoEngine.Start();
        await using var server = await ServeAsync(demo);
        await using var engine = new OpenAiEngine(new OpenAiOptions { Name = "probed", Url = server.Address }, TimeProvider.System);
        var request = DemoEngine.Score(DemoEngine.Chat("Count from 3 to 12"), Answer, top: 20) with { Offsets = [0, 1, 3, 9, 15, 22], Sampler = new ScoreSampler(1) };

        var probed = await engine.ScoreAsync(request, CancellationToken.None);
        var whole = await demo.Engine.ScoreAsync(request, CancellationToken.None);

        Assert.Equal("probe", probed.Method);
        Assert.Equal(whole.Positions.Select(position => position.Offset), probed.Positions.Select(position => position.Offset));
        foreach (var (one, other) in whole.Positions.Zip(probed.Positions))
        {
            Assert.Equal(one.Token.ToArray(), other.Token.ToArray());
            Assert.Equal((one.IsEnd, one.LikeliestIsEnd, one.Rank), (other.IsEnd, other.LikeliestIsEnd, other.Rank));
            Assert.Equal(one.Logprob!.Value, other.Logprob!.Value, 5);
            Assert.Equal(one.LikeliestLogprob!.Value, other.LikeliestLogprob!.Value, 5);
            Assert.Equal(one.Mass!.Value, other.Mass!.Value, 3);
            Assert.Equal(one.EndMass!.Value, other.EndMass!.Value, 3);
        }

        Assert.True(ScoreCodec.TryRead(ScoreCodec.Write(probed), out ScoreAnswer? _, out var fault), fault);
    }

    [Fact]
    public async Task A_chat_probe_goes_on_from_the_assistants_words_and_keeps_what_the_template_reads()
    {
        await using var server = await FakeServer.StartAsync();
        server.On("POST /v1/chat/completions", """{"choices":[{"message":{"content":" b"},"finish_reason":"length","logprobs":{"content":[{"token":" b","logprob":-0.5,"bytes":[32,98],"top_logprobs":[{"token":" b","logprob":-0.5,"bytes":[32,98]},{"token":" ","logprob":-1.5,"bytes":[32]}]}]}}]}""");
        await using var engine = new OpenAiEngine(new OpenAiOptions { Name = "e", Url = server.Address }, TimeProvider.System);
        var body = """{"model":"public-name","temperature":0.7,"max_tokens":99,"stream":true,"stream_options":{"include_usage":true},"stop":["x"],"chat_template_kwargs":{"enable_thinking":false},"messages":[{"role":"user","content":"q"}]}""";

        var score = await engine.ScoreAsync(Request("chat", body, "a b", [0, 1]), CancellationToken.None);

        var sent = server.Requests.Select(request => JsonNode.Parse(request.Body)!).ToArray();
        Assert.Equal(["chat_template_kwargs", "model", "max_tokens", "temperature", "stream", "logprobs", "top_logprobs", "messages"], sent[0].AsObject().Select(field => field.Key));
        Assert.Equal("""[{"role":"user","content":"q"}]""", sent[0]["messages"]!.ToJsonString());
        Assert.Equal("""[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]""", sent[1]["messages"]!.ToJsonString());
        Assert.Equal(("engine-name", true, false), (sent[1]["model"]!.GetValue<string>(), sent[1]["continue_final_message"]!.GetValue<bool>(), sent[1]["add_generation_prompt"]!.GetValue<bool>()));
        Assert.Equal((" b", -0.5, 1), (Text(score.Positions[1].Token), score.Positions[1].Logprob, score.Positions[1].Rank));
        Assert.Equal((null, null, -0.5), (score.Positions[0].Logprob, score.Positions[0].Rank, score.Positions[0].LikeliestLogprob));
    }

    [Fact]
    public async Task A_completion_probe_reads_both_shapes_of_logprobs()
    {
        await using var server = await FakeServer.StartAsync();
        await using var engine = new OpenAiEngine(new OpenAiOptions { Name = "e", Url = new Uri(server.Address, "/v1") }, TimeProvider.System);
        var request = Request("completion", """{"prompt":"P","max_tokens":9,"temperature":0}""", "a b", [1, 3]);
        foreach (var logprobs in new[]
        {
            """{"tokens":[" b"],"token_logprobs":[-0.5],"top_logprobs":[{" b":-0.5,"</s>":-2.5}]}""",
            """{"content":[{"token":" b","logprob":-0.5,"bytes":[32,98],"top_logprobs":[{"token":" b","logprob":-0.5,"bytes":[32,98]},{"token":"","logprob":-2.5,"bytes":[]}]}]}""",
        })
        {
            server.On("POST /v1/completions", $$"""{"choices":[{"text":" b","finish_reason":"length","logprobs":{{logprobs}}}]}""");

            var score = await engine.ScoreAsync(request, CancellationToken.None);

            Assert.Equal((" b", -0.5, 1), (Text(score.Positions[0].Token), score.Positions[0].Logprob, score.Positions[0].Rank));
            Assert.Equal((true, -2.5, 2, false), (score.Positions[1].IsEnd, score.Positions[1].Logprob, score.Positions[1].Rank, score.Positions[1].LikeliestIsEnd));
        }

        Assert.Equal("Pa b", JsonNode.Parse(server.Requests.Last().Body)!["prompt"]!.GetValue<string>());
    }

    [Fact]
    public async Task Ollama_renders_its_own_template_once_and_reads_raw_text_from_then_on()
    {
        await using var server = await FakeServer.StartAsync();
        server.On("POST /api/chat", """{"model":"m","_debug_info":{"rendered_template":"<user>q<assistant>"}}""");
        server.On("POST /api/generate", async context =>
        {
            var prompt = JsonNode.Parse(Encoding.UTF8.GetString(await BodyAsync(context)))!["prompt"]!.GetValue<string>();
            await context.Response.WriteAsync(prompt.EndsWith('>')
                ? """{"response":"a","done":true,"done_reason":"length","logprobs":[{"token":"a","logprob":-0.1,"bytes":[97],"top_logprobs":[{"token":"a","logprob":-0.1,"bytes":[97]},{"token":"ax","logprob":-3,"bytes":[97,120]}]}]}"""
                : """{"response":"","done":true,"done_reason":"stop","logprobs":[]}""");
        });
        await using var engine = new OllamaEngine(new OllamaOptions { Address = server.Address }, TimeProvider.System);
        var body = """{"messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"q"}]}],"temperature":0}""";

        var score = await engine.ScoreAsync(Request("chat", body, "a b", [0, 1, 3]), CancellationToken.None);

        Assert.Equal(["POST /api/chat", "POST /api/generate", "POST /api/generate", "POST /api/generate"], server.Requests.Select(request => request.Line));
        var sent = server.Requests.Select(request => JsonNode.Parse(request.Body)!).ToArray();
        Assert.Equal("""[{"role":"system","content":"s"},{"role":"user","content":"q"}]""", sent[0]["messages"]!.ToJsonString());
        Assert.True(sent[0]["_debug_render_only"]!.GetValue<bool>());
        Assert.Equal("""{"model":"engine-name","prompt":"\u003Cuser\u003Eq\u003Cassistant\u003Ea","raw":true,"stream":false,"logprobs":true,"top_logprobs":20,"truncate":false,"shift":false,"options":{"num_predict":1,"temperature":0}}""", sent[2].ToJsonString());
        Assert.Equal(("a", 1), (Text(score.Positions[0].Token), score.Positions[0].Rank));
        Assert.Equal((true, null, null), (score.Positions[1].LikeliestIsEnd, score.Positions[1].Margin, score.Positions[1].Logprob));
        Assert.Equal((true, true, 0.0), (score.Positions[2].IsEnd, score.Positions[2].LikeliestIsEnd, score.Positions[2].Margin));
    }

    [Theory]
    [InlineData(404, """{"error":"model 'x' not found"}""", "404")]
    [InlineData(200, "oops", "not JSON")]
    [InlineData(200, """{"response":"a","done":true}""", "0.12.11")]
    [InlineData(200, """[]""", "no response")]
    public async Task An_engine_that_cannot_score_says_why(int status, string answer, string words)
    {
        await using var server = await FakeServer.StartAsync();
        server.On("POST /api/chat", """{"_debug_info":{"rendered_template":"t"}}""").On("POST /api/generate", answer, status);
        await using var engine = new OllamaEngine(new OllamaOptions { Address = server.Address }, TimeProvider.System);

        var refusal = await Assert.ThrowsAsync<ScoringException>(() => engine.ScoreAsync(Request("chat", """{"messages":[{"role":"user","content":"q"}]}""", "a", [0]), CancellationToken.None));

        Assert.Contains(words, refusal.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"messages":[{"role":"user","content":"q"}]}""", null, "not whole answers")]
    [InlineData("""{"messages":[{"role":"user","content":"q"}]}""", 1, "inside a character")]
    [InlineData("""{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}""", 0, "the assistant's own message")]
    [InlineData("""{}""", 0, "no messages")]
    public async Task What_cannot_be_probed_is_refused_unasked(string body, int? offset, string words)
    {
        await using var engine = new OpenAiEngine(new OpenAiOptions { Name = "e", Url = new Uri("http://127.0.0.1:1") }, TimeProvider.System);

        var refusal = await Assert.ThrowsAsync<ScoringException>(() => engine.ScoreAsync(Request("chat", body, "ü", offset is { } at ? [at] : null), CancellationToken.None));

        Assert.Contains(words, refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_engine_that_is_off_is_unavailable()
    {
        var server = await FakeServer.StartAsync();
        await server.DisposeAsync();
        await using var engine = new OllamaEngine(new OllamaOptions { Address = server.Address }, TimeProvider.System);

        await Assert.ThrowsAsync<EngineUnavailableException>(() => engine.ScoreAsync(Request("chat", """{"messages":[{"role":"user","content":"q"}]}""", "a", [0]), CancellationToken.None));
    }

    /// <summary>The builtin engine behind HTTP, as llama-server would serve the same model.</summary>
    private static async Task<FakeServer> ServeAsync(DemoEngine demo) => (await FakeServer.StartAsync()).On("POST /v1/chat/completions", async context =>
    {
        await using var response = await demo.Engine.SendAsync(new EngineRequest(JobKind.Chat, DemoEngine.Demo, await BodyAsync(context), false), CancellationToken.None);
        context.Response.StatusCode = response.Status;
        context.Response.ContentType = response.ContentType;
        await response.Body.CopyToAsync(context.Response.Body);
    });

    private static async Task<byte[]> BodyAsync(HttpContext context)
    {
        context.Request.Body.Position = 0;
        using var body = new MemoryStream();
        await context.Request.Body.CopyToAsync(body);
        return body.ToArray();
    }

    private static ScoreRequest Request(string kind, string body, string answer, int[]? offsets) => new()
    {
        Kind = kind,
        Model = "engine-name",
        Request = JsonElement.Parse(body),
        AnswerText = answer,
        FinishReason = "stop",
        Offsets = offsets is null ? null : [.. offsets],
    };

    private static string Text(ReadOnlyMemory<byte> bytes) => Encoding.UTF8.GetString(bytes.Span);
}
