using System.Text;
using Federation.NodeAgent.Engines;
using Federation.NodeAgent.Engines.OpenAi;
using Federation.Protocol.OpenAi;
using Federation.Protocol.Verification;
using Microsoft.AspNetCore.Http;

namespace Federation.NodeAgent.Tests.Engines.OpenAi;

/// <summary>Requests and answers between a client and an OpenAI-compatible server; Ollama's go the same way.</summary>
public sealed class RelayTests
{
    private const string ChatLine = "POST /v1/chat/completions";
    private const string First = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"4\"},\"finish_reason\":null}],  \"odd\" : 1.50}\n\n";
    private const string Last = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    private const string UsageOnly = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":3,\"total_tokens\":15}}\n\n";
    private const string Done = "data: [DONE]\n\n";

    [Fact]
    public async Task Usage_is_asked_for_and_kept_from_a_client_that_did_not()
    {
        await using var server = await FakeServer.StartAsync();
        server.OnStream(ChatLine, First, Last, UsageOnly, Done);

        var answer = await AskAsync(server, """{"model":"m","stream":true,"temperature":1.0}""");

        Assert.Equal(First + Last + Done, answer.Body);
        Assert.Equal(new TokenUsage(12, 3), answer.Usage);
        Assert.Equal("stop", answer.FinishReason);
        Assert.Equal("text/event-stream", answer.ContentType);
        Assert.Equal("""{"stream_options":{"include_usage":true},"model":"m","stream":true,"temperature":1.0}""", server.Requests.Single().Body);
    }

    [Fact]
    public async Task A_client_that_asks_for_usage_gets_every_byte_as_it_came()
    {
        const string body = """{"model":"m","stream":true,"stream_options":{"include_usage":true}}""";
        await using var server = await FakeServer.StartAsync();
        server.OnStream(ChatLine, First, Last, UsageOnly, Done);

        var answer = await AskAsync(server, body);

        Assert.Equal(First + Last + UsageOnly + Done, answer.Body);
        Assert.Equal(new TokenUsage(12, 3), answer.Usage);
        Assert.Equal(body, server.Requests.Single().Body);
    }

    // Two tokens make one character; their bytes are told, their text is not.
    private const string Scored =
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"4\"},\"logprobs\":{\"content\":[{\"token\":\"4\",\"logprob\":-0.25,\"bytes\":[52],\"top_logprobs\":[{\"token\":\"4\",\"logprob\":-0.25,\"bytes\":[52]}]}]}}]}\n\n"
        + "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\\u00fc\"},\"logprobs\":{\"content\":[{\"token\":\"\",\"logprob\":-1.5,\"bytes\":[195],\"top_logprobs\":[]},{\"token\":\"\",\"logprob\":-2,\"bytes\":[188]}]}}]}\n\n";

    [Fact]
    public async Task Log_probabilities_that_the_client_asked_for_can_be_committed_to_and_pass_untouched()
    {
        await using var server = await FakeServer.StartAsync();
        server.OnStream(ChatLine, Scored, Last, UsageOnly, Done);

        var answer = await AskAsync(server, """{"stream":true,"logprobs":true,"stream_options":{"include_usage":true}}""", readBytes: 7);

        Assert.Equal(Scored + Last + UsageOnly + Done, answer.Body);
        Assert.Equal([(0, 1, -250), (1, 1, -1500), (2, 1, -2000)], answer.Tokens.Select(token => (token.Offset, token.Token.Length, (int)token.MilliNats)));
        Assert.Single(answer.Tokens[0].Top);
    }

    [Theory]
    [InlineData("""{"stream":true}""", Scored)]
    [InlineData("""{"stream":true,"logprobs":false}""", Scored)]
    [InlineData("""{"stream":true,"logprobs":true}""", Scored + First)]
    [InlineData("""{"stream":true,"logprobs":true}""", First)]
    [InlineData("""{"stream":true,"logprobs":true}""", Scored + "data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"\"}}]}\n\n")]
    [InlineData("""{"stream":true,"logprobs":true}""", Scored + "data: {\"choices\":[{\"index\":0,\"logprobs\":{\"content\":[{\"token\":7}]}}]}\n\n")]
    [InlineData("""{"stream":true,"logprobs":true}""", Scored + "data: {\"choices\":7}\n\n")]
    [InlineData("""{"stream":true,"logprobs":true}""", Scored + "data: {\"choices\":[{\"index\":0,\"logprobs\":{\"content\":[{\"token\":\"x\",\"logprob\":-1,\"bytes\":[300]}]}}]}\n\n")]
    public async Task What_is_not_the_whole_answers_is_not_committed_to_and_passes_all_the_same(string body, string stream)
    {
        await using var server = await FakeServer.StartAsync();
        server.OnStream(ChatLine, stream, Last, UsageOnly, Done);
        var answer = await AskAsync(server, body);
        Assert.Empty(answer.Tokens);
        Assert.Equal(stream + Last + Done, answer.Body);
    }

