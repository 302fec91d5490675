using System.Text;
using System.Text.Json.Nodes;
using Federation.Protocol.OpenAi;
using Federation.Silo.Apis;
using Federation.Silo.Apis.Anthropic;
using Federation.Silo.Apis.Ollama;
using Federation.Silo.Gateway;
using Microsoft.AspNetCore.Http;

namespace Federation.Silo.Tests.Apis;

public sealed class TranslatingSinkTests
{
    private readonly DefaultHttpContext _http = new() { Request = { Path = "/v1/messages" }, Response = { Body = new MemoryStream() } };

    private string Received => Encoding.UTF8.GetString(((MemoryStream)_http.Response.Body).ToArray());

    [Fact]
    public async Task An_engine_that_streams_unasked_is_answered_whole()
    {
        var sink = Sink(stream: false);
        sink.Begin(Scenes.Head);
        Write(sink, Scenes.Delta("""{"content":"4"}"""), Scenes.Delta("""{"content":"2"}""", "stop"));
        await sink.FlushAsync();
        Assert.Empty(Received);
        await sink.CompleteAsync("data: [DONE]\n\n"u8.ToArray());
        Assert.Equal("42", (string?)JsonNode.Parse(Received)!["content"]![0]!["text"]);
        Assert.Equal(("application/json", "nd_1"), (_http.Response.ContentType, _http.Response.Headers["x-federation-node"].ToString()));
    }

    [Fact]
    public async Task An_engine_that_answers_whole_is_streamed_to_whoever_asked_for_a_stream()
    {
        await Sink(stream: true).WriteWholeAsync(Scenes.Head, 200, "application/json", """{"choices":[{"index":0,"message":{"content":"42"},"finish_reason":"stop"}]}"""u8.ToArray());
        Assert.Equal("message_stop", (string?)Scenes.Events(Received)[^1]["type"]);
    }

    [Fact]
    public async Task A_last_event_without_its_blank_line_counts()
    {
        var sink = Sink(stream: true);
        sink.Begin(Scenes.Head);
        Write(sink, Scenes.Delta("""{"content":"42"}"""));
        await sink.CompleteAsync(Encoding.UTF8.GetBytes($"data: {Scenes.Delta("{}", "length")}"));
        Assert.Equal("max_tokens", (string?)Scenes.Events(Received)[^2]["delta"]!["stop_reason"]);
    }

    [Fact]
    public async Task An_engines_error_in_mid_stream_ends_it_and_nothing_follows()
    {
        var sink = Sink(stream: true);
        sink.Begin(Scenes.Head);
        Write(sink, Scenes.Delta("""{"content":"4"}"""), """{"error":{"message":"out of memory"}}""", Scenes.Delta("""{"content":"2"}""", "stop"));
        await sink.CompleteAsync("data: [DONE]\n\n"u8.ToArray());
        var last = Scenes.Events(Received)[^1];
        Assert.Equal(("error", "api_error", "out of memory"), ((string?)last["type"], (string?)last["error"]!["type"], (string?)last["error"]!["message"]));
        Assert.DoesNotContain("message_stop", Received, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_node_that_is_gone_is_an_error(bool stream)
    {
        var sink = Sink(stream);
        sink.Begin(Scenes.Head);
        Write(sink, Scenes.Delta("""{"content":"4"}"""));
        await sink.BreakOffAsync(OpenAiError.NoAnswer());
        var error = stream ? Scenes.Events(Received)[^1] : JsonNode.Parse(Received)!;
        Assert.Equal(("error", "api_error"), ((string?)error["type"], (string?)error["error"]!["type"]));
        Assert.Equal(stream ? 200 : 502, _http.Response.StatusCode);
    }

    [Fact]
    public async Task An_engines_refusal_is_said_in_the_clients_shape()
    {
        await Sink(stream: true).WriteWholeAsync(Scenes.Head, 400, "application/json", """{"error":{"message":"context too long","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"""u8.ToArray());
        Assert.Equal(("invalid_request_error", "context too long"), ((string?)JsonNode.Parse(Received)!["error"]!["type"], (string?)JsonNode.Parse(Received)!["error"]!["message"]));
        Assert.Equal(400, _http.Response.StatusCode);
    }

    [Fact]
    public async Task An_unasked_stream_without_end_is_not_kept()
    {
        var sink = Sink(stream: false);
        sink.Begin(Scenes.Head);
        for (var i = 0; i < 100; i++) Write(sink, Scenes.Delta($$"""{"content":"{{new string('x', 1000)}}"}"""));
        await sink.CompleteAsync("data: [DONE]\n\n"u8.ToArray());
        Assert.Equal(502, _http.Response.StatusCode);
    }

    [Fact]
    public async Task Who_waits_for_a_stream_is_pinged_and_then_told_who_answers()
    {
        var sink = Sink(stream: true);
        Assert.True(await sink.NoteAsync("queued position=3"));
        Assert.True(await sink.NoteAsync("queued position=1"));
        Assert.Equal(": queued position=3\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\n: queued position=1\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\n", Received);
        sink.Begin(Scenes.Head);
        Write(sink, Scenes.Delta("""{"content":"42"}""", "stop"));
        await sink.CompleteAsync("data: [DONE]\n\n"u8.ToArray());
        Assert.Contains(": x-federation-node=nd_1 x-federation-route=nodes ", Received, StringComparison.Ordinal);
        Assert.Equal(["message_start", "content_block_start"], Scenes.Events(Received).Select(item => (string?)item["type"]).Where(type => type != "ping").Take(2));
    }

    [Fact]
    public async Task After_a_word_to_the_waiting_a_refusal_is_an_event()
    {
        var sink = Sink(stream: true);
        await sink.NoteAsync("queued");
        await sink.WriteWholeAsync(Scenes.Head, 400, "application/json", """{"error":{"message":"context too long","type":"invalid_request_error"}}"""u8.ToArray());
        Assert.Equal((200, "error", "context too long"), (_http.Response.StatusCode, (string?)Scenes.Events(Received)[^1]["type"], (string?)Scenes.Events(Received)[^1]["error"]!["message"]));
    }

    [Fact]
    public async Task Whoever_asked_for_no_stream_or_has_no_place_in_it_hears_nothing_before_the_answer()
    {
        Assert.False(await Sink(stream: false).NoteAsync("queued"));
        var ollama = new TranslatingSink(_http, new ChatReader("call_x"), new OllamaWriter(_http.Response.BodyWriter, "m", true, true, TimeProvider.System), true, 50_000);
        Assert.False(await ollama.NoteAsync("queued"));
        Assert.Empty(Received);
        await ollama.RefuseAsync(OpenAiError.NoAnswer());
        Assert.Equal(502, _http.Response.StatusCode);
    }

    private static void Write(AnswerSink sink, params ReadOnlySpan<string> events)
    {
        var scanner = new SseScanner();
        foreach (var data in events)
        {
            ReadOnlySpan<byte> bytes = Encoding.UTF8.GetBytes($"data: {data}\n\n");
            Assert.True(scanner.TryRead(ref bytes, out var item));
            sink.Write(item);
        }
    }

    private TranslatingSink Sink(bool stream)
        => new(_http, new ChatReader("call_x"), new AnthropicWriter(_http.Response.BodyWriter, "job_1", new AnthropicCall("m", stream, false, [], default)), stream, 50_000);
}
