using System.Text;
using System.Text.Json.Nodes;
using Federation.NodeAgent.Engines;
using Federation.NodeAgent.Engines.Ollama;
using Federation.NodeAgent.Engines.OpenAi;
using Federation.NodeAgent.Tests.Engines.Builtin;
using Federation.Protocol.OpenAi;

namespace Federation.NodeAgent.Tests.Engines;

/// <summary>An answer that another node began is gone on with.</summary>
public sealed class ContinuationTests
{
    [Theory]
    [InlineData("count to 12", "\"temperature\":0")]
    [InlineData("count to 12", "\"temperature\":0,\"max_tokens\":9")]
    [InlineData("count to 12", "\"temperature\":0,\"stop\":[\" 9\"]")]
    [InlineData("count to 12", "\"temperature\":0,\"frequency_penalty\":0.9,\"presence_penalty\":0.4,\"max_tokens\":30")]
    [InlineData("tell me a story", "\"temperature\":1.3,\"seed\":11,\"max_tokens\":40")]
    [InlineData("tell me a story", "\"temperature\":0.9,\"seed\":12,\"top_k\":20,\"top_p\":0.9,\"frequency_penalty\":0.5,\"max_tokens\":40")]
    public async Task The_builtin_engine_goes_on_after_any_token_as_if_the_answer_had_never_broken_off(string prompt, string fields)
    {
        await using var demo = DemoEngine.Start();
        var request = DemoEngine.Chat(prompt, fields + ",\"stream\":true,\"stream_options\":{\"include_usage\":true}");
        var whole = await demo.AskAsync(request);
        string[] pieces = [.. whole.Chunks.Select(chunk => chunk["choices"]!.AsArray().FirstOrDefault()?["delta"]?["content"]?.GetValue<string>() ?? "").Where(text => text.Length > 0)];
        Assert.InRange(pieces.Length, 3, 60);
        for (var cut = 1; cut < pieces.Length; cut++)
        {
            var rest = await demo.AskAsync(request with { Body = Continuation.Ask(request.Body, pieces[..cut], cut) });
            Assert.Equal(string.Concat(pieces), string.Concat(pieces[..cut]) + rest.Streamed());
            Assert.Equal(whole.FinishReason, rest.FinishReason);
            // Text that is no whole character comes with the token that ends it, so a piece may be several tokens.
            if (pieces.Length + 1 >= whole.Usage!.Value.CompletionTokens)
                Assert.Equal((whole.Usage!.Value.PromptTokens + cut, whole.Usage.Value.CompletionTokens - cut), (rest.Usage!.Value.PromptTokens, rest.Usage.Value.CompletionTokens));
        }
    }