    [Fact]
    public async Task However_the_engine_cuts_its_stream_the_client_gets_the_same_bytes()
    {
        var stream = Encoding.UTF8.GetBytes(": ping\n\n" + First + Last + UsageOnly + Done);
        await using var server = await FakeServer.StartAsync();
        foreach (var step in new[] { 1, 2, 3, 7, 50, 120 })
        {
            server.OnStream(ChatLine, [.. stream.Chunk(step).Select(piece => Encoding.UTF8.GetString(piece))]);

            var answer = await AskAsync(server, """{"model":"m","stream":true}""", readBytes: step);

            Assert.Equal(": ping\n\n" + First + Last + Done, answer.Body);
            Assert.Equal(new TokenUsage(12, 3), answer.Usage);
        }
    }

    [Fact]
    public async Task A_whole_answer_passes_untouched_and_its_usage_is_read()
    {
        const string request = """{"model":"m"}""";
        const string json = """{ "choices":[{"message":{"content":"42"},"finish_reason":"length"}], "usage":{"prompt_tokens":1,"completion_tokens":2} }""";
        await using var server = await FakeServer.StartAsync();
        server.On(ChatLine, json);

        var answer = await AskAsync(server, request);

        Assert.Equal(json, answer.Body);
        Assert.Equal(new TokenUsage(1, 2), answer.Usage);
        Assert.Equal("length", answer.FinishReason);
        Assert.Equal(request, server.Requests.Single().Body);
    }

    [Theory]
    [InlineData(JobKind.Chat, ChatLine)]
    [InlineData(JobKind.Completion, "POST /v1/completions")]
    [InlineData(JobKind.Embedding, "POST /v1/embeddings")]
    public async Task Each_kind_has_its_endpoint(JobKind kind, string line)
    {
        await using var server = await FakeServer.StartAsync();
        server.On(line, """{"usage":{"prompt_tokens":5,"total_tokens":5}}""");

        var answer = await AskAsync(server, "{}", kind);

        Assert.Equal(200, answer.Status);
        Assert.Equal(new TokenUsage(5, 0), answer.Usage);
    }

    [Fact]
    public async Task An_error_of_the_engine_is_an_answer()
    {
        const string error = """{"error":{"message":"no such model","type":"invalid_request_error","param":"model","code":null}}""";
        await using var server = await FakeServer.StartAsync();
        server.On(ChatLine, error, status: 404);

        var answer = await AskAsync(server, """{"model":"m","stream":true}""");

        Assert.Equal((404, "application/json", error), (answer.Status, answer.ContentType, answer.Body));
        Assert.Null(answer.Usage);
    }

    [Fact]
    public async Task An_engine_that_is_not_there_is_unavailable()
    {
        var server = await FakeServer.StartAsync();
        await server.DisposeAsync();
        await using var engine = Engine(server);

        await Assert.ThrowsAsync<EngineUnavailableException>(() => engine.SendAsync(Request("{}"), CancellationToken.None));
    }

    [Fact]
    public async Task An_engine_that_closes_before_it_answers_is_unavailable()
    {
        await using var server = await FakeServer.StartAsync();
        server.On(ChatLine, context =>
        {
            context.Abort();
            return Task.CompletedTask;
        });
        await using var engine = Engine(server);

        await Assert.ThrowsAsync<EngineUnavailableException>(() => engine.SendAsync(Request("{}"), CancellationToken.None));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task An_engine_that_dies_in_mid_answer_breaks_the_body(bool clientAsksForUsage)
    {
        var isRead = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = await FakeServer.StartAsync();
        server.On(ChatLine, async context =>
        {
            context.Response.ContentType = "text/event-stream";
            await context.Response.WriteAsync(First);
            await context.Response.Body.FlushAsync();
            await isRead.Task;
            context.Abort();
        });
        await using var engine = Engine(server);
        var options = clientAsksForUsage ? ",\"stream_options\":{\"include_usage\":true}" : "";
        await using var response = await engine.SendAsync(Request($"{{\"stream\":true{options}}}"), CancellationToken.None);
        Assert.Equal(First.Length, await response.Body.ReadAsync(new byte[1024]));

        isRead.SetResult();

        await Assert.ThrowsAnyAsync<IOException>(() => response.Body.ReadAsync(new byte[1024]).AsTask().WaitAsync(TimeSpan.FromSeconds(30)));
    }

    [Fact]
    public async Task A_stream_that_just_stops_is_no_whole_answer()
    {
        await using var server = await FakeServer.StartAsync();
        server.OnStream(ChatLine, First);

        await Assert.ThrowsAnyAsync<IOException>(() => AskAsync(server, """{"stream":true}"""));
    }

    [Fact]
    public async Task Disposing_the_answer_closes_the_engines_connection()
    {
        await using var server = await FakeServer.StartAsync();
        server.On(ChatLine, EndlessAsync);
        await using var engine = Engine(server);
        var response = await engine.SendAsync(Request("""{"stream":true}"""), CancellationToken.None);
        Assert.True(await response.Body.ReadAsync(new byte[10]) > 0);

        await response.DisposeAsync();

        await server.ClientGone.Task.WaitAsync(TimeSpan.FromSeconds(30));
    }

    [Fact]
    public async Task Cancelling_the_request_closes_the_engines_connection_though_nobody_reads()
    {
        await using var server = await FakeServer.StartAsync();
        server.On(ChatLine, EndlessAsync);
        await using var engine = Engine(server);
        using var cancellation = new CancellationTokenSource();
        await using var response = await engine.SendAsync(Request("""{"stream":true}"""), cancellation.Token);
        Assert.True(await response.Body.ReadAsync(new byte[10]) > 0);

        await cancellation.CancelAsync();

        await server.ClientGone.Task.WaitAsync(TimeSpan.FromSeconds(30));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => response.Body.ReadAsync(new byte[1 << 20]).AsTask());
    }

    [Fact]
    public async Task Cancelling_ends_a_read_that_waits_for_the_engine()
    {
        await using var server = await FakeServer.StartAsync();
        server.On(ChatLine, SilentAfterFirstAsync);
        await using var engine = Engine(server);
        using var cancellation = new CancellationTokenSource();
        await using var response = await engine.SendAsync(Request("""{"stream":true}"""), cancellation.Token);
        Assert.Equal(First.Length, await response.Body.ReadAsync(new byte[1024]));
        var waiting = response.Body.ReadAsync(new byte[1024]).AsTask();

        await cancellation.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting.WaitAsync(TimeSpan.FromSeconds(30)));
        await server.ClientGone.Task.WaitAsync(TimeSpan.FromSeconds(30));
    }

    [Fact]
    public async Task An_event_reaches_the_client_before_the_next_one_is_there()
    {
        await using var server = await FakeServer.StartAsync();
        server.On(ChatLine, SilentAfterFirstAsync);
        await using var engine = Engine(server);
        await using var response = await engine.SendAsync(Request("""{"stream":true}"""), CancellationToken.None);

        Assert.Equal(First.Length, await response.Body.ReadAsync(new byte[1024]).AsTask().WaitAsync(TimeSpan.FromSeconds(30)));
    }

    private static async Task EndlessAsync(HttpContext context)
    {
        context.Response.ContentType = "text/event-stream";
        while (!context.RequestAborted.IsCancellationRequested)
        {
            await context.Response.WriteAsync(First, context.RequestAborted);
        }
    }

    private static async Task SilentAfterFirstAsync(HttpContext context)
    {
        context.Response.ContentType = "text/event-stream";
        await context.Response.WriteAsync(First);
        await context.Response.Body.FlushAsync();
        await Task.Delay(Timeout.InfiniteTimeSpan, context.RequestAborted);
    }

    private static EngineRequest Request(string body, JobKind kind = JobKind.Chat) =>
        new(kind, "m", Encoding.UTF8.GetBytes(body), body.Contains("\"stream\":true", StringComparison.Ordinal));

    private static OpenAiEngine Engine(FakeServer server) =>
        new(new OpenAiOptions { Name = "fake", Url = server.Address }, TimeProvider.System);

    private static async Task<Answer> AskAsync(FakeServer server, string body, JobKind kind = JobKind.Chat, int readBytes = 4096)
    {
        await using var engine = Engine(server);
        await using var response = await engine.SendAsync(Request(body, kind), CancellationToken.None);
        using var whole = new MemoryStream();
        await response.Body.CopyToAsync(whole, readBytes);
        return new Answer(response.Status, response.ContentType, Encoding.UTF8.GetString(whole.ToArray()), response.Usage, response.FinishReason, response.Tokens);
    }

    private sealed record Answer(int Status, string ContentType, string Body, TokenUsage? Usage, string? FinishReason, IReadOnlyList<CommittedToken> Tokens);
}