    [Fact]
    public async Task A_completion_goes_on_behind_its_prompt_and_not_in_a_token_with_it()
    {
        await using var demo = DemoEngine.Start();
        var request = DemoEngine.Request(JobKind.Completion, """{"temperature":0,"prompt":"1 2 3","max_tokens":12,"stream":true}""");
        var whole = (await demo.AskAsync(request)).Streamed();
        for (var cut = 1; cut < whole.Length; cut++)
        {
            string[] pieces = [.. whole[..cut].Select(character => character.ToString())];
            Assert.StartsWith(whole, whole[..cut] + (await demo.AskAsync(request with { Body = Continuation.Ask(request.Body, pieces, 0) })).Streamed(), StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("\"temperature\":0")]
    [InlineData("\"temperature\":0,\"presence_penalty\":1.5,\"frequency_penalty\":0.7")]
    public async Task A_verifier_finds_nothing_wrong_with_what_was_gone_on_with(string fields)
    {
        await using var demo = DemoEngine.Start();
        var request = DemoEngine.Chat("Count from 3 to 12", fields + ",\"max_tokens\":40,\"stream\":true");
        var continued = request with { Body = Continuation.Ask(request.Body, [" 3", " 4", " 5"], 3) };
        var rest = await demo.AskAsync(continued);

        var score = await demo.Engine.ScoreAsync(DemoEngine.Score(continued, rest.Streamed(), rest.FinishReason!), CancellationToken.None);

        Assert.NotEmpty(score.Positions);
        Assert.All(score.Positions, position => Assert.Equal(0.0, position.Margin));
        Assert.Equal(rest.Usage!.Value, new TokenUsage(score.PromptTokens ?? 0, score.AnswerTokens ?? 0));
    }

    [Theory]
    [InlineData("\"federation_continues\":[\"a\"],\"n\":2")]
    [InlineData("\"federation_continues\":\"a\"")]
    [InlineData("\"federation_continues\":[1]")]
    public async Task What_is_no_beginning_of_one_answer_is_refused_by_name(string fields)
    {
        await using var demo = DemoEngine.Start();
        var answer = await demo.AskAsync(DemoEngine.Chat("x", fields));
        Assert.Equal((400, Continuation.Field), (answer.Status, answer.ErrorParam));
    }

    [Fact]
    public async Task A_beginning_that_fills_the_context_is_refused()
    {
        await using var demo = DemoEngine.Start();
        var answer = await demo.AskAsync(DemoEngine.Chat("x", $"\"federation_continues\":[{string.Join(',', Enumerable.Repeat("\" 1\"", 600))}]"));
        Assert.Equal((400, "context_length_exceeded"), (answer.Status, answer.ErrorCode));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Other_engines_are_asked_in_their_own_words(bool isOllama)
    {
        await using var server = await FakeServer.StartAsync();
        server.OnStream("POST /v1/chat/completions", "data: [DONE]\n\n");
        await using IEngine engine = isOllama ? new OllamaEngine(new OllamaOptions { Address = server.Address }, TimeProvider.System) : new OpenAiEngine(new OpenAiOptions { Name = "e", Url = server.Address }, TimeProvider.System);
        var body = Continuation.Ask("""{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"é"}],"stream":true,"x":{"y":[1]}}"""u8.ToArray(), ["1", " 🦊\n"], 2);
        await using (await engine.SendAsync(new EngineRequest(JobKind.Chat, "m", body, Stream: true), CancellationToken.None))
        {
            var sent = JsonNode.Parse(server.Requests.Single().Body)!;
            Assert.Null(sent[Continuation.Field]);
            Assert.Equal([("user", "é"), ("assistant", "1 🦊\n")], sent["messages"]!.AsArray().Select(message => (message!["role"]!.ToString(), message["content"]!.ToString())));
            Assert.Equal((true, false, 7, "{\"y\":[1]}"), (sent["continue_final_message"]!.GetValue<bool>(), sent["add_generation_prompt"]!.GetValue<bool>(), sent["max_tokens"]!.GetValue<int>(), sent["x"]!.ToJsonString()));
        }
    }

    [Fact]
    public void A_completion_for_another_engine_has_a_longer_prompt()
    {
        var asked = Continuation.Ask("""{"model":"m","prompt":"a \"b","max_tokens":1}"""u8.ToArray(), [" c", " d"], 5);
        Assert.Equal("""{"model":"m","prompt":"a \"b c d","max_tokens":1}""", Encoding.UTF8.GetString(Continuation.Spell(asked, JobKind.Completion).Span));
    }

    [Theory]
    [InlineData("""{"messages":[],"federation_continues":"no list"}""")]
    [InlineData("""{"messages":[],"federation_continues":[1]}""")]
    [InlineData("""["federation_continues"]""")]
    [InlineData("""{"federation_continues":["a"]""")]
    [InlineData("""{"messages":["say \"federation_continues\""]}""")]
    public void A_body_that_continues_nothing_stays_as_it_is(string body)
        => Assert.Equal(body, Encoding.UTF8.GetString(Continuation.Spell(Encoding.UTF8.GetBytes(body), JobKind.Chat).Span));

    [Theory]
    [InlineData("llamacpp", null, true)]
    [InlineData("vllm", null, true)]
    [InlineData("organization_owner", null, false)]
    [InlineData("organization_owner", true, true)]
    [InlineData("vllm", false, false)]
    public async Task Only_engines_that_are_known_to_go_on_are_asked_to(string owner, bool? configured, bool continues)
    {
        await using var server = await FakeServer.StartAsync();
        server.On("GET /v1/models", $$$"""{"data":[{"id":"m","owned_by":"{{{owner}}}"}]}""");
        await using var engine = new OpenAiEngine(new OpenAiOptions { Name = "e", Url = server.Address, Continues = configured }, TimeProvider.System);
        Assert.Equal(configured is true, !engine.Continues.IsEmpty);
        await engine.GetInventoryAsync(CancellationToken.None);
        JobKind[] kinds = continues ? [JobKind.Chat, JobKind.Completion] : [];
        Assert.Equal(kinds, engine.Continues.ToArray());
    }
}
